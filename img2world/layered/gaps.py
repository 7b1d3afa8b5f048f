"""Measure how much a view shows that the photo does not: nothing at all, guessed colors, or a stretched surface."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from img2world.core.cameras import Cameras
from img2world.core.conventions import NEAR
from img2world.core.subject import Subject
from img2world.layered.build import build_layers, input_camera
from img2world.layered.layers import SEEN, LayeredImage
from img2world.layered.warp import Warper

MAX_STRETCH = 2.5
"""Magnification relative to the photo above which a surface looks smeared."""

DEPTH_TOLERANCE = 1.03
"""Ratio of depths up to which a triangle is the one that is drawn."""


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """The worst of several frames, as fractions of a frame."""

    empty: float
    """Shows no surface."""
    unseen: float
    """Shows nothing that the photo shows."""
    stretched: float
    """Shows a surface magnified by more than MAX_STRETCH: the photo shows it from the side."""


def make_gap_measure(subject: Subject, *, size: int = 96) -> Callable[[Float32[np.ndarray, "V 4 4"]], Gaps]:
    """Return a function of poses (world from camera) that measures the gaps in frames of `size` pixels."""
    image, camera = build_layers(subject, size, textured=False), input_camera(subject, size)
    warper, stretch_of = Warper(image), make_stretch_measure(image, camera)

    def measure(poses: Float32[np.ndarray, "V 4 4"]) -> Gaps:
        gaps = []
        for pose in poses:
            here = Cameras(
                world_from_cam=pose[None], intrinsics=camera.intrinsics, width=camera.width, height=camera.height
            )
            warped = warper.draw(here, supersample=1)
            stretched = stretch_of(here, warped.depth)
            gaps.append(((warped.alpha == 0).mean(), (warped.seen < SEEN).mean(), stretched))
        empty, unseen, stretched = np.max(gaps, axis=0).tolist()
        return Gaps(empty=empty, unseen=unseen, stretched=stretched)

    return measure


def make_stretch_measure(
    image: LayeredImage, camera: Cameras
) -> Callable[[Cameras, Float32[np.ndarray, "H W"]], float]:
    """Return a function of a view and its depth: the fraction of the view that is stretched relative to the camera."""
    starts = np.cumsum([0, *(len(layer.vertices_in_world) for layer in image.layers)])
    vertices = np.concatenate([layer.vertices_in_world for layer in image.layers])
    faces = np.concatenate(
        [
            layer.faces[(layer.alphas[layer.faces] >= 0.5).all(1)] + np.int32(start)
            for layer, start in zip(image.layers, starts[:-1], strict=True)
        ]
    )
    at_first, _ = project(camera, vertices)
    edges = edge_matrices(at_first, faces)
    # A triangle that the first camera sees exactly from the side has no area there.
    solid = np.abs(np.linalg.det(edges)) > 1e-6
    faces, inverse = faces[solid], np.linalg.inv(edges[solid])

    def measure(view: Cameras, depth: Float32[np.ndarray, "H W"]) -> float:
        points, depths = project(view, vertices)
        column, row = np.floor(points[faces].mean(1)).astype(int).T
        inside = (row >= 0) & (row < view.height) & (column >= 0) & (column < view.width)
        shown = np.flatnonzero(inside)
        nearest = depth[row[shown], column[shown]]
        shown = shown[depths[faces[shown]].mean(1) < DEPTH_TOLERANCE * nearest]
        change = edge_matrices(points, faces[shown]) @ inverse[shown]
        determinant, squares = np.abs(np.linalg.det(change)), (change**2).sum((1, 2))
        # The larger singular value of a 2 x 2 matrix.
        stretch = np.sqrt(0.5 * (squares + np.sqrt(np.maximum(squares**2 - 4 * determinant**2, 0))))
        area = 0.5 * determinant / np.abs(np.linalg.det(inverse[shown]))
        return float(area[stretch > MAX_STRETCH].sum() / depth.size)

    return measure


def project(
    camera: Cameras, points: Float32[np.ndarray, "N 3"]
) -> tuple[Float32[np.ndarray, "N 2"], Float32[np.ndarray, "N"]]:
    """Return the pixel positions and depths of points in one camera."""
    picture_from_world = (camera.intrinsics[0] @ camera.cam_from_world[0, :3]).astype(np.float32)
    in_picture = points @ picture_from_world[:, :3].T + picture_from_world[:, 3]
    depth = in_picture[:, 2]
    return in_picture[:, :2] / np.maximum(depth, NEAR)[:, None], depth


def edge_matrices(points: Float32[np.ndarray, "N 2"], faces: Int32[np.ndarray, "F 3"]) -> Float32[np.ndarray, "F 2 2"]:
    """Return two edges of each triangle as the columns of a matrix."""
    first, second, third = (points[faces[:, corner]] for corner in range(3))
    return np.stack([second - first, third - first], -1)
