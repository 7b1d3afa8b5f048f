"""Discontinuities of a video: cuts, jumps, and parts that are mirrored or run backwards.

A link between neighbouring frames is named by the index of its second frame.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np

from img2world.doctor.findings import VideoFinding
from img2world.doctor.transitions import Clip, Transition, compare_frames, hue_distance, turning
from img2world.tracking.features import count_matches

BROKEN_FRACTION = 0.4
"""A link is broken when the fraction of points that can be followed is below this part of the usual one …"""

BROKEN_DIFFERENCE = 1.25
"""… and its frames differ by more than this multiple of the usual difference."""

MIN_USUAL_FRACTION = 0.3
"""Least fraction of points that counts as usual: where all links are bad, none stands out."""

NEIGHBORS = 3
"""Links before and after one that must be better, too: a narrow side of an object that turns shows little."""

MIN_LINK = 0.2
"""Fraction of points below which a link holds nothing together, where most have no more."""

MIN_USUAL_LINKS = 8
"""Links from which a median tells what is usual: of fewer, each shows another side of an object."""

WEAK_FRACTION = 0.8
"""As part of the usual one, below which mirrored frames may begin or end although the link is not broken …"""

SWAPPED_FRACTION = 1.3
"""… if so many times as many points can be followed when left and right are swapped."""

LINKED_FRACTION = 0.6
"""Two frames are linked when the fraction of points that can be followed is above this part of the usual one."""

MAX_HISTOGRAM_DISTANCE = 0.5
"""Hellinger distance of colour histograms from which two frames show different places."""

MAX_HUE_DISTANCE = 0.33
"""The same of chromaticities from which two parts of a video show different objects. Those of one object, turned by up
to a third of a turn, have up to 0.24, other objects 0.42 and more."""

LEAP_FACTOR = 3.5
"""Multiple of the usual motion from which the camera jumps although points can be followed …"""

LEAP_OVER_NEIGHBORS = 2.0
"""… if it is also this multiple of the motion before and after: a camera that gradually speeds up does not jump."""

MIN_LEAP = 0.02
"""Smallest such jump, in diagonals of the picture."""

MIN_SHOT_MATCHES = 48
"""Feature matches that neighbours within a shot must have for their absence to indicate another shot."""


def find_discontinuities(clip: Clip, transitions: list[Transition]) -> Iterator[VideoFinding]:
    """Yield findings that explain each broken link once."""
    usual = _usual_fraction(transitions)
    broken = find_broken_links(transitions)
    if len(broken) > max(2, len(transitions) // 3):
        yield VideoFinding(
            kind="no link",
            severity="warning",
            frames=tuple(broken),
            sure=0.7,
            found=f"{len(broken)} of {len(transitions)} pairs of neighbouring frames share too few points to follow",
            advice="use more frames per second, or a slower camera",
        )
        return
    explained: set[int] = set()
    for first, last in _find_mirrored(clip, transitions, broken):
        if not {first, last + 1} & explained:
            explained |= {first, last + 1}
            yield _mirrored(first, last)
    for start, end in combinations(broken, 2):
        if end - start < 2 or {start, end} & explained:
            continue
        is_turned = all(_is_linked(compare_frames(clip, i, j), usual) for i, j in ((start - 1, end - 1), (start, end)))
        # From front and back, something symmetric looks the same; but played backwards, it turns the other way.
        if is_turned and (clip.masks is None or _turns_back(transitions, start, end - 1)):
            explained |= {start, end}
            yield _backwards(start, end - 1)
    for link in broken:
        if link not in explained:
            yield _cut_or_jump(clip, link, transitions, broken)
    for link in _find_leaps(clip, transitions):
        if not {link - 1, link, link + 1} & {*broken, *explained}:
            yield _leap(link, transitions)


def find_broken_links(transitions: list[Transition]) -> list[int]:
    """Return the links across which points cannot be followed and the picture changes."""
    fractions = np.array([transition.tracked_fraction for transition in transitions])
    if np.isfinite(fractions).sum() >= MIN_USUAL_LINKS and np.nanmedian(fractions) < MIN_LINK:
        return [int(i) + 1 for i in np.flatnonzero(fractions < MIN_LINK)]
    differences = np.array([transition.difference for transition in transitions])
    limit = max(BROKEN_DIFFERENCE * float(np.median(differences)), 1.0)
    usual, broken = _usual_fraction(transitions), []
    for i, transition in enumerate(transitions):
        around = transitions[max(0, i - NEIGHBORS) : i] + transitions[i + 1 : i + 1 + NEIGHBORS]
        lost = fractions[i] < BROKEN_FRACTION * min(usual, _usual_fraction(around))
        changed = transition.difference > limit or transition.histogram_distance > MAX_HISTOGRAM_DISTANCE
        if lost and changed:
            broken.append(i + 1)
    return broken


def _find_leaps(clip: Clip, transitions: list[Transition]) -> list[int]:
    """Return the links across which the camera moves much farther than usual."""
    if clip.masks is not None:
        # The sides of a rotating object pass by at very different speeds.
        return []
    motion = np.array([transition.motion for transition in transitions])
    limit = max(LEAP_FACTOR * float(np.median(motion)), MIN_LEAP * clip.diagonal)
    neighbors = np.maximum(np.append(motion[1:], 0), np.append(0, motion[:-1]))
    return [int(i) + 1 for i in np.flatnonzero((motion > limit) & (motion > LEAP_OVER_NEIGHBORS * neighbors))]


def _usual_fraction(transitions: list[Transition]) -> float:
    """Return the median fraction of points that can be followed, at least `MIN_USUAL_FRACTION`."""
    fractions = np.array([transition.tracked_fraction for transition in transitions])
    known = fractions[np.isfinite(fractions)]
    return max(float(np.median(known)), MIN_USUAL_FRACTION) if len(known) else MIN_USUAL_FRACTION


def _is_linked(transition: Transition, usual: float) -> bool:
    """Tell whether two frames show the same scene from nearly the same place."""
    fraction = transition.tracked_fraction
    return bool(np.isfinite(fraction) and fraction > LINKED_FRACTION * usual)


def _find_mirrored(clip: Clip, transitions: list[Transition], broken: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last frame of segments that are linked to the others when left and right are swapped."""
    usual = _usual_fraction(transitions)
    for first, last in _odd_segments(broken, len(clip)):
        link = first if first > 0 else last + 1
        if _is_linked(compare_frames(clip, link - 1, link, flipped=True), usual) and (
            clip.masks is None or _turns_back(transitions, first, last)
        ):
            yield first, last
    if clip.masks is None:
        return
    # Where an object's mirror image resembles the frame before, that link is only weak. Then both ends must fit better
    # when they are swapped.
    weak = [i + 1 for i, each in enumerate(transitions) if each.tracked_fraction < WEAK_FRACTION * usual]
    pairs = {(min(a, b), max(a, b)) for a in broken for b in weak if a != b and b not in broken}
    for start, end in sorted(pairs, key=lambda pair: pair[1] - pair[0]):
        if end - start <= len(clip) // 2 and _turns_back(transitions, start, end - 1):
            swapped = {link: compare_frames(clip, link - 1, link, flipped=True) for link in (start, end)}
            if all(
                _is_linked(each, usual)
                and each.tracked_fraction > SWAPPED_FRACTION * transitions[link - 1].tracked_fraction
                for link, each in swapped.items()
            ):
                yield start, end - 1


