"""Points that stand still while others move."""

import numpy as np
import pytest

from img2world.tracking.stillness import MAX_STILL, still_share
from img2world.tracking.tracks import Tracks

LENGTH = 8


def tracks_with(still: int, moving: int, *, noise: float) -> Tracks:
    """Tracks of which some stay in their place and others move by 30 pixels in all, with noise in each frame."""
    rng = np.random.default_rng(0)
    steps = np.concatenate([np.zeros(still), np.full(moving, 30 / (LENGTH - 1))])
    start = rng.uniform(0, 256, (still + moving, 1, 2))
    xy = start + steps[:, None, None] * np.arange(LENGTH)[None, :, None] * np.array([1.0, 0.0])
    xy = xy + noise * rng.normal(size=xy.shape)
    count = still + moving
    return Tracks(frame_ids=np.tile(np.arange(LENGTH), count), xy=xy.reshape(-1, 2), starts=LENGTH * np.arange(count))


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_share_of_those_that_stand_still(noise):
    assert still_share(tracks_with(200, 300, noise=noise)) == pytest.approx(0.4, abs=0.03)
    assert still_share(tracks_with(0, 500, noise=noise)) < 0.01
    assert still_share(tracks_with(200, 300, noise=noise)) > MAX_STILL


def test_few_points_tell_nothing():
    assert still_share(tracks_with(40, 40, noise=0)) == 0
    assert still_share(Tracks.empty()) == 0
