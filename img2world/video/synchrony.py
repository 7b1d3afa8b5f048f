"""Align clips of one scene in time by their motion energy: how much changes from frame to frame.

What moves is seen by all cameras at the same time, though from other sides. Energies are therefore correlated, with the
normalized cross-correlation of Lewis (1995, "Fast normalized cross-correlation") at each offset in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int

MIN_FRAMES = 16
"""Frames in common without which correlations are a matter of chance."""

MIN_OVERLAP = 0.4
"""Fraction of the shorter clip that must be in common."""

MIN_CORRELATION, MIN_GAIN = 0.5, 0.15
"""Correlation that an offset must have, and by which it must be better than none."""

MIN_SIGMAS = 4.0
"""Standard deviations by which the correlation at an offset must exceed that of series that have nothing in common: of
a hundred offsets the best of such series exceeds it by 2.5."""

MIN_SIGMAS_OF_MANY = 1.5
"""Standard deviations that are enough where many clips agree. Motion that only swells and fades away has fewer: when it
is strongest depends on the side that it is seen from, so that clips may well agree on a false offset."""

MIN_AGREEING, NEARLY = 0.7, 0.8
"""Fraction of the pairs of clips that must agree with offsets which others gave them, and fraction of their own best
correlation that they must have there."""

SAME_SIGMAS = 0.9
"""Fraction of the most standard deviations at which other offsets are as good: what repeats itself matches at several,
of which the smallest is taken."""

ENERGY_SCALE = 10.0
"""Of energies in grey levels before the logarithm, in which clips with more and with less contrast are alike."""

SMOOTHING = 1.0
"""Standard deviation in frames of what energies are smoothed by."""

STEPS_PER_FRAME = 8
"""Offsets within a frame that are compared at last."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Motion energy of a clip."""

    seconds: Float64[np.ndarray, "N"]
    """From its first frame."""
    values: Float64[np.ndarray, "N"]

    @property
    def interval(self) -> float:
        """Median seconds between frames."""
        return float(np.median(np.diff(self.seconds)))


@dataclass(frozen=True, kw_only=True)
class Offset:
    """When a clip began, compared with another one."""

    seconds: float
    correlation: float
    """Of the energies at this offset, -1 to 1."""
    sigmas: float
    """Standard deviations above the correlation of what has nothing in common."""
    is_clear: bool
    """True if the energies tell the offset."""


def find_offsets(clips: Sequence[Energy]) -> list[Offset]:
    """Return for each clip when it began, in seconds after the first clip; 0 where nothing tells.

    Each is aligned to the one that it agrees with best. Three clips or more are believed if those that were not aligned
    to each other agree as well, two if chance is unlikely.
    """
    count = len(clips)
    pairs = {(i, j): compare(clips[i], clips[j]) for i in range(count) for j in range(i + 1, count)}
    found, used = {0: Offset(seconds=0.0, correlation=1.0, sigmas=np.inf, is_clear=True)}, set()
    while len(found) < count:
        candidates = [
            (_direct(pairs, known, other), known, other)
            for known in found
            for other in range(count)
            if other not in found
        ]
        best, known, other = max(candidates, key=lambda item: (item[0].is_clear, item[0].sigmas))
        used.add((min(known, other), max(known, other)))
        to_known = found[known]
        found[other] = replace(
            best,
            seconds=to_known.seconds + best.seconds,
            # A chain is as strong as its weakest link.
            sigmas=min(best.sigmas, to_known.sigmas),
            is_clear=best.is_clear and to_known.is_clear,
        )
    offsets = [found[i] for i in range(count)]
    if others := [pair for pair in pairs if pair not in used]:
        agreeing = np.mean([_agrees(clips, offsets, pair, pairs[pair]) for pair in others])
        believed = MIN_SIGMAS_OF_MANY if agreeing >= MIN_AGREEING else np.inf
        offsets = [replace(offset, is_clear=offset.is_clear or offset.sigmas >= believed) for offset in offsets]
    if not all(offset.is_clear for offset in offsets):
        return [offset if offset.is_clear else replace(offset, seconds=0.0) for offset in offsets]
    return _balanced(clips, offsets, [*pairs])


def _balanced(clips: Sequence[Energy], offsets: list[Offset], pairs: list[tuple[int, int]]) -> list[Offset]:
    """Return the offsets that agree best with those of all pairs near them, by least squares."""
    rows, measured = [np.eye(len(clips))[0]], [0.0]
    for i, j in pairs:
        first, second = clips[i], clips[j]
        step = max(first.interval, second.interval)
        shift = round((offsets[j].seconds - offsets[i].seconds) / step)
        a, b = _changes(first, step, 0.0), _changes(second, step, 0.0)
        if min(len(a), len(b) + shift) - max(0, shift) < MIN_FRAMES:
            continue
        near = np.array([_correlation(a, b, shift + k) for k in (-1, 0, 1)])
        exact, correlation = _finer_peak(a, second, step, shift + int(near.argmax()) - 1)
        if correlation >= MIN_CORRELATION:
            rows.append(np.eye(len(clips))[j] - np.eye(len(clips))[i])
            measured.append(exact)
    if np.linalg.matrix_rank(np.array(rows)) < len(clips):
        return offsets
    seconds = np.linalg.lstsq(np.array(rows), np.array(measured), rcond=None)[0]
    usual = max(clip.interval for clip in clips)
    return [
        replace(offset, seconds=0.0 if abs(value) < 0.5 * usual else value)
        for offset, value in zip(offsets, seconds.tolist(), strict=True)
    ]


