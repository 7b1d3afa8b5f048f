"""How near generated frames come to the truth, frame by frame and as a video."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from evaluation.rendering import RenderedAsset
from img2world.core.errors import MissingPackageError
from img2world.core.frames import Frames
from img2world.splat.metrics import PEAK_DB, psnr, ssim, unit_rgb

BACKGROUND_STEP = 10
"""A pixel of a video without alpha belongs to the object when a channel is this far from white, of 255."""

FLIP_EVERY = 4
"""FLIP takes longer than everything else, so one of so many frames has to do."""

Flip = Callable[[np.ndarray, np.ndarray], float]


def find_flip() -> Flip:
    """The mean FLIP error of two pictures (Andersson et al. 2020), at 67 pixels a degree; 0 is equal.

    Raises MissingPackageError when flip-evaluator is not installed.
    """
    try:
        import flip_evaluator
    except ImportError as error:
        raise MissingPackageError(
            "FLIP needs flip-evaluator, which is not installed",
            hint="pip install 'img2world[eval]', or leave it out with --no-flip",
        ) from error

    def flip(image: Float32[np.ndarray, "H W 3"], truth: Float32[np.ndarray, "H W 3"]) -> float:
        return float(flip_evaluator.evaluate(truth, image, "LDR", applyMagma=False)[1])

    return flip


def silhouettes(frames: Frames) -> Bool[np.ndarray, "V H W"]:
    """Where the object is: by alpha, or else by what is not white."""
    if frames.alpha is not None:
        return frames.alpha > 127
    return frames.rgb.min(-1) < 255 - BACKGROUND_STEP


def compare(
    frames: Frames, truth: RenderedAsset, *, is_object: bool, radius: float, flip: Flip | None = None
) -> dict[str, float]:
    """Means over all frames but the first, which is the photo itself: dB, shares and ratios.

    psnr, ssim and flip of whole pictures; for objects object_psnr within either silhouette and iou of the
    silhouettes; flicker, the change between neighbours divided by that of the truth; and what
    `compare_depth` says of the first frame.
    """
    judged = range(1, len(frames))
    drawn, true = unit_rgb(frames.rgb), unit_rgb(truth.rgb)
    facts = {
        "psnr": float(np.mean([psnr(drawn[i], true[i]) for i in judged])),
        "ssim": float(np.mean([ssim(drawn[i], true[i]) for i in judged])),
        "flicker": flicker(frames.rgb, truth.rgb),
    }
    if flip is not None:
        facts["flip"] = float(np.mean([flip(drawn[i], true[i]) for i in judged[1::FLIP_EVERY]]))
    if is_object:
        facts |= compare_outlines(drawn, true, silhouettes(frames), truth.alpha > 127)
    if frames.depth is not None:
        facts |= compare_depth(frames.depth[0], truth.depth[0], radius=radius if is_object else None)
    return facts


def compare_outlines(
    drawn: Float32[np.ndarray, "V H W 3"],
    true: Float32[np.ndarray, "V H W 3"],
    outline: Bool[np.ndarray, "V H W"],
    true_outline: Bool[np.ndarray, "V H W"],
) -> dict[str, float]:
    """object_psnr and iou, the means over all frames but the first."""
    union = outline | true_outline
    shared = (outline & true_outline)[1:].sum((1, 2)) / np.maximum(union[1:].sum((1, 2)), 1)
    error = [np.mean(np.square(drawn[i][union[i]] - true[i][union[i]], dtype=np.float64)) for i in range(1, len(drawn))]
    return {
        "object_psnr": float(np.mean(np.minimum(PEAK_DB, -10 * np.log10(np.maximum(error, 1e-10))))),
        "iou": float(shared.mean()),
    }


def flicker(rgb: UInt8[np.ndarray, "V H W 3"], truth: UInt8[np.ndarray, "V H W 3"]) -> float:
    """Mean absolute change from each frame to the next, divided by that of the truth: 0 stands still, 1 is right."""

    def change(frames: UInt8[np.ndarray, "V H W 3"]) -> float:
        return float(np.mean([np.abs(b.astype(np.int16) - a).mean() for a, b in pairwise(frames)]))

    return change(rgb) / max(change(truth), 1e-6)


def compare_depth(
    depth: Float32[np.ndarray, "H W"], truth: Float32[np.ndarray, "H W"], *, radius: float | None
) -> dict[str, float]:
    """abs_rel and delta1 (ratio below 1.25) after one scale for the frame, where both depths are known.

    With a radius also depth_mae, the mean error as a share of it and without any alignment. Nothing where
    the depths share no pixel. Metrics of Eigen et al. 2014, section 4.
    """
    both = (depth > 0) & (truth > 0)
    if not both.any():
        return {}
    guess, true = depth[both].astype(np.float64), truth[both].astype(np.float64)
    aligned = guess * np.median(true / guess)
    ratio = np.maximum(aligned / true, true / aligned)
    facts = {"abs_rel": float(np.mean(np.abs(aligned - true) / true)), "delta1": float(np.mean(ratio < 1.25))}
    return facts if radius is None else {**facts, "depth_mae": float(np.mean(np.abs(guess - true)) / radius)}


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if name in row and np.isfinite(row[name])] for name in names}
    return {name: float(np.mean(values)) for name, values in columns.items() if values}
