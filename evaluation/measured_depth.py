"""Photos with measured depth: a stereo pair, a moving camera and a scan; see assets/nano/README.md."""

from pathlib import Path

import cv2
import numpy as np

from evaluation.assets import AssetError

DISPARITY_OFFSET = 31.086
"""Offset of the Middlebury 2014 motorcycle pair at a quarter of its size: depth ~ 1 / (disparity + offset)."""

DepthCases = dict[str, list[tuple[np.ndarray, np.ndarray]]]
"""Photos with their log depth, NaN where it is unknown, by name."""


def load_depth_cases(folder: Path) -> DepthCases:
    """Return the photos of a folder with depth/ and multiview/. Raises AssetError when a file is missing."""
    try:
        with np.load(folder / "depth/motorcycle/motorcycle_disp.npz") as file:
            disparity = file["arr_0"]
        with np.load(folder / "multiview/pi3_room/condition_f16.npz") as file:
            depths = list(file["depths"])
        with np.load(folder / "depth/habitat/van-gogh-room-depth_f16.npz") as file:
            room = file["depth"]
    except OSError as error:
        raise AssetError(
            f"measured depths cannot be read: {error}", hint="assets/nano/README.md says where they are from"
        ) from error
    with np.errstate(divide="ignore", invalid="ignore"):
        log_depth = np.where(np.isfinite(disparity), -np.log(disparity + DISPARITY_OFFSET), np.nan)
    views = [(read_rgb(folder / f"multiview/pi3_room/rgb/{i}.png"), _log_depth(d)) for i, d in enumerate(depths)]
    return {
        "motorcycle": [(read_rgb(folder / "depth/motorcycle/motorcycle_left.png"), log_depth)],
        "pi3_room": views,
        "habitat": [(read_rgb(folder / "depth/habitat/van-gogh-room-color.png"), _log_depth(room))],
    }


def read_rgb(path: Path) -> np.ndarray:
    """Return an image file as RGB. Raises AssetError when it cannot be read."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise AssetError(f"picture cannot be read: {path}", hint="check the folder")
    return np.ascontiguousarray(bgr[..., ::-1])


def _log_depth(depth: np.ndarray) -> np.ndarray:
    """Return the log of depths, NaN where they are 0."""
    with np.errstate(divide="ignore"):
        return np.where(depth > 0, np.log(depth.astype(np.float32)), np.nan)
