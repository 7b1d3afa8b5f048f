"""Baselines: lower bounds that any backend has to beat, and upper bounds that use the true geometry."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from evaluation.samples import Sample
from img2world.core.camera_paths import UP_IN_WORLD
from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.layered.inpaint import fill_smooth, nearest_known
from img2world.layered.layers import SEEN, Layer, LayeredImage, layer_from_depth
from img2world.layered.object_layers import CutOut, colors_behind
from img2world.layered.warp import Warper

MAX_DEPTH_RATIO = 1.04
"""Cells of the photo's grid with a larger ratio of depths span two surfaces and are cut."""


def copy_photo(sample: Sample, cameras: Cameras) -> Frames:
    """Return the photo for every camera."""
    rgb, alpha = _resize_photo(sample, cameras)
    count = len(cameras)
    return _make_frames(sample, cameras, np.repeat(rgb[None], count, 0), np.repeat(alpha[None], count, 0))


def show_billboard(sample: Sample, cameras: Cameras) -> Frames:
    """Return the photo on a plane that turns with the camera, mirrored when seen from behind."""
    rgb, alpha = _resize_photo(sample, cameras)
    # The camera is behind when it looks against the photo's direction, apart from the height of both.
    up = up_of_sample(sample)
    flat = cameras.world_from_cam[:, :3, 2] - np.outer(cameras.world_from_cam[:, :3, 2] @ up, up)
    behind = flat @ flat[0] < 0
    flips = [
        (slice(None), slice(None, None, -1)) if azimuth_rotation else (slice(None), slice(None))
        for azimuth_rotation in behind
    ]
    return _make_frames(
        sample, cameras, np.stack([rgb[flip] for flip in flips]), np.stack([alpha[flip] for flip in flips])
    )


def up_of_sample(sample: Sample) -> Float32[np.ndarray, "3"]:
    """Return the axis about which an object's paths turn; straight up in a scene."""
    if not sample.is_object:
        return UP_IN_WORLD.astype(np.float32)
    centers = sample.paths["static"].cameras.centers_in_world
    axis = np.cross(centers[1] - centers[0], centers[2] - centers[1])
    return axis / np.linalg.norm(axis)


def warp_true_depth(sample: Sample, cameras: Cameras) -> Frames:
    """Return the photo warped by its true depth; an object's back has true depth and the colours of its outline."""
    cut = CutOut(rgb=sample.photo.rgb[0].astype(np.float32) / 255, alpha=sample.photo.alpha[0].astype(np.float32) / 255)
    return _warp(sample, cameras, colors_behind(cut) if sample.is_object else None)


def warp_true_layers(sample: Sample, cameras: Cameras) -> Frames:
    """Return the first and the last surface on the photo's rays warped with their true depths and colours."""
    last = sample.photo.last_rgb
    return _warp(sample, cameras, None if last is None else last[0].astype(np.float32) / 255)


BASELINES: dict[str, Callable[[Sample, Cameras], Frames]] = {
    "copy": copy_photo,
    "billboard": show_billboard,
    "true-depth": warp_true_depth,
    "true-layers": warp_true_layers,
}
"""Baselines by name. The last two use the ground truth and are upper bounds."""

SCENE_BASELINES = ("copy", "true-depth")
"""In a scene a billboard equals the photo, and the last surface adds little to the first."""


def _resize_photo(sample: Sample, cameras: Cameras) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Return colours and alpha of the photo at the size of the frames."""
    import cv2

    size = (cameras.width, cameras.height)
    small = [cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (sample.photo.rgb[0], sample.photo.alpha[0])]
    return small[0], small[1]


def _make_frames(
    sample: Sample,
    cameras: Cameras,
    rgb: UInt8[np.ndarray, "V H W 3"],
    alpha: UInt8[np.ndarray, "V H W"],
    depth: Float32[np.ndarray, "V H W"] | None = None,
) -> Frames:
    """Return the video of a baseline."""
    times = np.arange(len(cameras)) / 12.0
    return Frames(rgb=rgb, times=times, cameras=cameras, alpha=alpha if sample.is_object else None, depth=depth)


def _warp(sample: Sample, cameras: Cameras, back: Float32[np.ndarray, "h w 3"] | None) -> Frames:
    """Return the photo's surfaces seen from each camera; in scenes, disocclusions are filled smoothly."""
    photo = sample.photo
    layers = [_make_layer(photo.cameras, photo.depth[0], photo.alpha[0], photo.rgb[0].astype(np.float32) / 255)]
    if photo.last_depth is not None and back is not None:
        layers.append(_make_layer(photo.cameras, photo.last_depth[0], photo.alpha[0], back))
    warper = Warper(LayeredImage(layers=tuple(layers), is_object=sample.is_object))
    warps = [warper.draw(cameras.select([i])) for i in range(len(cameras))]
    images = []
    for warp in warps:
        coverage = warp.alpha[..., None]
        behind = np.float32(1)
        if not sample.is_object:
            behind = fill_smooth(warp.rgb, warp.alpha > 0)
        images.append(np.round(255 * np.clip(warp.rgb * coverage + behind * (1 - coverage), 0, 1)).astype(np.uint8))
    alpha = np.round(255 * np.stack([warp.alpha for warp in warps])).astype(np.uint8)
    return _make_frames(sample, cameras, np.stack(images), alpha, np.stack([warp.depth for warp in warps]))


def _make_layer(
    camera: Cameras,
    depth: Float32[np.ndarray, "h w"],
    alpha: UInt8[np.ndarray, "h w"],
    texture: Float32[np.ndarray, "h w 3"],
) -> Layer:
    """Return one surface, cut at depth discontinuities, whose depth and colours extend beyond the outline."""
    known = (depth > 0) & (alpha > 250)
    _, row, column = nearest_known(known if known.any() else depth > 0)
    depth, texture = depth[row, column], texture[row, column]
    seen = np.full(depth.shape, SEEN, np.uint8)
    layer = layer_from_depth(camera, depth, texture, seen, alpha=alpha.astype(np.float32) / 255)
    corners = depth.reshape(-1)[layer.faces]
    return replace(layer, faces=layer.faces[corners.max(1) < MAX_DEPTH_RATIO * corners.min(1)])
