"""Normal equations of the texture with which a mesh reproduces given pictures, accumulated in native code."""

import numpy as np
from jaxtyping import Float32, Int32

from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.render.extension import native_module
from img2world.render.triangles import TriangleHits


class TexelEquations:
    """A symmetric matrix over the texels of a texture, and the right side of the equations for its colors.

    A pixel is taken as the bilinear sample of four texels, so that a texel has entries with itself and with its eight
    neighbors.
    """

    def __init__(self, width: int, height: int) -> None:
        if min(width, height) < 2:
            raise ValueError(f"a texture of {width}x{height} has no four texels between which a pixel lies")
        self.diagonal, self.right, self.down, self.down_right, self.down_left = (
            np.zeros((height, width), np.float32) for _ in range(5)
        )
        self.target = np.zeros((height, width, 3), np.float32)

    def add_view(
        self,
        hits: TriangleHits,
        weight: Float32[np.ndarray, "H W"],
        rgb: Float32[np.ndarray, "H W 3"],
        faces: Int32[np.ndarray, "F 3"],
        uvs: Float32[np.ndarray, "M 2"],
    ) -> None:
        """Add a picture of the mesh; pixels of weight 0 do not count. The uvs are 0 to 1 from the upper left corner."""
        check_shapes(face=(hits.face, "H W"), weight=(weight, "H W"), rgb=(rgb, "H W 3"))
        check_finite(uvs=uvs)
        if len(faces) and (faces.min() < 0 or faces.max() >= len(uvs)):
            raise ValueError(f"faces point at vertices {faces.min()} to {faces.max()}, there are {len(uvs)}")
        if hits.face.size and hits.face.max() >= len(faces):
            raise ValueError(f"pixels see face {hits.face.max()}, there are {len(faces)}")
        check_dtypes(weight=(weight, np.float32), rgb=(rgb, np.float32), uvs=(uvs, np.float32))
        texels = uvs * np.array(self.diagonal.shape[::-1], np.float32)
        matrix = (self.diagonal, self.right, self.down, self.down_right, self.down_left)
        arrays = (*hits[:2], weight, rgb, faces, texels)
        native_module().add_view_to_texels(*map(np.ascontiguousarray, arrays), *matrix, self.target)
