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
    assert still_share(tracks_with(200, 300, noise=noise), 256) == pytest.approx(0.4, abs=0.03)
    assert still_share(tracks_with(0, 500, noise=noise), 256) < 0.01
    assert still_share(tracks_with(200, 300, noise=noise), 256) > MAX_STILL


def test_few_points_tell_nothing():
    assert still_share(tracks_with(40, 40, noise=0), 256) == 0
    assert still_share(Tracks.empty(), 256) == 0


def test_what_moves_fast_does_not_make_the_others_stand_still():
    """All points move, but some ten times as fast."""
    slow, fast = tracks_with(0, 300, noise=0.5), tracks_with(0, 200, noise=0.5)
    xy = np.concatenate([slow.xy, 20 * fast.xy])
    count = len(slow.frame_ids)
    tracks = Tracks(
        frame_ids=np.tile(slow.frame_ids[:LENGTH], 500),
        xy=xy,
        starts=np.concatenate([slow.starts, fast.starts + count]),
    )
    assert still_share(tracks, 256) < 0.05