def _odd_segments(broken: list[int], count: int) -> list[tuple[int, int]]:
    """Return first and last frame of the segments between broken links, the shortest first, without the longest."""
    segments = [(a, b - 1) for a, b in pairwise([0, *broken, count])]
    longest = max(segments, key=lambda segment: segment[1] - segment[0])
    return sorted((each for each in segments if each != longest), key=lambda segment: segment[1] - segment[0])


def _turns_back(transitions: list[Transition], first: int, last: int) -> bool:
    """Tell whether an object turns the other way in frames `first` to `last` than in all others.

    Of most things the mirror image is what is seen from the other side, so that it proves nothing; but a mirrored
    video turns the other way.
    """
    flow = turning(transitions)
    inside = np.arange(len(flow))
    inside = (inside >= first) & (inside < last)
    if not inside.any() or inside.all():
        return False
    return bool(np.median(flow[inside]) * np.median(flow[~inside]) < 0)


def _mirrored(first: int, last: int) -> VideoFinding:
    """Return the finding that frames are linked to the others only when they are mirrored."""
    return VideoFinding(
        kind="mirrored",
        severity="reject",
        frames=tuple(range(first, last + 1)),
        sure=0.85,
        found="these frames match the others only when left and right are swapped",
        advice="mirror them back, or cut them out",
    )


