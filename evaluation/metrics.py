"""Image, video and depth metrics of generated frames."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from evaluation.rendering import RenderedViews
from img2world.core.errors import MissingPackageError
from img2world.core.frames import Frames
from img2world.splat.metrics import psnr, ssim, unit_rgb

BACKGROUND_STEP = 10
"""Without alpha, pixels with a channel at least this far below white (of 255) belong to the object."""

FLIP_EVERY = 4
"""FLIP is slower than all other metrics together, so it is measured on one of so many frames."""

Flip = Callable[[np.ndarray, np.ndarray], float]


def load_flip() -> Flip:
    """Return a function for the mean FLIP error of two images at 67 pixels per degree; 0 is equal.

    Source: Andersson et al. 2020. Raises MissingPackageError when flip-evaluator is not installed.
    """
    try:
        import flip_evaluator
    except ImportError as error:
        raise MissingPackageError(
            "FLIP needs flip-evaluator, which is not installed",
            hint="pip install flip-evaluator, or use --no-flip",
        ) from error

    def flip(image: Float32[np.ndarray, "H W 3"], truth: Float32[np.ndarray, "H W 3"]) -> float:
        return float(flip_evaluator.evaluate(truth, image, "LDR", applyMagma=False)[1])

    return flip


def silhouettes(frames: Frames) -> Bool[np.ndarray, "V H W"]:
    """Return the object's masks, from alpha or else from what is not white."""
    if frames.alpha is not None:
        return frames.alpha > 127
    return frames.rgb.min(-1) < 255 - BACKGROUND_STEP


def compare_frames(
    frames: Frames, truth: RenderedViews, *, is_object: bool, radius: float, flip: Flip | None = None
) -> dict[str, float]:
    """Return the means over all frames but the first, which is the photo.

    psnr, ssim and flip of whole images; for objects object_psnr within the union of the silhouettes and iou of the
    silhouettes; flicker, see `flicker`; and the metrics of `compare_depth` for the first frame.
    """
    test = range(1, len(frames))
    generated, expected = unit_rgb(frames.rgb), unit_rgb(truth.rgb)
    metrics = {
        "psnr": float(np.mean([psnr(generated[i], expected[i]) for i in test])),
        "ssim": float(np.mean([ssim(generated[i], expected[i]) for i in test])),
        "flicker": flicker(frames.rgb, truth.rgb),
    }
    if flip is not None:
        metrics["flip"] = float(np.mean([flip(generated[i], expected[i]) for i in test[1::FLIP_EVERY]]))
    if is_object:
        metrics |= compare_silhouettes(generated, expected, silhouettes(frames), truth.alpha > 127)
    if frames.depth is not None:
        metrics |= compare_depth(frames.depth[0], truth.depth[0], radius=radius if is_object else None)
    return metrics


def compare_silhouettes(
    generated: Float32[np.ndarray, "V H W 3"],
    expected: Float32[np.ndarray, "V H W 3"],
    silhouette: Bool[np.ndarray, "V H W"],
    expected_silhouette: Bool[np.ndarray, "V H W"],
) -> dict[str, float]:
    """Return object_psnr and iou, means over all frames but the first."""
    union = silhouette | expected_silhouette
    iou = (silhouette & expected_silhouette)[1:].sum((1, 2)) / np.maximum(union[1:].sum((1, 2)), 1)
    object_psnr = [
        psnr(image[mask][None], truth[mask][None])
        for image, truth, mask in zip(generated[1:], expected[1:], union[1:], strict=True)
    ]
    return {"object_psnr": float(np.mean(object_psnr)), "iou": float(iou.mean())}


def flicker(rgb: UInt8[np.ndarray, "V H W 3"], truth: UInt8[np.ndarray, "V H W 3"]) -> float:
    """Return the mean absolute change from frame to frame relative to that of the truth: 0 stands still, 1 is best."""

    def change(frames: UInt8[np.ndarray, "V H W 3"]) -> float:
        return float(np.mean([np.abs(b.astype(np.int16) - a).mean() for a, b in pairwise(frames)]))

    return change(rgb) / max(change(truth), 1e-6)


def compare_depth(
    depth: Float32[np.ndarray, "H W"], truth: Float32[np.ndarray, "H W"], *, radius: float | None
) -> dict[str, float]:
    """Return abs_rel and delta1 (ratio below 1.25) after aligning the scale by the median, where both depths are known.

    Given a radius, also depth_mae, the mean error in radii without alignment. Empty where the depths share no pixel.
    Metrics of Eigen et al. 2014, section 4.
    """
    both = (depth > 0) & (truth > 0)
    if not both.any():
        return {}
    predicted, expected = depth[both].astype(np.float64), truth[both].astype(np.float64)
    aligned = predicted * np.median(expected / predicted)
    ratio = np.maximum(aligned / expected, expected / aligned)
    metrics = {"abs_rel": float(np.mean(np.abs(aligned - expected) / expected)), "delta1": float(np.mean(ratio < 1.25))}
    return (
        metrics if radius is None else {**metrics, "depth_mae": float(np.mean(np.abs(predicted - expected)) / radius)}
    )


def mean_metrics(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over the rows that have a finite value of it."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if name in row and np.isfinite(row[name])] for name in names}
    return {name: float(np.mean(values)) for name, values in columns.items() if values}
