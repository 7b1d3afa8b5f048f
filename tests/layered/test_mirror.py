import numpy as np
import pytest

from img2world.layered.mirror import mirror_along_lines, reflected


def stripe(slope: float, row: float) -> np.ndarray:
    """A dark stripe on a plain ground that meets the right edge at a row."""
    y, x = np.mgrid[:300, :400].astype(np.float32)
    dark = np.abs(y - row - slope * (x - 400)) < 4 * np.hypot(1, slope)
    return np.where(dark, 0.2, 0.7).astype(np.float32)[..., None].repeat(3, -1)


@pytest.mark.parametrize("slope", [-0.8, -0.3, 0.4, 0.9])
def test_a_line_that_meets_the_edge_runs_on_straight(slope):
    extended = mirror_along_lines(stripe(slope, 150), (40, 100)).extend(stripe(slope, 150))
    column = extended[40:-40, 100 + 400 + 60, 0]
    assert abs(int(column.argmin()) - (150 + 60 * slope)) < 10
    # A plain mirror would have it here.
    assert column[round(150 - 60 * slope)] > 0.6 or abs(slope) < 0.2


def test_without_lines_it_is_a_plain_mirror():
    picture = np.random.default_rng(0).random((40, 60, 3), np.float32)
    extended = mirror_along_lines(np.full_like(picture, 0.5), (10, 25)).extend(picture)
    np.testing.assert_allclose(extended, np.pad(picture, ((10, 10), (25, 25), (0, 0)), mode="symmetric"), atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_picture_itself_stays_as_it_is(scale):
    rng = np.random.default_rng(1)
    picture = rng.random((24 * scale, 36 * scale, 3), np.float32)
    extended = mirror_along_lines(rng.random((24, 36, 3), np.float32), (5, 9)).extend(picture, scale)
    assert extended.shape == (34 * scale, 54 * scale, 3)
    np.testing.assert_array_equal(extended[5 * scale : -5 * scale, 9 * scale : -9 * scale], picture)


def test_positions_are_reflected_as_numpy_pads():
    values = np.arange(7.0)
    position = np.arange(-20, 27, dtype=np.float32)
    found = values[np.rint(reflected(position[None], 7)[0]).astype(int)]
    np.testing.assert_array_equal(found, np.pad(values, 20, mode="symmetric"))
