"""The skin of a mesh of a moving scene: weights of bones for its vertices, and the animation of those bones in glTF.

Source: Khronos, "glTF 2.0 Specification", sections 3.7.3 (skins) and 3.11 (animations). Between keys, glTF turns and
moves joints as `Motion` does: rotations slerped, translations linear.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Float32, UInt16

from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.scene import Scene

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
    """How the vertices of a mesh at rest follow bones."""

    joints: UInt16[np.ndarray, "M 4"]
    weights: Float32[np.ndarray, "M 4"]
    """They sum to one."""
    motion: Motion
    """Its bones, in the frame of the mesh."""

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "Skin":
        """Return the skin of a mesh in another frame, which a similarity leads to."""
        return replace(self, motion=self.motion.transformed(target_from_source))


class AddArray(Protocol):
    """Adds an array to a glTF file and returns the index of its accessor."""

    def __call__(self, array: np.ndarray, *, target: int | None = None, limits: bool = False) -> int:
        """Add an array; `limits` states its least and largest values."""
        ...


def scene_at_rest(scene: Scene) -> tuple[Scene, Motion]:
    """Return a moving scene at rest, and the motion of its Gaussians: of those that are there half of the time at least.

    Warns of others.
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
    return replace(scene, gaussians=scene.gaussians.select(there), motion=None), motion.select(there)


def skin_vertices(vertices: Float[np.ndarray, "M 3"], gaussians: Gaussians, motion: Motion) -> Skin:
    """Return the weights of vertices at rest: those of the nearest Gaussians, weighted by opacity over distance."""
    from scipy.spatial import KDTree

    solid = gaussians.opacities >= MIN_OPACITY
    solid = solid if solid.any() else np.ones(len(gaussians), bool)
    means, opacities = gaussians.means[solid].astype(np.float64), gaussians.opacities[solid].astype(np.float64)
    bones, shares = motion.bone_indices[solid], motion.bone_weights[solid].astype(np.float64)
    distance, near = KDTree(means).query(vertices, list(range(1, min(NEIGHBORS, len(means)) + 1)))
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
    return Skin(joints=joints, weights=weights.astype(np.float32), motion=motion)


def add_skin(document: dict[str, Any], skin: Skin, add: AddArray, *, target: int) -> None:
    """Add the skin of its only mesh, the joints and the animation to a glTF document with +Y up.

    `target` is the one of vertex attributes.
    """
    motion = skin.motion.transformed(Y_UP_FROM_WORLD)
    count = len(motion.bone_pivots)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = add(skin.joints.astype(np.uint8 if count <= 256 else np.uint16), target=target)
    attributes["WEIGHTS_0"] = add(skin.weights, target=target)
    first, pivots = len(document["nodes"]) + 1, motion.bone_pivots + np.float32(0)
    joints = list(range(first, first + count))
    document["nodes"][0]["skin"] = 0
    document["nodes"].append({"name": "bones", "children": joints})
    document["nodes"] += [{"name": bone_name(i), "translation": pivots[i].tolist()} for i in range(count)]
    document["scenes"][0]["nodes"].append(first - 1)
    # Column-major: what brings a vertex from the mesh to a joint is a translation.
    inverse = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    inverse[:, 3, :3] = -pivots
    document["skins"] = [{"joints": joints, "skeleton": first - 1, "inverseBindMatrices": add(inverse.reshape(-1, 16))}]
    times = add((motion.key_times - motion.key_times[0]).astype(np.float32), limits=True)
    channels, samplers = [], []
    for i in range(count):
        places = pivots[i] + motion.bone_translations[i]
        quats = aligned_quats(motion.bone_quats[i])[:, [1, 2, 3, 0]]  # xyzw
        for path, values in (("translation", places), ("rotation", quats)):
            channels.append({"sampler": len(samplers), "target": {"node": first + i, "path": path}})
            samplers.append({"input": times, "interpolation": "LINEAR", "output": add(np.ascontiguousarray(values))})
    document["animations"] = [{"name": "motion", "channels": channels, "samplers": samplers}]


def bone_name(index: int) -> str:
    """Return the name of a joint."""
    return f"bone_{index:03d}"


def aligned_quats(quats: Float32[np.ndarray, "T 4"]) -> Float32[np.ndarray, "T 4"]:
    """Return unit quaternions of which each is on the same side as the one before, so that nothing turns the long way."""
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    flips = np.where((unit[1:] * unit[:-1]).sum(1) < 0, -1, 1)
    return (unit * np.cumprod([1, *flips])[:, None]).astype(np.float32)
