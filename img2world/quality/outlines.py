"""The shape of an object as its outlines show it, and its back."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from img2world.quality.views import View

ROUNDING = 0.02
"""Radius of the disc that smooths an outline, relative to the larger side of the object."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Figures of an object's shape and back."""

    thickness: float
    """Width of the narrower of the views from both sides, relative to the larger side of the front."""
    back_detail: float
    """Mean contrast of the back relative to that of the front, 1 if both are alike."""
    ragged: float
    """Area by which smoothing changes the outlines from the sides, relative to that of the front."""


def measure_shape(front: View, sides: list[View], back: View) -> Shape:
    """Return the figures of an object seen from the front, from both sides and from behind."""
    larger = max(_extent(front.opaque, axis) for axis in (0, 1))
    radius = max(1, round(ROUNDING * larger))
    return Shape(
        thickness=min(_extent(side.opaque, 0) for side in sides) / max(larger, 1),
        back_detail=_contrast(back) / max(_contrast(front), 1e-3),
        ragged=max(_roughness(side.opaque, radius) for side in sides) - _roughness(front.opaque, radius),
    )


def _extent(mask: Bool[np.ndarray, "H W"], axis: int) -> int:
    """Return how many pixels wide (0) or high (1) a mask is."""
    covered = np.flatnonzero(mask.any(axis))
    return int(covered[-1] - covered[0] + 1) if len(covered) else 0


def _contrast(view: View) -> float:
    """Return the mean difference between the colors of an object and their surroundings, 0 to 1."""
    import cv2

    inner = cv2.erode(view.opaque.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if not inner.any():
        return 0.0
    sigma = max(view.alpha.shape) / 64
    weight = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), sigma)
    colors: Float32[np.ndarray, "H W 3"] = cv2.GaussianBlur(view.rgb * inner[..., None], (0, 0), sigma)
    difference = np.abs(view.rgb - colors / np.maximum(weight, 1e-6)[..., None])
    return float(difference[inner].mean())


def _roughness(mask: Bool[np.ndarray, "H W"], radius: int) -> float:
    """Return the area by which opening and closing change a mask, relative to its own."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    solid = np.pad(mask.astype(np.uint8), radius + 1)
    opened, closed = (cv2.morphologyEx(solid, how, disc) for how in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE))
    return float(((solid != opened) | (solid != closed)).sum() / max(int(mask.sum()), 1))
