"""Frames that do not follow on each other: cuts, jumps, and parts that are mirrored or run backwards."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip, Step, compare
from img2world.tracking.features import common_points

LOST = 0.4
"""Of the usual share of points that can be followed: below it the link between two frames is broken."""

USUAL_LEAST = 0.3
"""A video whose links are all this bad has no usual."""

NEW_COLOURS = 0.5
"""Bhattacharyya distance from which another place is shown."""

LEAP = 3.5
"""Times the usual motion of points from which a camera jumps, though points can be followed."""

LEAST_LEAP = 0.02
"""Diagonals of the picture."""

ENOUGH_DETAILS = 48
"""Details that neighbours must share for their lack to say that another shot begins."""

DIFFERENT = 1.25
"""Times the usual difference of neighbours at a broken link."""


def order_findings(clip: Clip, steps: list[Step]) -> Iterator[VideoFinding]:
    """What is out of order, each broken link explained once."""
    usual = _usual(steps)
    broken = broken_links(steps)
    if len(broken) > max(2, len(steps) // 3):
        yield VideoFinding(
            kind="no link",
            severity="warning",
            frames=tuple(broken),
            sure=0.7,
            found=f"{len(broken)} of {len(steps)} neighbouring frames have too little in common to follow points",
            advice="use more frames per second, or a slower camera",
        )
        return
    explained: set[int] = set()
    for first, last in _segments(broken, len(clip)):
        if {first, last + 1} & explained:
            continue
        beside = first - 1 if first > 0 else last + 1
        own = first if first > 0 else last
        if _linked(compare(clip, beside, own, flipped=True), usual):
            explained |= {first, last + 1}
            yield _mirrored(first, last)
    for start, end in _pairs(broken):
        if {start, end} & explained:
            continue
        across = (compare(clip, start - 1, end - 1), compare(clip, start, end))
        if all(_linked(step, usual) for step in across):
            explained |= {start, end}
            yield _backwards(start, end - 1)
    for link in broken:
        if link not in explained:
            yield _cut_or_jump(clip, link, steps, usual)
    for link in _leaps(clip, steps):
        if not {link - 1, link, link + 1} & {*broken, *explained}:
            yield _leap(link, steps)


def broken_links(steps: list[Step]) -> list[int]:
    """Numbers of the frames that do not follow on the one before."""
    usual = _usual(steps)
    differences = np.array([step.difference for step in steps])
    limit = max(DIFFERENT * float(np.median(differences)), 1.0)
    broken = []
    for i, step in enumerate(steps):
        lost = np.isfinite(step.followed) and step.followed < LOST * usual
        changed = step.difference > limit or step.colours > NEW_COLOURS
        if lost and changed:
            broken.append(i + 1)
    return broken


def _leaps(clip: Clip, steps: list[Step]) -> list[int]:
    """Numbers of the frames before which the camera moves much farther than it usually does."""
    if clip.masks is not None:
        # The sides of a thing that turns pass by at very different speeds.
        return []
    ways = np.array([step.motion for step in steps])
    far = max(LEAP * float(np.median(ways)), LEAST_LEAP * clip.diagonal)
    # A camera that becomes faster by and by does not jump.
    beside = np.maximum(np.append(ways[1:], 0), np.append(0, ways[:-1]))
    return [int(i) + 1 for i in np.flatnonzero((ways > far) & (ways > 2 * beside))]


def _leap(link: int, steps: list[Step]) -> VideoFinding:
    """A camera that jumps within what it shows."""
    usual = float(np.median([step.motion for step in steps]))
    return VideoFinding(
        kind="jump",
        severity="warning",
        frames=(link,),
        sure=0.75,
        found=f"the camera jumps: points move by {steps[link - 1].motion:.0f} px, usually by {usual:.0f}",
        advice="nothing where COLMAP finds the cameras; a told path does not fit any more, so cut the video there",
    )


def _usual(steps: list[Step]) -> float:
    """Share of points that can usually be followed."""
    shares = np.array([step.followed for step in steps])
    known = shares[np.isfinite(shares)]
    return max(float(np.median(known)), USUAL_LEAST) if len(known) else USUAL_LEAST


def _linked(step: Step, usual: float) -> bool:
    """Whether two frames show the same from nearly the same place."""
    return bool(np.isfinite(step.followed) and step.followed > 0.6 * usual)


def _segments(broken: list[int], count: int) -> list[tuple[int, int]]:
    """First and last frame of what lies between two neighbouring broken links, or between one and an end.

    The longest is left out: the others are odd beside it, the shortest first.
    """
    edges = [0, *broken, count]
    parts = [(a, b - 1) for a, b in pairwise(edges)]
    longest = max(parts, key=lambda part: part[1] - part[0])
    return sorted((part for part in parts if part != longest), key=lambda part: part[1] - part[0])


def _pairs(broken: list[int]) -> list[tuple[int, int]]:
    """All pairs of broken links."""
    return [(a, b) for i, a in enumerate(broken) for b in broken[i + 1 :] if b - a > 1]


def _mirrored(first: int, last: int) -> VideoFinding:
    """Frames that fit when they are mirrored."""
    return VideoFinding(
        kind="mirrored",
        severity="reject",
        frames=tuple(range(first, last + 1)),
        sure=0.85,
        found="these frames fit to the others only when left and right are exchanged",
        advice="mirror them back, or cut them out",
    )


def _backwards(first: int, last: int) -> VideoFinding:
    """A part that fits when its frames are taken in the opposite order."""
    return VideoFinding(
        kind="backwards",
        severity="reject",
        frames=tuple(range(first, last + 1)),
        sure=0.85,
        found="these frames follow on the others only in the opposite order",
        advice="put them into their order, or cut them out",
    )


def _is_cut(clip: Clip, link: int, step: Step) -> bool:
    """Whether nothing of the scene is seen again behind a broken link, as far as there are details to tell by."""
    beside = (link - 2, link - 1) if link > 1 else (link, min(link + 1, len(clip) - 1))
    # The other sides of a thing that turns have nothing in common, so there its colours decide.
    if clip.masks is not None or common_points(clip.even[beside[0]], clip.even[beside[1]]) < ENOUGH_DETAILS:
        return step.colours > NEW_COLOURS
    return common_points(clip.even[link - 1], clip.even[link]) == 0


def _cut_or_jump(clip: Clip, link: int, steps: list[Step], usual: float) -> VideoFinding:
    """A broken link that nothing explains."""
    step = steps[link - 1]
    is_cut = _is_cut(clip, link, step)
    sure = float(np.clip(1 - step.followed / max(usual, 1e-6), 0.5, 0.99))
    if is_cut:
        return VideoFinding(
            kind="cut",
            severity="reject",
            frames=(link,),
            sure=sure,
            found=f"another shot begins: {step.followed:.0%} of the points can be followed, usually {usual:.0%}",
            advice="cut the video there and give one of the parts",
        )
    return VideoFinding(
        kind="jump",
        severity="warning",
        frames=(link,),
        sure=0.8 * sure,
        found=f"the camera jumps: {step.followed:.0%} of the points can be followed, usually {usual:.0%}",
        advice="cut the video there, or use one that moves smoothly",
    )