def _backwards(first: int, last: int) -> VideoFinding:
    """Return the finding that frames are linked to the others only in the opposite order."""
    return VideoFinding(
        kind="backwards",
        severity="reject",
        frames=tuple(range(first, last + 1)),
        sure=0.85,
        found="these frames continue the video only in the opposite order",
        advice="reverse their order, or cut them out",
    )


def _leap(link: int, transitions: list[Transition]) -> VideoFinding:
    """Return the finding that the camera jumps although points can be followed."""
    usual = float(np.median([transition.motion for transition in transitions]))
    return VideoFinding(
        kind="jump",
        severity="warning",
        frames=(link,),
        sure=0.75,
        found=f"the camera jumps: points move by {transitions[link - 1].motion:.0f} px, usually by {usual:.0f}",
        advice="nothing where COLMAP finds the cameras; a requested camera path no longer fits, so cut the video there",
    )


def _cut_or_jump(clip: Clip, link: int, transitions: list[Transition], broken: list[int]) -> VideoFinding:
    """Return the finding for a broken link that nothing else explains."""
    transition, usual = transitions[link - 1], _usual_fraction(transitions)
    sure = float(np.clip(1 - transition.tracked_fraction / max(usual, 1e-6), 0.5, 0.99))
    followed = f"{transition.tracked_fraction:.0%} of the points can be followed, usually {usual:.0%}"
    if _is_cut(clip, link, transition, usual, broken):
        return VideoFinding(
            kind="cut",
            severity="reject",
            frames=(link,),
            sure=sure,
            found=f"another shot begins: {followed}",
            advice="cut the video there and use one of the parts",
        )
    return VideoFinding(
        kind="jump",
        severity="warning",
        frames=(link,),
        sure=0.8 * sure,
        found=f"the camera jumps: {followed}",
        advice="cut the video there, or use one in which the camera moves smoothly",
    )


def _pairs_across(link: int, count: int) -> list[tuple[int, int]]:
    """Return the pairs of frames next to those on both sides of a link."""
    pairs = ((link - 2, link), (link - 1, link + 1), (link - 2, link + 1))
    return [(i, j) for i, j in pairs if i >= 0 and j < count]


def _is_cut(clip: Clip, link: int, transition: Transition, usual: float, broken: list[int]) -> bool:
    """Tell whether nothing of the scene reappears after a broken link, as far as there are features to tell by."""
    neighbors = (link - 2, link - 1) if link > 1 else (link, min(link + 1, len(clip) - 1))
    if any(_is_linked(compare_frames(clip, i, j), usual) for i, j in _pairs_across(link, len(clip))):
        # Flicker breaks a link, but not those between the frames before and after it.
        return False
    if clip.masks is not None:
        # The other sides of a rotating object share nothing with the first, so there the colours decide.
        start = max((other for other in broken if other < link), default=0)
        end = min((other for other in broken if other > link), default=len(clip))
        return hue_distance(clip, range(start, link), range(link, end)) > MAX_HUE_DISTANCE
    if count_matches(*(clip.equalized[i] for i in neighbors)) < MIN_SHOT_MATCHES:
        return transition.histogram_distance > MAX_HISTOGRAM_DISTANCE
    return count_matches(clip.equalized[link - 1], clip.equalized[link]) == 0