def _finer_peak(a: Float64[np.ndarray, "N"], second: Energy, step: float, shift: int) -> tuple[float, float]:
    """Return the offset in seconds near a shift at which a clip correlates best with changes, and the correlation."""
    fractions = np.arange(-STEPS_PER_FRAME, STEPS_PER_FRAME + 1) / STEPS_PER_FRAME
    found = [_correlation(a, _changes(second, step, -fraction * step), shift) for fraction in fractions]
    best = int(np.argmax(found))
    return (shift + float(fractions[best])) * step, found[best]


def _agrees(clips: Sequence[Energy], offsets: list[Offset], pair: tuple[int, int], own: Offset) -> bool:
    """Tell whether two clips correlate at the offsets that others gave them nearly as well as at best."""
    first, second = (clips[i] for i in pair)
    step = max(first.interval, second.interval)
    shift = round((offsets[pair[1]].seconds - offsets[pair[0]].seconds) / step)
    a, b = _changes(first, step, 0.0), _changes(second, step, 0.0)
    if min(len(a), len(b) + shift) - max(0, shift) < MIN_FRAMES / 2:
        return False
    near = max(_correlation(a, b, shift + k) for k in (-1, 0, 1))
    return near >= max(MIN_CORRELATION, NEARLY * own.correlation)


def _direct(pairs: dict[tuple[int, int], Offset], first: int, second: int) -> Offset:
    """Return when the second clip began after the first."""
    if first < second:
        return pairs[first, second]
    other = pairs[second, first]
    return replace(other, seconds=-other.seconds)


def compare(first: Energy, second: Energy) -> Offset:
    """Return how many seconds after the first clip the second began, to a fraction of a frame; 0 if nothing tells."""
    step = max(first.interval, second.interval)
    a, b = _changes(first, step, 0.0), _changes(second, step, 0.0)
    least = max(MIN_FRAMES, int(MIN_OVERLAP * min(len(a), len(b))))
    shifts = np.arange(least - len(b), len(a) - least + 1)
    if len(shifts) == 0:
        return Offset(seconds=0.0, correlation=0.0, sigmas=0.0, is_clear=False)
    scores = np.array([_correlation(a, b, int(shift)) for shift in shifts])
    overlaps = np.minimum(len(a), len(b) + shifts) - np.maximum(0, shifts)
    sigmas = _sigmas(scores, overlaps, a, b)
    peaks = np.flatnonzero(sigmas >= SAME_SIGMAS * sigmas.max())
    k = int(peaks[np.argmin(np.abs(shifts[peaks]))])
    # The next better one is the peak itself.
    while 0 < k < len(scores) - 1 and max(scores[k - 1], scores[k + 1]) > scores[k]:
        k += 1 if scores[k + 1] > scores[k - 1] else -1
    best = int(shifts[k])
    seconds, correlation = _finer_peak(a, second, step, best)
    at_start = float(scores[shifts == 0][0]) if (shifts == 0).any() else 0.0
    is_same = abs(seconds) < 0.5 * step
    is_chance = correlation < MIN_CORRELATION or sigmas[k] < MIN_SIGMAS
    return Offset(
        seconds=0.0 if is_same else seconds,
        correlation=correlation,
        sigmas=float(sigmas[k]),
        is_clear=not is_chance and (is_same or correlation >= at_start + MIN_GAIN),
    )


def _changes(energy: Energy, step: float, start: float) -> Float64[np.ndarray, "M"]:
    """Return by how much the logarithm of the energy rises at even times from `start` on.

    Of the energy itself, neighbouring values are so alike that many offsets correlate.
    """
    from scipy.ndimage import gaussian_filter1d

    times = start + np.arange(int(energy.seconds[-1] / step + 1e-6) + 1) * step
    values = np.interp(times, energy.seconds, np.log1p(ENERGY_SCALE * energy.values))
    return np.gradient(gaussian_filter1d(values, SMOOTHING)) if len(values) > 1 else values


def _sigmas(
    correlations: Float64[np.ndarray, "S"],
    overlaps: Int[np.ndarray, "S"],
    a: Float64[np.ndarray, "N"],
    b: Float64[np.ndarray, "M"],
) -> Float64[np.ndarray, "S"]:
    """Return how many standard deviations correlations are above those of series with nothing in common.

    Source: Fisher's transformation; Bartlett (1935) on the number of independent samples of series that change slowly.
    """
    slowness = max(0.0, _correlation(a[1:], a[:-1], 0) * _correlation(b[1:], b[:-1], 0))
    independent = overlaps * (1 - slowness) / (1 + slowness)
    return np.arctanh(np.minimum(correlations, 1 - 1e-9)) * np.sqrt(np.maximum(independent - 3, 0.1))


def _correlation(a: Float64[np.ndarray, "N"], b: Float64[np.ndarray, "M"], shift: int) -> float:
    """Return the correlation of two series where they overlap, if the second begins `shift` later."""
    start, end = max(0, shift), min(len(a), len(b) + shift)
    x, y = a[start:end], b[start - shift : end - shift]
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / max(np.sqrt((x @ x) * (y @ y)), 1e-12))
