"""Views as a training needs them: held out or not, at half the size, and with a background behind them."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, UInt8

from img2world.core.cameras import Cameras
from img2world.core.errors import SplatError
from img2world.core.pictures import stack_pictures
from img2world.core.views import Views
from img2world.render import Color

MIN_VIEWS = 2
"""A single view leaves depth undetermined."""

MIN_VIEWS_TO_HOLD_OUT = 4
"""With fewer, each view is worth more for training than for testing."""


def held_out_mask(num_views: int, every: int, times: Float64[np.ndarray, "V"] | None = None) -> Bool[np.ndarray, "V"]:
    """Mark every `every`-th view as held out, but never the first, from which the world was made.

    Of four or more views at least one is held out, unless `every` is 0. With `times`, of each as many of its
    views are held out, but from the cameras in turn: every camera is trained on, and every time that several see.
    """
    mask = np.zeros(num_views, bool)
    if every > 0 and num_views >= MIN_VIEWS_TO_HOLD_OUT:
        mask[max(1, min(every, num_views) // 2) :: every] = True
    if times is None:
        return mask
    held_out, begin, turn = np.zeros(num_views, bool), 0, 0
    for time in np.unique(times):
        here = np.flatnonzero(times == time)
        cameras, chosen = len(here), np.count_nonzero(mask[begin : begin + len(here)])
        # Nearly half way around the cameras, in steps that come by all of them.
        step = next(each for each in range(cameras // 2, -1, -1) if math.gcd(each, cameras) == 1)
        held_out[here[(cameras // 2 + step * (turn + np.arange(chosen))) % cameras]] = True
        begin, turn = begin + cameras, turn + chosen
    return held_out


def training_views(views: Views, held_out: Bool[np.ndarray, "V"]) -> Views:
    """Select the views that are not held out.

    Raises SplatError when there are fewer than two views in all, or none of those of an object shows it.
    """
    if len(views) < MIN_VIEWS:
        raise SplatError(
            f"{len(views)} view, needs at least {MIN_VIEWS}", hint="raise video.num_frames, or add pictures"
        )
    trained = views.select(np.flatnonzero(~held_out))
    if trained.alpha is not None and not any(alpha.any() for alpha in trained.alpha):
        raise SplatError(
            "the object is in none of the views: they are transparent everywhere",
            hint="check the alpha of the pictures, or give them without it",
        )
    return trained


def farthest_first(cameras: Cameras) -> Int[np.ndarray, "V"]:
    """Order the cameras, from the first on, such that each is as far as possible from all before it.

    Distance is that of positions and viewing directions, so that the first few views show most of the scene.
    """
    centers = cameras.centers_in_world.astype(np.float64)
    size = np.linalg.norm(centers - centers.mean(0), axis=1).max()
    features = np.concatenate([centers / max(size, 1e-9), cameras.world_from_cam[:, :3, 2]], axis=1)  # [V, 6]
    order = [0]
    nearest = np.linalg.norm(features - features[0], axis=1)
    while len(order) < len(cameras):
        nearest[order[-1]] = -1
        order.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(features - features[order[-1]], axis=1))
    return np.array(order)


def background_color(views: Views) -> Color:
    """Return white for an object, whose images have it already, and the mean colour of the image borders for a scene.

    A scene shows its background only where no view has looked, which is mostly beyond the borders of the images,
    so their mean colour is the least conspicuous.
    """
    if views.alpha is not None:
        return (1.0, 1.0, 1.0)
    rgb = views.rgb
    border = np.concatenate([rgb[:, :, [0, -1]].reshape(-1, 3), rgb[:, [0, -1]].reshape(-1, 3)])
    red, green, blue = (border.astype(np.float64).mean(0) / 255).tolist()
    return (red, green, blue)


def halve(views: Views) -> Views:
    """Scale views down to half the width and height: colour and alpha by area, depth by nearest neighbour."""
    width, height = max(1, views.cameras.width // 2), max(1, views.cameras.height // 2)
    return replace(
        views,
        rgb=_downscale(views.rgb, width, height),
        cameras=views.cameras.resized(width, height),
        alpha=None if views.alpha is None else _downscale(views.alpha, width, height),
        depth=None if views.depth is None else _downscale_depth(views.depth, width, height),
        mask=None if views.mask is None else _downscale_mask(views.mask, width, height),
        moving=None if views.moving is None else _downscale_moving(views.moving, width, height),
    )


def _downscale(images: UInt8[np.ndarray, "V H W *C"], width: int, height: int) -> UInt8[np.ndarray, "V h w *C"]:
    """Average images over the area of each new pixel."""
    import cv2

    smaller = (cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images)
    return stack_pictures(smaller, len(images))


def _downscale_mask(masks: UInt8[np.ndarray, "V H W"], width: int, height: int) -> UInt8[np.ndarray, "V h w"]:
    """Ignore each new pixel that covers an ignored one."""
    return np.where(_downscale(masks, width, height) == 255, 255, 0).astype(np.uint8)


def _downscale_moving(moving: UInt8[np.ndarray, "V H W"], width: int, height: int) -> UInt8[np.ndarray, "V h w"]:
    """Mark each new pixel that covers something moving."""
    return np.where(_downscale(moving, width, height) > 0, 255, 0).astype(np.uint8)


def _downscale_depth(depth: Float32[np.ndarray, "V H W"], width: int, height: int) -> Float32[np.ndarray, "V h w"]:
    """Take the depth nearest to each new pixel centre: the mean of two surfaces would lie on neither."""
    rows = ((np.arange(height) + 0.5) * depth.shape[1] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * depth.shape[2] / width).astype(np.int64)
    return depth[:, rows[:, None], columns]
