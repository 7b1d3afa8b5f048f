"""How near a scene comes to the pictures, on views it was trained on and on views it never saw."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render import render

PEAK_DB = 100.0
"""What equal pictures get, since their true PSNR is infinite."""


def psnr(image: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]) -> float:
    """Peak signal-to-noise ratio in dB of pictures with values 0 to 1, at most 100."""
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
    """Mean quality of the scene's own cameras: train_psnr, heldout_psnr, heldout_ssim, num_gaussians.

    The two held-out figures are left out when no view was held out.
    """
    facts = {"num_gaussians": float(len(scene.gaussians))}
    trained = _compare(scene, views, np.flatnonzero(~held_out))
    facts["train_psnr"] = float(np.mean([psnr(*pair) for pair in trained]))
    if held_out.any():
        unseen = _compare(scene, views, np.flatnonzero(held_out))
        facts["heldout_psnr"] = float(np.mean([psnr(*pair) for pair in unseen]))
        facts["heldout_ssim"] = float(np.mean([ssim(*pair) for pair in unseen]))
    return facts


def _compare(
    scene: Scene, views: Views, index: np.ndarray
) -> list[tuple[Float32[np.ndarray, "H W 3"], Float32[np.ndarray, "H W 3"]]]:
    """Rendered and true picture of some of the views, equal where they are to be ignored."""
    drawn = render(scene.gaussians, views.cameras.select(index), background=scene.background)
    truth = unit_rgb(views.rgb[index])
    if views.mask is not None:
        truth = np.where(views.mask[index][..., None] == 0, drawn.rgb, truth)
    return list(zip(drawn.rgb, truth, strict=True))


def unit_rgb(rgb: UInt8[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Colours 0 to 255 as 0 to 1."""
    return rgb.astype(np.float32) / np.float32(255)
