"""Depth from a transformers model: Depth Anything V2, DPT (MiDaS) or Depth Pro, from a folder or the hub's cache."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as PillowImage

from img2world.core.errors import ImageError, MissingPackageError

PREDICTIONS = {"depth_anything": "disparity", "dpt": "disparity", "depth_pro": "inverse depth"}
"""Prediction of each type of model (config.json). Both increase towards the camera; disparity has an unknown offset."""

MAX_DEPTH = 6.0
"""Depth of the farthest point when disparity is known only up to an offset; the median depth is 1."""

MIN_DEPTH = 0.25
"""Depths are clipped to at least this."""

DEFAULT_CHECKPOINT = "depth-anything/Depth-Anything-V2-Small-hf"
"""Name on the hub. The larger checkpoints of the family may not be used commercially."""


@dataclass(frozen=True, kw_only=True)
class _Preprocessing:
    """The preprocessing that a model expects (preprocessor_config.json)."""

    size: tuple[int, int]
    """Width and height in pixels."""
    keep_ratio: bool
    multiple: int
    """Width and height must be multiples of this."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def tensor(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "1 3 h w"]:
        """Return the picture scaled and normalized."""
        height, width = rgb.shape[:2]
        scales = [self.size[0] / width, self.size[1] / height]
        if self.keep_ratio:
            # The side that changes less determines the scale of both (transformers, DPTImageProcessor).
            scales = [min(scales, key=lambda scale: abs(1 - scale))] * 2
        target = [max(self.multiple, round(side * scale / self.multiple) * self.multiple)
                  for side, scale in zip((width, height), scales, strict=True)]  # fmt: skip
        small = PillowImage.fromarray(rgb).resize((target[0], target[1]), PillowImage.Resampling.BICUBIC)
        values = (np.asarray(small, np.float32) / 255 - np.array(self.mean)) / np.array(self.std)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def inverse_depth(rgb: UInt8[np.ndarray, "H W 3"], checkpoint: str = "") -> Float32[np.ndarray, "H W"]:
    """Predict the inverse depth of each pixel, scaled to a median of 1.

    `checkpoint` is a folder or a name on the hub; empty: DEFAULT_CHECKPOINT. Raises MissingPackageError without
    transformers, ImageError when the checkpoint cannot be used.
    """
    import torch

    path = _find(checkpoint or DEFAULT_CHECKPOINT)
    prediction = _prediction_of(path)
    model = _load(path)
    pixels = torch.from_numpy(_preprocessing(path).tensor(rgb))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.inference_mode():
        predicted = model.to(device)(pixel_values=pixels.to(device)).predicted_depth[0].float().cpu().numpy()
    if not np.isfinite(predicted).all():
        raise ImageError(f"the depth model predicts NaN or infinity: {path}", hint="use another checkpoint")
    return _normalized(_resized(predicted, rgb.shape[1], rgb.shape[0]), prediction)


def _normalized(predicted: Float32[np.ndarray, "H W"], prediction: str) -> Float32[np.ndarray, "H W"]:
    """Return a prediction as inverse depth with a median of 1, or all ones when it is constant."""
    low, high = np.percentile(predicted, [0.5, 99.5])
    if high - low < 1e-12:
        return np.ones_like(predicted)
    values = predicted.clip(low, high)
    median = float(np.median(values))
    if prediction == "inverse depth" and median > 0:
        values = values / median
    else:
        # Only differences are meaningful: the farthest point is set to 1 / MAX_DEPTH, the median to 1.
        values = 1 / MAX_DEPTH + (values - low) / max(median - low, 1e-3 * (high - low)) * (1 - 1 / MAX_DEPTH)
    return values.clip(1 / (4 * MAX_DEPTH), 1 / MIN_DEPTH).astype(np.float32)


def _resized(values: Float32[np.ndarray, "h w"], width: int, height: int) -> Float32[np.ndarray, "H W"]:
    """Return the values interpolated to another size."""
    import cv2

    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)


def _find(checkpoint: str) -> Path:
    """Return the folder of the weights, given as a folder or by its name in the hub's cache."""
    if find_spec("transformers") is None:
        raise MissingPackageError(
            "subject.depth=transformers needs transformers, which is not installed",
            hint="pip install 'img2world[diffusers]'",
        )
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(checkpoint, "config.json") if checkpoint.count("/") == 1 else None
    if not isinstance(found, str):
        raise ImageError(
            f"the depth model is not on this machine: {checkpoint}",
            hint=f"run `hf download {DEFAULT_CHECKPOINT}`, or give a folder: --set subject.depth_model=FOLDER",
        )
    return Path(found).parent


def _prediction_of(path: Path) -> str:
    """Return what the model predicts, see PREDICTIONS. Raises ImageError for an unsupported model."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        kind = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"this is not a transformers model, config.json is missing or broken: {path}",
            hint="give the folder of the model",
        ) from error
    if kind not in PREDICTIONS or config.get("depth_estimation_type", "relative") != "relative":
        raise ImageError(
            f"the model is of type {kind}, needs {', '.join(PREDICTIONS)} for relative depth: {path}",
            hint=f"use for example {DEFAULT_CHECKPOINT}",
        )
    return PREDICTIONS[kind]


def _preprocessing(path: Path) -> _Preprocessing:
    """Read the preprocessing that the model expects. Raises ImageError when its file is missing or broken."""
    try:
        config: dict[str, Any] = json.loads((path / "preprocessor_config.json").read_text(encoding="utf-8"))
        return _Preprocessing(
            size=(config["size"]["width"], config["size"]["height"]),
            keep_ratio=bool(config.get("keep_aspect_ratio", False)),
            multiple=int(config.get("ensure_multiple_of") or 1),
            mean=tuple(config["image_mean"]),
            std=tuple(config["image_std"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"the depth model's preprocessor_config.json is missing or broken: {path}", hint="fetch it again"
        ) from error


def _load(path: Path) -> Any:
    """Load the model. Raises ImageError when its weights cannot be loaded."""
    from safetensors import SafetensorError
    from transformers import AutoModelForDepthEstimation
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return AutoModelForDepthEstimation.from_pretrained(path, local_files_only=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ImageError(f"the depth model cannot be loaded: {reason} ({path})", hint="fetch it again") from error
