"""How closely a scene matches the images, on views it was trained on and on views held out."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from img2world.core.gaussians import Gaussians
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render import Color, render

PEAK_DB = 100.0
"""PSNR reported for equal images, whose true PSNR is infinite."""


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


def evaluate(scene: Scene, views: Views, held_out: Bool[np.ndarray, "V"]) -> dict[str, float]:
    """Compare the views with what the scene's own cameras see.

    Returns means: train_psnr, heldout_psnr and heldout_ssim, the latter two only if views were held out; and
    num_gaussians.
    """
    views = replace(views, cameras=scene.cameras)
    trained = compare(scene.gaussians, views.select(np.flatnonzero(~held_out)), scene.background)
    facts = {
        "num_gaussians": float(len(scene.gaussians)),
        "train_psnr": float(np.mean([psnr(*pair) for pair in trained])),
    }
    if held_out.any():
        unseen = compare(scene.gaussians, views.select(np.flatnonzero(held_out)), scene.background)
        facts["heldout_psnr"] = float(np.mean([psnr(*pair) for pair in unseen]))
        facts["heldout_ssim"] = float(np.mean([ssim(*pair) for pair in unseen]))
    return facts


def compare(
    gaussians: Gaussians, views: Views, background: Color
) -> list[tuple[Float32[np.ndarray, "H W 3"], Float32[np.ndarray, "H W 3"]]]:
    """Return the rendered and the true image of each view, equal where the view is masked."""
    rendered = render(gaussians, views.cameras, background=background)
    truth = unit_rgb(views.rgb)
    if views.mask is not None:
        truth = np.where(views.mask[..., None] == 0, rendered.rgb, truth)
    return list(zip(rendered.rgb, truth, strict=True))


def unit_rgb(rgb: UInt8[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Convert colours from 0 to 255 to 0 to 1."""
    return rgb.astype(np.float32) / np.float32(255)
