"""Axes of files, and what engines make of them; measured in the engines by tests/engines.

point_in_engine = engine_from_file(engine, suffix) @ file_from_world(suffix) @ point_in_world
"""

import numpy as np
from jaxtyping import Float

from img2world.core.conventions import Y_UP_FROM_WORLD

Y_UP_SUFFIXES = (".spz", ".glb", ".gltf", ".usd", ".usda", ".usdc", ".usdz")
"""Formats with +Y up and +Z backward; all others have our world's axes."""

ENGINE_FROM_FILE = {
    # The default left-handed system. Splat files are mirrored in Y, glTF files in X: half a turn about Y between them.
    "babylon": {"": np.diag([1.0, -1.0, 1.0, 1.0]), ".glb": np.diag([-1.0, 1.0, 1.0, 1.0])},
    # The importer puts +Z up.
    "blender": {".glb": np.array([[1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]])},
}
"""The transform that an engine gives a file on loading, by the engine and the suffix, "" for all other suffixes.

Engines that are not named load every file as it is: three.js with Spark, PlayCanvas, Godot and f3d.
"""


def file_from_world(suffix: str) -> Float[np.ndarray, "4 4"]:
    """Return the transform from our world to the axes of a format."""
    return Y_UP_FROM_WORLD if suffix.endswith(Y_UP_SUFFIXES) else np.eye(4)


def engine_from_file(engine: str, suffix: str) -> Float[np.ndarray, "4 4"]:
    """Return the transform that an engine gives a file on loading."""
    transforms = ENGINE_FROM_FILE.get(engine, {})
    return transforms.get(suffix, transforms.get("", np.eye(4)))
