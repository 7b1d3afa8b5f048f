"""A photo as textured surfaces, which can be drawn from other cameras."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from img2world.core.cameras import Cameras
from img2world.core.checks import check_finite, check_shapes

INVENTED, CONTINUED, SEEN = 0, 1, 2
"""Origins of a pixel's color; see `Frames.seen`."""

DETAIL = 2
"""Resolution of the detail of a texture relative to it. A frame's pixel, the mean of 2 x 2 samples, is then exact."""

HORIZONTAL_MARGIN, VERTICAL_MARGIN = 0.4, 0.18
"""Widths by which the layers of a scene extend beyond the picture at the sides, and at top and bottom, relative to its
longer side: paths move farther sideways than up and down."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One textured surface: a grid of vertices, cut at its outline."""

    vertices_in_world: Float32[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]
    alphas: Float32[np.ndarray, "M"]
    """The surface is cut away where the interpolated value is below one half."""
    texture_xy: Float32[np.ndarray, "M 2"]
    """Texture coordinates in pixels, the first pixel's center at (0.5, 0.5)."""
    blur: Float32[np.ndarray, "M"]
    """Standard deviation, in texture pixels, of the blur of the sampled texture; large where it is stretched."""
    texture: Float32[np.ndarray, "h w 3"]
    """sRGB 0 to 1, filled beyond the outline of the surface."""
    seen: UInt8[np.ndarray, "h w"]
    """INVENTED, CONTINUED or SEEN for each texture pixel."""
    detail: Float32[np.ndarray, "H W 3"] | None = None
    """The texture at DETAIL times its resolution, drawn where nothing is blurred; None takes the texture itself."""

    def __post_init__(self) -> None:
        check_shapes(
            vertices_in_world=(self.vertices_in_world, "M 3"),
            faces=(self.faces, "F 3"),
            alphas=(self.alphas, "M"),
            texture_xy=(self.texture_xy, "M 2"),
            blur=(self.blur, "M"),
            texture=(self.texture, "h w 3"),
            seen=(self.seen, "h w"),
        )
        check_finite(vertices_in_world=self.vertices_in_world)
        fine = (DETAIL * self.texture.shape[0], DETAIL * self.texture.shape[1], 3)
        if self.detail is not None and self.detail.shape != fine:
            raise ValueError(f"detail has shape {self.detail.shape}, needs {fine}")


@dataclass(frozen=True, kw_only=True)
class LayeredImage:
    """The surfaces that one photo shows, and those that are guessed beyond it."""

    layers: tuple[Layer, ...]
    is_object: bool


def rays_in_cam(camera: Cameras, horizontal: int = 0, vertical: int = 0) -> Float32[np.ndarray, "h w 3"]:
    """Return the directions with z = 1 through the pixel centers of one camera and of margins around its image."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].astype(np.float64)
    x = np.arange(-horizontal, camera.width + horizontal) + 0.5
    y = np.arange(-vertical, camera.height + vertical) + 0.5
    grid_x, grid_y = np.meshgrid((x - cx) / fx, (y - cy) / fy)
    return np.stack([grid_x, grid_y, np.ones_like(grid_x)], -1).astype(np.float32)


def grid_faces(used: Bool[np.ndarray, "h w"]) -> Int32[np.ndarray, "F 3"]:
    """Return two triangles for each cell of a grid whose four corners are used."""
    height, width = used.shape
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    cell = used[:-1, :-1] & used[1:, :-1] & used[:-1, 1:] & used[1:, 1:]
    a, b = index[:-1, :-1][cell], index[:-1, 1:][cell]
    c, d = index[1:, :-1][cell], index[1:, 1:][cell]
    return np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)])


def layer_from_depth(
    camera: Cameras,
    depth: Float32[np.ndarray, "h w"],
    texture: Float32[np.ndarray, "h w 3"],
    seen: UInt8[np.ndarray, "h w"],
    *,
    alpha: Float32[np.ndarray, "h w"],
    tilt: float = 1.0,
) -> Layer:
    """Lift a depth map, which may have margins around the camera's image, to a surface.

    Depth is along +Z of the one camera. The surface ends where `alpha` crosses one half, between pixels.
    `tilt` is how far the cameras will move up and down, relative to sideways; see `stretch_blur`.
    """
    margins = (depth.shape[1] - camera.width) // 2, (depth.shape[0] - camera.height) // 2
    points_in_cam = rays_in_cam(camera, *margins) * depth[..., None]
    return layer_of_grid(
        camera, points_in_cam, texture, seen, alpha=alpha, blur=stretch_blur(points_in_cam, camera, tilt)
    )


def layer_of_grid(
    camera: Cameras,
    points_in_cam: Float[np.ndarray, "h w 3"],
    texture: Float32[np.ndarray, "h w 3"],
    seen: UInt8[np.ndarray, "h w"],
    *,
    alpha: Float32[np.ndarray, "h w"],
    blur: Float32[np.ndarray, "h w"],
) -> Layer:
    """Make a surface through a grid of points in the space of the one camera, each with a pixel of the texture.

    It ends where `alpha` crosses one half; `blur` is in texture pixels, see `Layer`.
    """
    import cv2

    height, width = alpha.shape
    world_from_cam = camera.world_from_cam[0]
    points = points_in_cam.reshape(-1, 3) @ world_from_cam[:3, :3].T + world_from_cam[:3, 3]
    # Cells reach one pixel beyond the outline, so that the alpha test can cut them.
    used = cv2.dilate((alpha >= 0.5).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return Layer(
        vertices_in_world=points.astype(np.float32),
        faces=grid_faces(used),
        alphas=alpha.reshape(-1).astype(np.float32),
        texture_xy=np.stack([x, y], -1).reshape(-1, 2).astype(np.float32),
        blur=blur.reshape(-1),
        texture=texture,
        seen=seen,
    )


def stretch_blur(
    points_in_cam: Float32[np.ndarray, "h w 3"], camera: Cameras, tilt: float
) -> Float32[np.ndarray, "h w"]:
    """Return the blur, in texture pixels, that hides how far each cell is stretched.

    A texture pixel that is drawn ten times longer than wide looks like a streak; sampled from a texture blurred by
    about its length, it looks like a plain surface. The length of a cell from top to bottom is weighted by `tilt`: a
    camera that keeps its height hardly reveals it.
    """
    import cv2

    pixel = points_in_cam[..., 2] / camera.intrinsics[0, 0, 0]
    down = np.linalg.norm(np.diff(points_in_cam, axis=0, append=points_in_cam[-1:]), axis=-1)
    right = np.linalg.norm(np.diff(points_in_cam, axis=1, append=points_in_cam[:, -1:]), axis=-1)
    longest = cv2.dilate((np.maximum(tilt * down, right) / pixel).astype(np.float32), np.ones((3, 3), np.uint8))
    return np.maximum(0.5 * longest - 1.5, 0).astype(np.float32)
