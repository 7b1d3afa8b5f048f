"""Rasterize triangle meshes with a z-buffer, in native code."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from img2world.core.cameras import Cameras
from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.conventions import NEAR
from img2world.render.extension import native_module, num_threads


class TriangleHits(NamedTuple):
    """The nearest face at each pixel."""

    face: Int32[np.ndarray, "H W"]
    """-1 where no face is seen."""
    barycentric: Float32[np.ndarray, "H W 2"]
    """Weights of the face's second and third vertex, perspective-correct; all three add up to 1."""
    depth: Float32[np.ndarray, "H W"]
    """Along +Z, 0 where no face is seen."""


def rasterize_triangles(
    vertices_in_cam: Float32[np.ndarray, "M 3"],
    faces: Int32[np.ndarray, "F 3"],
    alphas: Float32[np.ndarray, "M"],
    camera: Cameras,
) -> TriangleHits:
    """Find the nearest face at each pixel centre; faces are visible from both sides.

    A face is cut away where its interpolated alpha is below 0.5, and left out when one of its vertices is nearer
    than `NEAR` or behind the camera. Of equally near faces the first is seen. Only the intrinsics and the size of
    the camera are used. Raises Img2WorldError when a value is not finite.
    """
    if len(camera) != 1:
        raise ValueError(f"{len(camera)} cameras, rasterize_triangles draws one; use cameras.select([i])")
    check_shapes(vertices=(vertices_in_cam, "M 3"), faces=(faces, "F 3"), alphas=(alphas, "M"))
    check_dtypes(vertices=(vertices_in_cam, np.float32), faces=(faces, np.int32), alphas=(alphas, np.float32))
    check_finite(vertices_in_cam=vertices_in_cam, alphas=alphas)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices_in_cam)):
        raise ValueError(f"faces point at vertices {faces.min()} to {faces.max()}, there are {len(vertices_in_cam)}")
    shape = (camera.height, camera.width)
    hits = TriangleHits(np.empty(shape, np.int32), np.empty((*shape, 2), np.float32), np.empty(shape, np.float32))
    native_module().rasterize_triangles(
        num_threads(),
        *(np.ascontiguousarray(array) for array in (vertices_in_cam, alphas, faces)),
        *(np.eye(4, dtype=np.float32), np.ascontiguousarray(camera.intrinsics[0]), NEAR),
        *hits,
    )
    return hits
