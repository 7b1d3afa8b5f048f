"""Pictures of a scene beside those that it was made from, and of the colour difference between them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8
from PIL import Image as PillowImage

from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.splat.metrics import compare_scene, match_colors, psnr

MAX_TESTED, MAX_HELD_OUT, MAX_SHOWN = 16, 6, 8
"""Views that are rendered to choose from, held-out views that are shown, and views that are shown in all."""

SIDE = 480
"""Longest side in pixels of the pictures, whose difference is that of what one sees at their size."""

VISIBLE, LARGEST = 10.0, 40.0
"""Colour differences (CIE 1976, ΔE*ab) that are plain to see side by side, and from which on the map is brightest. One
of 2.3 is just noticeable (Mahy et al. 1994)."""

QUALITY = 82
"""Of the WebP files, 0 to 100."""

FACTS = "comparison.json"
PICTURES = ("view", "scene", "difference")
"""File of a comparison that holds its figures, and what its pictures show: FOLDER/0003-view.webp, ..."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One view beside the same view of the scene."""

    index: int
    """Index of the view."""
    held_out: bool
    """True if the scene was not trained on the view."""
    psnr: float
    """In dB, at full size; where exposures may differ, after brightness and tint were matched."""
    differing: float
    """Fraction of the picture whose colour differs visibly."""
    pictures: tuple[UInt8[np.ndarray, "h w 3"], ...]
    """The view, the scene, and the map of the difference, as PICTURES names them."""

    def figures(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {name: getattr(self, name) for name in ("index", "held_out", "psnr", "differing")}


def compare_views(scene: Scene, views: Views, held_out: Bool[np.ndarray, "V"]) -> list[Comparison]:
    """Return up to eight comparisons: held-out views from the worst to the best, then views of the training.

    Of many held-out views, up to 16 at equal steps are rendered, and those shown have equal steps in quality, so that
    the worst and the best are among them.
    """
    tested = list(_compare_each(scene, views, held_out, _at_equal_steps(np.flatnonzero(held_out), MAX_TESTED)))
    tested.sort(key=lambda comparison: comparison.psnr)
    shown = [tested[i] for i in _at_equal_steps(np.arange(len(tested)), MAX_HELD_OUT)]
    trained = _at_equal_steps(np.flatnonzero(~held_out), MAX_SHOWN - MAX_HELD_OUT if shown else MAX_HELD_OUT)
    return [*shown, *_compare_each(scene, views, held_out, trained)]


def save_comparisons(comparisons: list[Comparison], folder: Path) -> None:
    """Write the pictures as WebP files and the figures as JSON."""
    folder.mkdir()
    for comparison in comparisons:
        for name, picture in zip(PICTURES, comparison.pictures, strict=True):
            path = folder / f"{comparison.index:04d}-{name}.webp"
            PillowImage.fromarray(picture).save(path, quality=QUALITY)
    table = [comparison.figures() for comparison in comparisons]
    (folder / FACTS).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def color_difference(
    image: Float32[np.ndarray, "H W 3"], truth: Float32[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Return the difference ΔE*ab of sRGB colours from 0 to 1.

    Source: CIE 15:2004, "Colorimetry", section 8.2.1.1, the Euclidean distance in CIELAB.
    """
    import cv2

    first, second = (cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2Lab) for picture in (image, truth))
    return np.linalg.norm(first - second, axis=-1)


def _at_equal_steps(index: Int[np.ndarray, "N"], count: int) -> list[int]:
    """Return up to `count` elements at equal steps, the first and the last among them."""
    chosen = np.linspace(0, len(index) - 1, min(count, len(index))).round().astype(int)
    return index[chosen].tolist()


def _compare_each(
    scene: Scene, views: Views, held_out: Bool[np.ndarray, "V"], index: list[int]
) -> Iterator[Comparison]:
    """Yield the comparison of each view of the index."""
    if not index:
        return
    chosen = replace(views, cameras=scene.cameras).select(np.array(index))
    if scene.motion is not None:
        chosen = chosen.with_moving_part()
    may_differ = views.depth is None and views.alpha is None
    for k, (image, truth) in enumerate(compare_scene(scene, chosen)):
        matched, i = match_colors(image, truth) if may_differ else image, index[k]
        part = (slice(None), slice(None)) if chosen.mask is None else _used_part(chosen.mask[k])
        seen, rendered, compared = (_reduced(picture[part]) for picture in (truth, image, matched))
        difference = color_difference(compared, seen)
        yield Comparison(
            index=i,
            held_out=bool(held_out[i]),
            psnr=psnr(matched, truth),
            differing=float((difference > VISIBLE).mean()),
            pictures=(_bytes(seen), _bytes(rendered), _difference_map(difference)),
        )


def _used_part(mask: UInt8[np.ndarray, "H W"]) -> tuple[slice, slice]:
    """Return the rows and columns of a view between which something counts."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _reduced(picture: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Return a picture whose longest side has at most SIDE pixels."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(SIDE / max(height, width), 1)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _bytes(picture: Float32[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return colours from 0 to 1 as bytes."""
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def _difference_map(difference: Float32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return a difference in the colours of the map "inferno", whose lightness grows evenly: black is equal."""
    import cv2

    levels = (difference / LARGEST * 255).clip(0, 255).round().astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
