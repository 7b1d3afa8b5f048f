"""Examination of a single photo: what in it will disappoint in a world that is made from it."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, UInt8

from img2world.core.subject import SceneGeometry, Subject
from img2world.doctor.findings import VideoFinding
from img2world.layered.object_layers import OBJECT_FRACTION

MAX_ENLARGEMENT = 1.4
"""Enlargement of the photo from which frames look soft."""

MIN_CROPPED = 0.05
"""Length along the picture's border at which an object is cut off, relative to half the outline of its bounding box."""

THIN_WIDTH, MIN_THIN = 0.025, 0.05
"""Width of thin parts relative to the longer side of an object, and the fraction of its area from which they matter."""

MIN_SOFT = 0.12
"""Fraction of a cut-out that is half transparent from which it is unclear what belongs to it."""

MIN_CONTRAST = 8.0
"""Difference between bright and dark parts, of 255 levels, below which a photo shows next to nothing."""

MIN_DEPTH_RATIO = 1.35
"""Ratio of far to near depth, from the 5th to the 95th percentile, below which a scene is flat."""


def examine_photo(subject: Subject, frame_side: int) -> list[VideoFinding]:
    """Return warnings about a photo from which frames with `frame_side` pixels along the longer side are made."""
    findings = [*_find_tiny(subject, frame_side), *_find_blank(subject), *_find_flat(subject)]
    if subject.alpha is not None:
        findings += _find_cropped(subject.alpha)
    what = "the object" if subject.is_object else "something in front"
    cuts = [thing.alpha for thing in subject.foreground] if subject.alpha is None else [subject.alpha]
    for find in (_find_thin, _find_soft):
        # One warning of a kind is enough, about the largest thing.
        findings += [finding for cut in cuts for finding in find(cut, what)][:1]
    return findings


def _warning(kind: str, found: str, advice: str, sure: float) -> VideoFinding:
    return VideoFinding(kind=kind, severity="warning", frames=(), sure=sure, found=found, advice=advice)


def _find_tiny(subject: Subject, frame_side: int) -> Iterator[VideoFinding]:
    """Yield a warning when the frames have many more pixels than what the photo shows in them."""
    if subject.alpha is None:
        what, side, shown = "the photo", max(subject.image.rgb.shape[:2]), frame_side
    else:
        what, side, shown = "the object", max(_extent(subject.alpha)), round(OBJECT_FRACTION * frame_side)
    if shown > MAX_ENLARGEMENT * side:
        yield _warning(
            "small",
            f"{what} has {side} pixels along its longer side and is enlarged {shown / side:.1f} times; expect blur",
            f"use a larger photo, or --set trajectory.size={max(round(side * frame_side / shown / 16) * 16, 64)}",
            1.0,
        )


def _find_blank(subject: Subject) -> Iterator[VideoFinding]:
    """Yield a warning when the photo shows next to nothing: a wall, fog, or the inside of a lens cap."""
    gray = subject.image.rgb.mean(-1)
    seen = gray if subject.alpha is None else gray[subject.alpha > 127]
    contrast = float(np.subtract(*np.percentile(seen, [98, 2])))
    if contrast < MIN_CONTRAST:
        yield _warning(
            "blank",
            f"the photo has hardly any contrast, {contrast:.0f} of 255 levels: whatever is made from it is a guess",
            "use a photo that shows something, or brighten it",
            1.0,
        )


def _find_flat(subject: Subject) -> Iterator[VideoFinding]:
    """Yield a warning when a scene has hardly any depth and nothing in front."""
    if not isinstance(subject.geometry, SceneGeometry) or subject.foreground:
        return
    low, high = np.percentile(subject.geometry.inverse_depth, [5, 95])
    ratio = float(high / max(low, 1e-6))
    if ratio < MIN_DEPTH_RATIO:
        yield _warning(
            "flat",
            f"the farthest parts are only {ratio:.2f} times as far as the nearest; little will move against each other",
            "use a photo with something near and something far away",
            0.7,
        )


def _find_cropped(alpha: UInt8[np.ndarray, "H W"]) -> Iterator[VideoFinding]:
    """Yield a warning when the border of the picture cuts an object off; scenes are continued beyond it."""
    mask = alpha > 127
    edges = {"left": mask[:, 0], "right": mask[:, -1], "top": mask[0], "bottom": mask[-1]}
    cut = [name for name, edge in edges.items() if edge.sum() > MIN_CROPPED * sum(_extent(alpha))]
    if cut:
        yield _warning(
            "cropped",
            f"the picture's border cuts the object off ({', '.join(cut)}), where it will end in a flat cut",
            "use a photo with the whole of it and some room around",
            0.9,
        )


def _find_thin(alpha: UInt8[np.ndarray, "H W"], what: str) -> Iterator[VideoFinding]:
    """Yield a warning when much of a thing consists of thin parts."""
    thin = 1 - float(_body(alpha).sum() / (alpha > 127).sum())
    if thin >= MIN_THIN:
        yield _warning(
            "thin",
            f"{thin:.0%} of {what} is thin, such as rods or leaves, which will be bent or torn from the side",
            "nothing helps much; a photo from the side that matters shows it best",
            0.8,
        )


def _find_soft(alpha: UInt8[np.ndarray, "H W"], what: str) -> Iterator[VideoFinding]:
    """Yield a warning when much of a cut-out is neither in nor out, as in glass, fur and smoke."""
    soft = float((_body(alpha) & (alpha < 215)).sum() / (alpha > 127).sum())
    if soft >= MIN_SOFT:
        yield _warning(
            "unclear outline",
            f"{soft:.0%} of {what} could not be told from what is behind it, as with glass, fur and busy backgrounds",
            "cut it out yourself and give a PNG with transparency",
            0.6,
        )


def _body(alpha: UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the mask of a cut-out without its thin parts."""
    import cv2

    radius = max(1, round(0.5 * THIN_WIDTH * max(_extent(alpha))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad((alpha > 127).astype(np.uint8), radius)
    return cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)[radius:-radius, radius:-radius] > 0


def _extent(alpha: UInt8[np.ndarray, "H W"]) -> tuple[int, int]:
    """Return the height and width, in pixels, of the bounding box of a cut-out."""
    rows, columns = (np.flatnonzero((alpha > 127).any(axis)) for axis in (1, 0))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
