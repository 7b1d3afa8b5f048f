"""Triangle meshes with vertex colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.pictures import load_arrays, save_arrays


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A triangle mesh; the front of a face is the side from which its vertices are in counter-clockwise order."""

    vertices: Float32[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]
    colors: UInt8[np.ndarray, "M 3"]
    """Colours of the vertices in sRGB."""

    def __post_init__(self) -> None:
        vertices, faces, colors = self.vertices, self.faces, self.colors
        check_shapes(vertices=(vertices, "M 3"), faces=(faces, "F 3"), colors=(colors, "M 3"))
        check_dtypes(vertices=(vertices, np.float32), faces=(faces, np.int32), colors=(colors, np.uint8))
        check_finite(vertices=vertices)
        if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise ValueError(f"faces point at vertices {faces.min()} to {faces.max()}, there are {len(vertices)}")

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        save_arrays({"vertices": self.vertices, "faces": self.faces, "colors": self.colors}, path)

    @classmethod
    def load(cls, path: Path) -> "Mesh":
        """Read a mesh that `save` wrote."""
        return cls(**load_arrays(path))
