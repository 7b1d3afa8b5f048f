"""Align clips of one scene in time by their motion energy: how much changes from frame to frame.

What moves is seen by all cameras at the same time, though from other sides. Energies are therefore correlated, with the
normalized cross-correlation of Lewis (1995, "Fast normalized cross-correlation") at each offset in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

MIN_FRAMES = 16
"""Frames in common without which correlations are a matter of chance."""

MIN_OVERLAP = 0.4
"""Fraction of the shorter clip that must be in common."""

MIN_CORRELATION, MIN_GAIN = 0.5, 0.15
"""Correlation that an offset must have, and by which it must be better than none."""

MIN_SIGMAS = 3.0
"""Standard deviations by which the correlation at an offset must exceed that of series that have nothing in common: of
a hundred offsets the best of such series exceeds it by 2.5."""

STEPS_PER_FRAME = 8
"""Offsets within a frame that are compared at last."""

SAME_PEAK = 0.03
"""Difference in correlation of peaks that are as good: what repeats itself matches at several offsets, of which the
smallest is taken."""


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
    is_clear: bool
    """True if the energies tell the offset."""


def find_offsets(clips: Sequence[Energy]) -> list[Offset]:
    """Return for each clip when it began, in seconds after the first clip.

    Each is compared with all others and aligned to the one that it agrees with best, or as if both had begun together
    where nothing tells. Then its offset is that of the other one.
    """
    count = len(clips)
    pairs = {(i, j): compare(clips[i], clips[j]) for i in range(count) for j in range(i + 1, count)}
    found = {0: Offset(seconds=0.0, correlation=1.0, is_clear=True)}
    while len(found) < count:
        candidates = [
            (_direct(pairs, known, other), known, other)
            for known in found
            for other in range(count)
            if other not in found
        ]
        best, known, other = max(candidates, key=lambda item: (item[0].is_clear, item[0].correlation))
        clear = best.is_clear and found[known].is_clear
        seconds = found[known].seconds + (best.seconds if best.is_clear else 0.0)
        found[other] = Offset(seconds=seconds, correlation=best.correlation, is_clear=clear)
    return [found[i] for i in range(count)]


def _direct(pairs: dict[tuple[int, int], Offset], first: int, second: int) -> Offset:
    """Return when the second clip began after the first."""
    if first < second:
        return pairs[first, second]
    other = pairs[second, first]
    return Offset(seconds=-other.seconds, correlation=other.correlation, is_clear=other.is_clear)


def compare(first: Energy, second: Energy) -> Offset:
    """Return how many seconds after the first clip the second began, to a fraction of a frame; 0 if nothing tells."""
    step = max(first.interval, second.interval)
    a, b = _resampled(first, step, 0.0), _resampled(second, step, 0.0)
    least = max(MIN_FRAMES, int(MIN_OVERLAP * min(len(a), len(b))))
    shifts = np.arange(least - len(b), len(a) - least + 1)
    if len(shifts) == 0:
        return Offset(seconds=0.0, correlation=0.0, is_clear=False)
    scores = np.array([_correlation(a, b, int(shift)) for shift in shifts])
    peaks = np.flatnonzero(scores >= scores.max() - SAME_PEAK)
    best = int(shifts[peaks[np.argmin(np.abs(shifts[peaks]))]])
    at_start = float(scores[shifts == 0][0]) if (shifts == 0).any() else 0.0
    fractions = np.arange(-STEPS_PER_FRAME, STEPS_PER_FRAME + 1) / STEPS_PER_FRAME
    finer = np.array([_correlation(a, _resampled(second, step, -fraction * step), best) for fraction in fractions])
    k = int(finer.argmax())
    correlation, seconds = float(finer[k]), float((best + fractions[k]) * step)
    is_same = abs(seconds) < 0.5 * step
    overlap = min(len(a), len(b) + best) - max(0, best)
    is_chance = correlation < MIN_CORRELATION or _sigmas(correlation, a, b, overlap) < MIN_SIGMAS
    is_clear = not is_chance and (is_same or correlation >= at_start + MIN_GAIN)
    return Offset(seconds=0.0 if is_same else seconds, correlation=correlation, is_clear=is_clear)


def _resampled(energy: Energy, step: float, start: float) -> Float64[np.ndarray, "M"]:
    """Return the logarithm of the energy at even times from `start` on, smoothed and without its slow change."""
    from scipy.ndimage import gaussian_filter1d

    times = start + np.arange(int(energy.seconds[-1] / step) + 1) * step
    values = np.interp(times, energy.seconds, np.log1p(energy.values))
    return gaussian_filter1d(values, 0.7)


def _sigmas(correlation: float, a: Float64[np.ndarray, "N"], b: Float64[np.ndarray, "M"], overlap: int) -> float:
    """Return how many standard deviations a correlation is above that of series with nothing in common.

    Source: Fisher's transformation; Bartlett (1935) on the number of independent samples of series that change slowly.
    """
    slowness = max(0.0, _correlation(a[1:], a[:-1], 0) * _correlation(b[1:], b[:-1], 0))
    independent = overlap * (1 - slowness) / (1 + slowness)
    return float(np.arctanh(min(correlation, 1 - 1e-9)) * np.sqrt(max(independent - 3, 0.1)))


def _correlation(a: Float64[np.ndarray, "N"], b: Float64[np.ndarray, "M"], shift: int) -> float:
    """Return the correlation of two series where they overlap, if the second begins `shift` later."""
    start, end = max(0, shift), min(len(a), len(b) + shift)
    x, y = a[start:end], b[start - shift : end - shift]
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / max(np.sqrt((x @ x) * (y @ y)), 1e-12))
