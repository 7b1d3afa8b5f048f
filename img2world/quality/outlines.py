"""The shape of an object as its outlines show it, and its back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from img2world.quality.views import View


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Figures of an object's shape and back."""

    thickness: float
    """Width of the narrower of the views from both sides, relative to the larger side of the front."""
    fused: float
    """How much less outline a side has than the front for its area: 0.5 is half, as where legs or gaps are lost."""
    plain_back: float
    """How much less contrast the back has than the front, 0 to 1."""


def measure_shape(front: View, sides: list[View], back: View) -> Shape:
    """Return the figures of an object seen from the front, from both sides and from behind."""
    larger = max(_extent(front.opaque, axis) for axis in (0, 1))
    outline = min(_outline(side.opaque) for side in sides)
    return Shape(
        thickness=min(_extent(side.opaque, 0) for side in sides) / max(larger, 1),
        fused=max(1 - outline / max(_outline(front.opaque), 1e-6), 0.0),
        plain_back=max(_contrast(front) - _contrast(back), 0.0),
    )


def _extent(mask: Bool[np.ndarray, "H W"], axis: int) -> int:
    """Return how many pixels wide (0) or high (1) a mask is."""
    covered = np.flatnonzero(mask.any(axis))
    return int(covered[-1] - covered[0] + 1) if len(covered) else 0


def _outline(mask: Bool[np.ndarray, "H W"]) -> float:
    """Return the length of all outlines, those of holes too, relative to the root of the area."""
    import cv2

    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return sum(cv2.arcLength(outline, closed=True) for outline in outlines) / max(float(mask.sum()), 1) ** 0.5


def _contrast(view: View) -> float:
    """Return the mean difference between the colors of an object and those around them, 0 to 1."""
    import cv2

    inner = cv2.erode(view.opaque.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if not inner.any():
        return 0.0
    sigma = max(view.alpha.shape) / 64
    weight = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), sigma)
    colors: Float32[np.ndarray, "H W 3"] = cv2.GaussianBlur(view.rgb * inner[..., None], (0, 0), sigma)
    difference = np.abs(view.rgb - colors / np.maximum(weight, 1e-6)[..., None])
    return float(difference[inner].mean())
