"""Offsets of clips, from made energies whose offsets are known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from img2world.video.synchrony import Energy, compare, find_offsets

FPS = 24.0


def motion(time: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return an energy over time that does not repeat itself."""
    values = gaussian_filter1d(np.random.default_rng(seed).random(2000), 3)
    return 40 * np.interp(time + 20, np.arange(2000) / 48, (values - values.min()) / np.ptp(values))


def clip(start: float, seconds: float = 4.0, *, fps: float = FPS, gain: float = 1.0, noise: float = 0.3) -> Energy:
    """Return the energy of a clip that began at a time, with a contrast and noise of its own."""
    times = np.arange(int(seconds * fps)) / fps
    rng = np.random.default_rng(int(1000 * (start + 9)))
    return Energy(seconds=times, values=np.abs(gain * motion(start + times) + noise * rng.normal(size=len(times))))


@pytest.mark.parametrize("start", [0.5, -0.7, 1.25 + 0.5 / FPS])
def test_an_offset_is_found_to_a_fraction_of_a_frame(start):
    found = compare(clip(0.0), clip(start, gain=0.4))
    assert found.is_clear
    assert found.seconds == pytest.approx(start, abs=0.3 / FPS)


def test_clips_of_other_rates_are_compared_in_seconds():
    found = compare(clip(0.0), clip(0.6, fps=30.0))
    assert found.is_clear
    assert found.seconds == pytest.approx(0.6, abs=0.5 / FPS)


def test_clips_started_together_stay_so():
    found = find_offsets([clip(0.0), clip(0.0, gain=3.0), clip(0.0, gain=0.2)])
    assert [offset.seconds for offset in found] == [0, 0, 0]


def test_what_has_nothing_in_common_is_not_moved():
    times = np.arange(96) / FPS
    other = Energy(seconds=times, values=motion(times, seed=5))
    found = compare(clip(0.0), other)
    assert not found.is_clear or found.seconds == 0


def test_what_repeats_itself_is_moved_as_little_as_possible():
    times = np.arange(120) / FPS
    wave = Energy(seconds=times, values=5 + 4 * np.sin(2 * np.pi * times))
    later = Energy(seconds=times, values=5 + 4 * np.sin(2 * np.pi * (times + 0.25)))
    assert compare(wave, later).seconds == pytest.approx(0.25, abs=0.5 / FPS)


def test_a_clip_is_aligned_by_the_one_that_it_shares_most_with():
    # The first and the last have too little in common, but both overlap the one between them.
    found = find_offsets([clip(0.0), clip(2.0), clip(4.0)])
    assert [offset.seconds for offset in found] == pytest.approx([0, 2, 4], abs=0.5 / FPS)


def test_what_swells_and_fades_only_once_is_not_moved():
    # Seen along its way, something that turns moves most at another time than seen from the side.
    seconds = np.arange(24) / 12
    clips = [
        Energy(seconds=seconds, values=0.2 + 2 * np.exp(-(((seconds - peak) / 0.5) ** 2))) for peak in (1.3, *[0.9] * 7)
    ]
    assert [offset.seconds for offset in find_offsets(clips)] == [0.0] * 8
