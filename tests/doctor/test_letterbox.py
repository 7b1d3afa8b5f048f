"""Black bars of known width around noise."""

import numpy as np
import pytest

from img2world.doctor.letterbox import find_letterbox
from img2world.doctor.transitions import downscale


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 255, (4, 100, 120, 3), dtype=np.uint8)


def test_bars_are_measured(rgb, frames_of):
    rgb[:, :12] = rgb[:, -10:] = 5
    (finding,) = find_letterbox(downscale(frames_of(rgb)))
    assert (finding.kind, finding.severity) == ("letterbox", "warning")
    assert finding.found == "black bars above and below cover 22% of the picture"
    assert finding.advice == "crop them: 12.0% and 10.0% of the side"


def test_pillars(rgb, frames_of):
    rgb[:, :, :12] = rgb[:, :, -12:] = 0
    (finding,) = find_letterbox(downscale(frames_of(rgb)))
    assert "left and right cover 20%" in finding.found


@pytest.mark.parametrize(
    "rows",
    [
        (2, 2),  # too narrow to do harm
        (12, 0),  # on one side only
        (0, 0),
    ],
)
def test_what_is_no_letterbox(rgb, frames_of, rows):
    rgb[:, : rows[0]] = 0
    rgb[:, 100 - rows[1] :] = 0
    assert not list(find_letterbox(downscale(frames_of(rgb))))


def test_bars_must_be_there_in_all_frames_and_without_structure(rgb, frames_of):
    once = rgb.copy()
    once[:3, :12] = once[:3, -12:] = 0
    assert not list(find_letterbox(downscale(frames_of(once))))
    structured = rgb.copy()
    structured[:, :12] = structured[:, -12:] = np.where(np.arange(120)[:, None] % 40 < 20, 25, 0)
    assert not list(find_letterbox(downscale(frames_of(structured))))
    assert not list(find_letterbox(downscale(frames_of(np.zeros_like(rgb)))))
