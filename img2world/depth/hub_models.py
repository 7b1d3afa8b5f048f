"""Depth by a model of transformers: Depth Anything V2, DPT (MiDaS) or Depth Pro, from a folder or the hub's cache."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as PillowImage

from img2world.core.errors import ImageError, MissingPackageError

KINDS = {"depth_anything": "disparity", "dpt": "disparity", "depth_pro": "inverse depth"}
"""Model types (config.json), and what they predict: both rise towards the camera, disparity from an unknown zero."""

FAR = 6.0
"""Depth of the farthest point when only an order of depths is known; the middle of the picture's depths is 1."""

NEAREST = 0.25
"""Nothing is taken to be nearer than this."""

USUAL = "depth-anything/Depth-Anything-V2-Small-hf"
"""On the hub; its larger sisters may not be used for worlds that are sold."""


@dataclass(frozen=True, kw_only=True)
class _Preprocessing:
    """How a model wants its pictures (preprocessor_config.json)."""

    size: tuple[int, int]
    """Width and height."""
    keep_ratio: bool
    multiple: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def tensor(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "1 3 h w"]:
        """The picture, scaled and normalized."""
        height, width = rgb.shape[:2]
        scales = [self.size[0] / width, self.size[1] / height]
        if self.keep_ratio:
            # The side that has to change less decides (transformers, DPTImageProcessor).
            scales = [min(scales, key=lambda scale: abs(1 - scale))] * 2
        target = [max(self.multiple, round(side * scale / self.multiple) * self.multiple)
                  for side, scale in zip((width, height), scales, strict=True)]  # fmt: skip
        small = PillowImage.fromarray(rgb).resize((target[0], target[1]), PillowImage.Resampling.BICUBIC)
        values = (np.asarray(small, np.float32) / 255 - np.array(self.mean)) / np.array(self.std)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def inverse_depth(rgb: UInt8[np.ndarray, "H W 3"], checkpoint: str = "") -> Float32[np.ndarray, "H W"]:
    """One over the depth of each pixel, with a median of 1. The usual model is used when none is named.

    Raises MissingPackageError without transformers, ImageError when the checkpoint cannot be used.
    """
    import torch

    path = _find(checkpoint or USUAL)
    kind = _kind(path)
    model = _load(path)
    pixels = torch.from_numpy(_preprocessing(path).tensor(rgb))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.inference_mode():
        predicted = model.to(device)(pixel_values=pixels.to(device)).predicted_depth[0].float().cpu().numpy()
    if not np.isfinite(predicted).all():
        raise ImageError(f"the depth model gives no numbers (NaN): {path}", hint="use another checkpoint")
    return _normalized(_resized(predicted, rgb.shape[1], rgb.shape[0]), kind)


def _normalized(predicted: Float32[np.ndarray, "H W"], kind: str) -> Float32[np.ndarray, "H W"]:
    """Inverse depth with a median of 1; flat where the model sees nothing but a plane."""
    low, high = np.percentile(predicted, [0.5, 99.5])
    if high - low < 1e-12:
        return np.ones_like(predicted)
    values = predicted.clip(low, high)
    middle = float(np.median(values))
    if kind == "inverse depth" and middle > 0:
        values = values / middle
    else:
        # Only differences mean something: the farthest is set to 1 / FAR and the middle to 1.
        values = 1 / FAR + (values - low) / max(middle - low, 1e-3 * (high - low)) * (1 - 1 / FAR)
    return values.clip(1 / (4 * FAR), 1 / NEAREST).astype(np.float32)


def _resized(values: Float32[np.ndarray, "h w"], width: int, height: int) -> Float32[np.ndarray, "H W"]:
    """The values at another size."""
    import cv2

    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)


def _find(checkpoint: str) -> Path:
    """The folder of the weights, given as a folder or by its name in the hub's cache."""
    if find_spec("transformers") is None:
        raise MissingPackageError(
            "depth by a big model needs transformers, which is not installed", hint="pip install 'img2world[diffusers]'"
        )
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(checkpoint, "config.json") if checkpoint.count("/") == 1 else None
    if not isinstance(found, str):
        raise ImageError(
            f"the depth model is not on this machine: {checkpoint}",
            hint=f"`hf download {USUAL}` fetches one; or name a folder: --set video.depth_model=FOLDER",
        )
    return Path(found).parent


def _kind(path: Path) -> str:
    """What the model predicts. Raises ImageError when it is none of those that are known."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        kind = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"this is no model of transformers, config.json is missing or broken: {path}", hint="give its folder"
        ) from error
    if kind not in KINDS or config.get("depth_estimation_type", "relative") != "relative":
        raise ImageError(
            f"the model is a {kind}, needs {', '.join(KINDS)} for relative depth: {path}",
            hint=f"use one such as {USUAL}",
        )
    return KINDS[kind]


def _preprocessing(path: Path) -> _Preprocessing:
    """How the model wants its pictures. Raises ImageError when its folder does not say."""
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
    """The model. Raises ImageError when its weights cannot be loaded."""
    from safetensors import SafetensorError
    from transformers import AutoModelForDepthEstimation
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return AutoModelForDepthEstimation.from_pretrained(path, local_files_only=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())[:160]
        raise ImageError(f"the depth model cannot be loaded: {said} ({path})", hint="fetch it again") from error
