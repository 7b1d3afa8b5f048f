"""The skin of a mesh of a moving scene: weights of bones for its vertices, and the animation of those bones in glTF.

Source: Khronos, "glTF 2.0 Specification", sections 3.7.3 (skins) and 3.11 (animations). Between keys, glTF turns and
moves joints as `Motion` does: rotations slerped, translations linear.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt16

from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.rotation import quat_from_matrix
from img2world.core.scene import Scene, gaussians_at
from img2world.export.glb_content import Content

NEIGHBORS = 8
"""Gaussians around a vertex whose bones it follows."""

MIN_OPACITY = 0.1
"""Gaussians that are more transparent do not count."""

TIMES = 17
"""Moments at which it is looked at whether a Gaussian is there."""

INFLUENCES = 4
"""Bones of a vertex, as many as engines take."""


@dataclass(frozen=True, kw_only=True)
class Skin:
    """How the vertices of a mesh follow bones."""

    joints: UInt16[np.ndarray, "M 4"]
    weights: Float32[np.ndarray, "M 4"]
    """They sum to one."""
    motion: Motion
    """Its bones, in the frame of the mesh."""
    pose: float | None = None
    """Seconds of the motion at which the mesh was made; None if it is at rest."""

    @property
    def joint_matrices(self) -> Float64[np.ndarray, "B 4 4"]:
        """Where the joints are in the pose of the mesh."""
        at_rest = np.tile(np.eye(4), (len(self.motion.bone_pivots), 1, 1))
        at_rest[:, :3, 3] = self.motion.bone_pivots
        return at_rest if self.pose is None else self.motion.bones_at(self.pose) @ at_rest

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "Skin":
        """Return the skin of a mesh in another frame, which a similarity leads to."""
        return replace(self, motion=self.motion.transformed(target_from_source))


def scene_in_pose(scene: Scene, pose: float | None) -> tuple[Scene, Motion]:
    """Return a moving scene that stands still, at rest or at a time in seconds, and the motion of its Gaussians.

    Those that are there for less than half of the time are left out, which a warning says.
    """
    motion = scene.motion
    assert motion is not None
    times = np.linspace(motion.key_times[0], motion.key_times[-1], TIMES)
    there = np.mean([motion.presence(float(time)) for time in times], axis=0) >= 0.5
    if others := int((~there).sum()):
        warnings.warn(
            f"{others:,} of {len(there):,} Gaussians are there for less than half of the time and not in the mesh",
            stacklevel=2,
        )
    gaussians, motion = scene.gaussians.select(there), motion.select(there)
    if pose is not None:
        # All of them, whether or not they are there at this time.
        gaussians = gaussians_at(gaussians, replace(motion, windows=None), pose)
    return replace(scene, gaussians=gaussians, motion=None), motion


def skin_vertices(
    vertices: Float[np.ndarray, "M 3"], gaussians: Gaussians, motion: Motion, pose: float | None = None
) -> Skin:
    """Return the weights of vertices: those of the nearest Gaussians in the same pose, by opacity over distance."""
    from scipy.spatial import KDTree

    solid = gaussians.opacities >= MIN_OPACITY
    solid = solid if solid.any() else np.ones(len(gaussians), bool)
    means, opacities = gaussians.means[solid].astype(np.float64), gaussians.opacities[solid].astype(np.float64)
    bones, shares = motion.bone_indices[solid], motion.bone_weights[solid].astype(np.float64)
    nearest = min(NEIGHBORS, len(means))
    found = KDTree(means).query(vertices, nearest)
    # Of one neighbor, SciPy returns no axis.
    distance, near = (np.asarray(values).reshape(-1, nearest) for values in found)
    # Half the way to the nearest few keeps one Gaussian from deciding alone.
    closeness = opacities[near] / (distance + 0.5 * distance.mean(1, keepdims=True) + 1e-12)  # [M, k]
    table = np.zeros((len(vertices), len(motion.bone_pivots)))
    rows = np.broadcast_to(np.arange(len(vertices))[:, None, None], (*near.shape, shares.shape[1]))
    np.add.at(table, (rows, bones[near]), closeness[..., None] * shares[near])
    count = min(INFLUENCES, table.shape[1])
    order = np.argsort(-table, axis=1, kind="stable")[:, :count]
    joints, weights = np.zeros((len(vertices), INFLUENCES), np.uint16), np.zeros((len(vertices), INFLUENCES))
    weights[:, :count] = np.take_along_axis(table, order, 1)
    weights /= weights.sum(1, keepdims=True)
    # A joint without weight has to be the first one (section 3.7.3.3).
    joints[:, :count] = np.where(weights[:, :count] > 0, order, 0)
    return Skin(joints=joints, weights=weights.astype(np.float32), motion=motion, pose=pose)


def add_skin(document: dict[str, Any], skin: Skin, content: Content, *, target: int) -> None:
    """Add the skin of its only mesh, the joints and the animation to a glTF document with +Y up.

    `target` is the one of vertex attributes.
    """
    skin = skin.transformed(Y_UP_FROM_WORLD)
    motion, matrices = skin.motion, skin.joint_matrices
    count = len(motion.bone_pivots)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = content.add(skin.joints.astype(np.uint8 if count <= 256 else np.uint16), target=target)
    attributes["WEIGHTS_0"] = content.add(skin.weights, target=target)
    first, pivots = len(document["nodes"]) + 1, motion.bone_pivots + np.float32(0)
    joints = list(range(first, first + count))
    document["nodes"][0]["skin"] = 0
    document["nodes"].append({"name": "bones", "children": joints})
    turns = quat_from_matrix(matrices[:, :3, :3])[:, [1, 2, 3, 0]]  # xyzw
    document["nodes"] += [
        {"name": bone_name(i), "translation": matrices[i, :3, 3].tolist(), "rotation": turns[i].tolist()}
        for i in range(count)
    ]
    document["scenes"][0]["nodes"].append(first - 1)
    # Column-major; the last row has to be exact.
    inverse = np.linalg.inv(matrices).transpose(0, 2, 1).astype(np.float32)
    inverse[:, :, 3] = 0, 0, 0, 1
    document["skins"] = [
        {"joints": joints, "skeleton": first - 1, "inverseBindMatrices": content.add(inverse.reshape(-1, 16))}
    ]
    times = content.add((motion.key_times - motion.key_times[0]).astype(np.float32), limits=True)
    channels, samplers = [], []
    for i in range(count):
        places = pivots[i] + motion.bone_translations[i]
        quats = aligned_quats(motion.bone_quats[i])[:, [1, 2, 3, 0]]  # xyzw
        for path, values in (("translation", places), ("rotation", quats)):
            channels.append({"sampler": len(samplers), "target": {"node": first + i, "path": path}})
            samplers.append(
                {"input": times, "interpolation": "LINEAR", "output": content.add(np.ascontiguousarray(values))}
            )
    document["animations"] = [{"name": "motion", "channels": channels, "samplers": samplers}]


def bone_name(index: int) -> str:
    """Return the name of a joint."""
    return f"bone_{index:03d}"


def aligned_quats(quats: Float32[np.ndarray, "T 4"]) -> Float32[np.ndarray, "T 4"]:
    """Return unit quaternions, each with the sign that is nearer to the one before: nothing turns the long way."""
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    flips = np.where((unit[1:] * unit[:-1]).sum(1) < 0, -1, 1)
    return (unit * np.cumprod([1, *flips])[:, None]).astype(np.float32)
