"""Axes of files, what engines make of them, and how splats are turned to face as a mesh does.

point_in_engine = engine_from_file(engine, suffix) @ file_from_world(suffix) @ point_in_world
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.rotation import quat_from_matrix

Y_UP_SUFFIXES = (".spz", ".glb", ".gltf", ".usd", ".usda", ".usdc", ".usdz")
"""Formats with +Y up and +Z backward; all others have our world's axes."""

CENTIMETRES = np.diag([100.0, 100.0, 100.0, 1.0])

ENGINE_FROM_FILE = {
    # Measured by tests/engines. The default left-handed system. Splat files are mirrored in Y, glTF files in X.
    "babylon": {"": np.diag([1.0, -1.0, 1.0, 1.0]), ".glb": np.diag([-1.0, 1.0, 1.0, 1.0])},
    # Measured by tests/engines. The importer puts +Z up; that of PLY files keeps their axes (3DGS Render by KIRI).
    "blender": {".glb": np.array([[1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]])},
    # From the source code. glTFast and UnityGLTF negate X; UnityGaussianSplatting 1.1.1 keeps the axes of a PLY file.
    "unity": {".glb": np.diag([-1.0, 1.0, 1.0, 1.0])},
    # From the source code. Interchange exchanges Y and Z (GLTF::ConvertVec3), UnrealSplat cc89f2c reads (x, -z, -y).
    "unreal": {
        ".glb": CENTIMETRES @ np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]]),
        ".ply": CENTIMETRES @ np.array([[1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]]),
    },
}
"""The transform that an engine gives a file on loading, by the engine and the suffix, "" for all other suffixes.

Engines that are not named load every file as it is: three.js with Spark, PlayCanvas, Godot and f3d.
"""

CENTERED = ("godot",)
"""Engines whose importer of splats moves the mean of the positions to the origin: gdgs 2.1.0, from its source code."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Position, rotation and scale to enter for an object in an engine, in this order from the left.

    Matrices have the engine's axes, whatever hand they have: half a turn about Z negates X and Y.
    """

    position: tuple[float, float, float]
    euler_deg: tuple[float, float, float]
    """Angles about the fixed axes X, then Y, then Z."""
    quaternion_wxyz: tuple[float, float, float, float]
    scale: tuple[float, float, float]
    """Of a turn from one hand to the other, that of Z is negative."""


def file_from_world(suffix: str) -> Float[np.ndarray, "4 4"]:
    """Return the transform from our world to the axes of a format."""
    return Y_UP_FROM_WORLD if suffix.endswith(Y_UP_SUFFIXES) else np.eye(4)


def engine_from_file(engine: str, suffix: str) -> Float[np.ndarray, "4 4"]:
    """Return the transform that an engine gives a file on loading."""
    transforms = ENGINE_FROM_FILE.get(engine, {})
    return transforms.get(suffix, transforms.get("", np.eye(4)))


def mesh_from_splats(engine: str, suffix: str, center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Return the transform to give splats in an engine so that they lie upon the GLB mesh of the same scene.

    `center` is the mean of their positions in our world.
    """
    splats = engine_from_file(engine, suffix) @ file_from_world(suffix)
    if engine in CENTERED:
        shift = np.eye(4)
        shift[:3, 3] = -center
        splats = splats @ shift
    return engine_from_file(engine, ".glb") @ file_from_world(".glb") @ np.linalg.inv(splats)


def turn_from_matrix(matrix: Float[np.ndarray, "4 4"]) -> Turn:
    """Return a rotated, translated, uniformly scaled and perhaps mirrored frame as an engine takes it."""
    determinant = np.linalg.det(matrix[:3, :3])
    scale = np.cbrt(abs(determinant)) * np.array([1.0, 1.0, np.sign(determinant)])
    rotation = matrix[:3, :3] / scale

    def numbers(values: Float[np.ndarray, "*N"]) -> tuple[float, ...]:
        # Adding zero turns -0.0 into 0.0.
        return tuple((np.round(values, 9) + 0.0).tolist())

    return Turn(
        position=numbers(matrix[:3, 3]),  # pyright: ignore[reportArgumentType]
        euler_deg=numbers(shortest_euler_deg(rotation)),  # pyright: ignore[reportArgumentType]
        quaternion_wxyz=numbers(quat_from_matrix(rotation)),  # pyright: ignore[reportArgumentType]
        scale=numbers(scale),  # pyright: ignore[reportArgumentType]
    )


def shortest_euler_deg(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Return the angles about the fixed axes X, Y, Z whose sum is the smallest: each rotation has two such triples."""
    from scipy.spatial.transform import Rotation

    first = Rotation.from_matrix(rotation).as_euler("xyz", degrees=True)
    second = np.array([first[0] + 180, 180 - first[1], first[2] + 180])
    second -= 360 * np.ceil((second - 180) / 360)
    return min(first, second, key=lambda angles: round(float(np.abs(angles).sum()), 6))
