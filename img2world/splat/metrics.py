"""Metrics of a scene: the match with training and held-out views, and the floaters in front of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from img2world.core.gaussians import Gaussians
from img2world.core.rotation import matrix_from_quat
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render import Color, render_each
from img2world.splat.views import farthest_first

PEAK_DB = 100.0
"""PSNR reported for equal images, whose true PSNR is infinite."""

FLOATER_VIEWS = 8
"""Views on which floaters are looked for; these are far apart, others show little else."""

FLOATER_MARGIN, EDGE_WIDTH, BORDER = 0.05, 0.01, 0.05
"""Tolerances of floaters: relative depth in front of a surface; and as fractions of the longer side of the image, the
distance from the edge of a surface in front, and from the border of the image."""

EXTENT = 2.0
"""Standard deviations from the centre at which a Gaussian ends."""


def psnr(image: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]) -> float:
    """Return the peak signal-to-noise ratio in dB of images with values from 0 to 1, at most PEAK_DB."""
    error = np.mean(np.square(image.astype(np.float64) - truth.astype(np.float64)))
    return float(min(PEAK_DB, -10 * np.log10(max(error, 1e-30))))


def ssim(image: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]) -> float:
    """Return the structural similarity of images with values from 0 to 1, averaged over channels.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
    equation 13, with its Gaussian window of 11 × 11 pixels; only windows that lie inside the image count.
    """
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    similarity: Any = structural_similarity(image, truth, data_range=1.0, channel_axis=-1, **options)
    return float(similarity)


def match_colors(image: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Return an image, values 0 to 1, with the gain and the offset of each channel that bring it nearest to another."""
    matched = np.empty_like(image)
    for channel in range(3):
        x, y = image[..., channel].astype(np.float64), truth[..., channel].astype(np.float64)
        gain = ((x - x.mean()) * (y - y.mean())).mean() / max(x.var(), 1e-12)
        matched[..., channel] = np.clip(y.mean() + gain * (x - x.mean()), 0, 1)
    return matched


def evaluate(scene: Scene, views: Views, held_out: Bool[np.ndarray, "V"]) -> dict[str, float]:
    """Compare the views with what the scene's own cameras see.

    Returns means over views: train_psnr in dB and, only if views were held out, heldout_psnr, heldout_ssim and their
    number heldout_views; of views with neither depth nor alpha also heldout_psnr_matched, for which each rendering was
    first matched to the brightness and tint of its view, as exposures of photos differ. Also num_gaussians and, only if
    the scene moves, its number of times, and if the views have depth, floaters.
    """
    views = replace(views, cameras=scene.cameras)
    trained = compare_scene(scene, views.select(np.flatnonzero(~held_out)))
    facts = {
        "num_gaussians": float(len(scene.gaussians)),
        "train_psnr": float(np.mean([psnr(*pair) for pair in trained])),
    }
    if held_out.any():
        unseen = list(compare_scene(scene, views.select(np.flatnonzero(held_out))))
        facts["heldout_views"] = float(len(unseen))
        facts["heldout_psnr"] = float(np.mean([psnr(*pair) for pair in unseen]))
        facts["heldout_ssim"] = float(np.mean([ssim(*pair) for pair in unseen]))
        if views.depth is None and views.alpha is None:
            facts["heldout_psnr_matched"] = float(np.mean([psnr(match_colors(*pair), pair[1]) for pair in unseen]))
    if scene.motion is not None:
        facts["times"] = float(len(scene.motion.key_times))
    if views.depth is not None:
        facts["floaters"] = find_floaters(scene.gaussians, views)
    return facts


def find_floaters(gaussians: Gaussians, views: Views) -> float:
    """Return the fraction of the Gaussians, by opacity times apparent area, that the views do not support.

    These lie, with their centre or an end of their longest axis, in front of the surface that a view shows, or where
    no view looks. The area is that of the two larger axes from the nearest view. The views must have depth.
    """
    longest = gaussians.log_scales.argmax(1)
    axes = np.take_along_axis(matrix_from_quat(gaussians.quats), longest[:, None, None], 2)[..., 0]
    ends = EXTENT * gaussians.scales.max(1, keepdims=True) * axes
    points = np.concatenate([gaussians.means, gaussians.means + ends, gaussians.means - ends]).astype(np.float32)
    in_front, in_view = np.zeros(len(points), bool), np.zeros(len(points), bool)
    nearest = np.full(len(gaussians), np.inf, np.float32)
    for i in farthest_first(views.cameras)[:FLOATER_VIEWS].tolist():
        surface = _nearest_surface(views, i)
        height, width = surface.shape
        depth, pixels, inside = views.cameras.project(i, points, BORDER * max(height, width))
        away = np.linalg.norm(gaussians.means - views.cameras.centers_in_world[i], axis=1)
        nearest = np.minimum(nearest, away)
        columns, rows = np.clip(pixels[inside].astype(np.int64), 0, [[width - 1, height - 1]]).T
        in_front[inside] |= depth[inside] < (1 - FLOATER_MARGIN) * surface[rows, columns]
        in_view |= inside
    floating = (in_front | ~in_view).reshape(3, -1).any(0)
    largest = np.sort(gaussians.log_scales, 1)[:, 1:].sum(1)
    # A solid angle of 1 fills a usual picture.
    weights = gaussians.opacities * np.minimum(2 * np.pi * np.exp(largest) / nearest**2, 1)
    return float(weights[floating].sum() / weights.sum())


def _nearest_surface(views: Views, i: int) -> Float32[np.ndarray, "H W"]:
    """Return the smallest depth near each pixel of a view: 0 where one is unknown, infinite beside an object."""
    import cv2

    assert views.depth is not None  # Only called where there is depth.
    surface = views.depth[i].copy()
    if views.alpha is not None:
        surface[views.alpha[i] == 0] = np.inf
    if views.mask is not None:
        surface[views.mask[i] == 0] = 0
    radius = int(np.ceil(EDGE_WIDTH * max(surface.shape)))
    return cv2.erode(surface, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))


def compare_scene(
    scene: Scene, views: Views
) -> Iterator[tuple[Float32[np.ndarray, "H W 3"], Float32[np.ndarray, "H W 3"]]]:
    """Yield what `compare` does, of a scene that moves at the time of each view, in which what moves counts."""
    if scene.motion is None or views.times is None:
        yield from compare(scene.gaussians, views, scene.background)
        return
    counted = views.with_moving_part()
    for i, time in enumerate(views.times.tolist()):
        yield from compare(scene.at(time), counted.select(np.array([i])), scene.background)


def compare(
    gaussians: Gaussians, views: Views, background: Color
) -> Iterator[tuple[Float32[np.ndarray, "H W 3"], Float32[np.ndarray, "H W 3"]]]:
    """Yield the rendered and the true image of one view after the other, equal where the view is masked."""
    rendered = render_each(gaussians, views.cameras, background=background)
    for i, (rgb, _, _) in enumerate(rendered):
        truth = unit_rgb(views.rgb[i])
        yield rgb, truth if views.mask is None else np.where(views.mask[i][..., None] == 0, rgb, truth)


def unit_rgb(rgb: UInt8[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Convert colours from 0 to 255 to 0 to 1."""
    return rgb.astype(np.float32) / np.float32(255)
