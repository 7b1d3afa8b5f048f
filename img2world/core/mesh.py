"""Triangle meshes, colored at their vertices or by a texture."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8

from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.pictures import load_arrays, save_arrays


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A triangle mesh; the front of a face is the side from which its vertices are in counter-clockwise order.

    It has either the colors of its vertices or a texture. Vertices at a seam of the texture occur once for each side.
    """

    vertices: Float32[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]
    normals: Float32[np.ndarray, "M 3"]
    """Unit normals of the vertices."""
    colors: UInt8[np.ndarray, "M 3"] | None = None
    """Colors of the vertices in sRGB."""
    uvs: Float32[np.ndarray, "M 2"] | None = None
    """Texture coordinates 0 to 1 from the texture's upper left corner."""
    texture: UInt8[np.ndarray, "H W 3"] | None = None
    """sRGB."""

    def __post_init__(self) -> None:
        vertices, faces = self.vertices, self.faces
        check_shapes(vertices=(vertices, "M 3"), faces=(faces, "F 3"), normals=(self.normals, "M 3"))
        check_dtypes(vertices=(vertices, np.float32), faces=(faces, np.int32), normals=(self.normals, np.float32))
        check_finite(vertices=vertices, normals=self.normals)
        if (self.colors is None) == (self.texture is None) or (self.uvs is None) != (self.texture is None):
            raise ValueError("a mesh has either colors, or uvs and a texture")
        if self.colors is not None:
            check_shapes(vertices=(vertices, "M 3"), colors=(self.colors, "M 3"))
            check_dtypes(colors=(self.colors, np.uint8))
        if self.uvs is not None and self.texture is not None:
            check_shapes(vertices=(vertices, "M 3"), uvs=(self.uvs, "M 2"), texture=(self.texture, "H W 3"))
            check_dtypes(uvs=(self.uvs, np.float32), texture=(self.texture, np.uint8))
        if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise ValueError(f"faces point at vertices {faces.min()} to {faces.max()}, there are {len(vertices)}")

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "Mesh":
        """Return the mesh rotated, translated and uniformly scaled."""
        linear, offset = target_from_source[:3, :3], target_from_source[:3, 3]
        vertices = self.vertices.astype(np.float64) @ linear.T + offset
        normals = self.normals.astype(np.float64) @ linear.T / np.cbrt(np.linalg.det(linear))
        return replace(self, vertices=vertices.astype(np.float32), normals=normals.astype(np.float32))

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        save_arrays(dict(vars(self)), path)

    @classmethod
    def load(cls, path: Path) -> "Mesh":
        """Read a mesh that `save` wrote."""
        return cls(**load_arrays(path))
