"""What any generator has to beat, and what one with perfect geometry would reach."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from evaluation.samples import Case
from img2world.core.camera_paths import UP_IN_WORLD
from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.layered.inpaint import fill_smooth, nearest_known
from img2world.layered.layers import SEEN, Layer, LayeredImage, layer_from_depth
from img2world.layered.object_layers import CutOut, colors_behind
from img2world.layered.warp import Warper

MOST_STEP = 1.04
"""Ratio of depths within one cell of the photo's grid above which it spans two surfaces and is cut."""


def copied_input(case: Case, cameras: Cameras) -> Frames:
    """The photo, whatever the camera does."""
    rgb, alpha = _resized(case, cameras)
    count = len(cameras)
    return _frames(case, cameras, np.repeat(rgb[None], count, 0), np.repeat(alpha[None], count, 0))


def billboard(case: Case, cameras: Cameras) -> Frames:
    """A card with the photo that turns with the camera; from behind it shows the mirrored photo."""
    rgb, alpha = _resized(case, cameras)
    # The camera is behind when it looks against the photo's direction, apart from the height of both.
    up = case_up(case)
    flat = cameras.world_from_cam[:, :3, 2] - np.outer(cameras.world_from_cam[:, :3, 2] @ up, up)
    behind = flat @ flat[0] < 0
    flips = [(slice(None), slice(None, None, -1)) if turned else (slice(None), slice(None)) for turned in behind]
    return _frames(case, cameras, np.stack([rgb[flip] for flip in flips]), np.stack([alpha[flip] for flip in flips]))


def case_up(case: Case) -> Float32[np.ndarray, "3"]:
    """The axis that an object's paths turn about; straight up in a scene."""
    if not case.is_object:
        return UP_IN_WORLD.astype(np.float32)
    centers = case.paths["static"].cameras.centers_in_world
    axis = np.cross(centers[1] - centers[0], centers[2] - centers[1])
    return axis / np.linalg.norm(axis)


def true_depth(case: Case, cameras: Cameras) -> Frames:
    """The photo on its true first surface; an object's hidden side has true depth and its outline's colours."""
    cut = CutOut(rgb=case.photo.rgb[0].astype(np.float32) / 255, alpha=case.photo.alpha[0].astype(np.float32) / 255)
    return _warped(case, cameras, colors_behind(cut) if case.is_object else None)


def true_layers(case: Case, cameras: Cameras) -> Frames:
    """Two true surfaces with their true colours: the first and the last that the photo's lines of sight meet."""
    last = case.photo.last_rgb
    return _warped(case, cameras, None if last is None else last[0].astype(np.float32) / 255)


BASELINES: dict[str, Callable[[Case, Cameras], Frames]] = {
    "copy": copied_input,
    "billboard": billboard,
    "true-depth": true_depth,
    "true-layers": true_layers,
}
"""Besides the models in the same table. The last two know the truth: they are ceilings, not rivals."""

SCENE_BASELINES = ("copy", "true-depth")
"""In a scene a card is the photo itself, and the last surface is as good as the first."""


def _resized(case: Case, cameras: Cameras) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """The photo and its coverage at the size of the frames."""
    import cv2

    size = (cameras.width, cameras.height)
    small = [cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (case.photo.rgb[0], case.photo.alpha[0])]
    return small[0], small[1]


def _frames(
    case: Case,
    cameras: Cameras,
    rgb: UInt8[np.ndarray, "V H W 3"],
    alpha: UInt8[np.ndarray, "V H W"],
    depth: Float32[np.ndarray, "V H W"] | None = None,
) -> Frames:
    """A video of the case."""
    times = np.arange(len(cameras)) / 12.0
    return Frames(rgb=rgb, times=times, cameras=cameras, alpha=alpha if case.is_object else None, depth=depth)


def _warped(case: Case, cameras: Cameras, back: Float32[np.ndarray, "h w 3"] | None) -> Frames:
    """The photo's surfaces drawn from each camera; what a scene's photo does not show is filled smoothly."""
    photo = case.photo
    layers = [_layer(photo.cameras, photo.depth[0], photo.alpha[0], photo.rgb[0].astype(np.float32) / 255)]
    if photo.last_depth is not None and back is not None:
        layers.append(_layer(photo.cameras, photo.last_depth[0], photo.alpha[0], back))
    warper = Warper(LayeredImage(layers=tuple(layers), is_object=case.is_object))
    shots = [warper.draw(cameras.select([i])) for i in range(len(cameras))]
    pictures = []
    for shot in shots:
        cover = shot.alpha[..., None]
        behind = np.float32(1)
        if not case.is_object:
            behind = fill_smooth(shot.rgb, shot.alpha > 0)
        pictures.append(np.round(255 * np.clip(shot.rgb * cover + behind * (1 - cover), 0, 1)).astype(np.uint8))
    alpha = np.round(255 * np.stack([shot.alpha for shot in shots])).astype(np.uint8)
    return _frames(case, cameras, np.stack(pictures), alpha, np.stack([shot.depth for shot in shots]))


def _layer(
    camera: Cameras,
    depth: Float32[np.ndarray, "h w"],
    alpha: UInt8[np.ndarray, "h w"],
    texture: Float32[np.ndarray, "h w 3"],
) -> Layer:
    """One surface, cut where its depth leaps. Beyond the outline depth and colour go on as they are at it."""
    known = (depth > 0) & (alpha > 250)
    _, row, column = nearest_known(known if known.any() else depth > 0)
    depth, texture = depth[row, column], texture[row, column]
    seen = np.full(depth.shape, SEEN, np.uint8)
    layer = layer_from_depth(camera, depth, texture, seen, alpha=alpha.astype(np.float32) / 255)
    corners = depth.reshape(-1)[layer.faces]
    return replace(layer, faces=layer.faces[corners.max(1) < MOST_STEP * corners.min(1)])
