"""A front that is put into the back of an orbit."""

import numpy as np

from img2world.doctor.janus import find_janus
from img2world.doctor.transitions import downscale


def test_a_front_at_the_back_is_found(thing, frames_of):
    rgb = thing.rgb.copy()
    rgb[7:12] = rgb[[16, 17, 0, 1, 2]]
    (finding,) = find_janus(downscale(frames_of(rgb)))
    assert (finding.kind, finding.severity) == ("janus", "warning")
    assert 9 in finding.frames
    assert set(finding.frames) <= {7, 8, 9, 10, 11}
    assert "appear again in frame 9" in finding.found


def test_a_true_back_is_none(thing, room):
    assert not list(find_janus(downscale(thing)))
    assert not list(find_janus(downscale(room)))  # A scene has no back.


def test_an_orbit_that_is_short_or_does_not_close_is_not_examined(thing, frames_of):
    twice = np.concatenate([thing.rgb[:5], thing.rgb[:5]])
    assert not list(find_janus(downscale(frames_of(twice))))
    half = np.concatenate([thing.rgb[:6], thing.rgb[:1], thing.rgb[3:9]])
    assert not list(find_janus(downscale(frames_of(half))))


def test_a_camera_that_stands_still_sees_no_back(thing, frames_of):
    """The front is in sight all the time."""
    rng = np.random.default_rng(0)
    still = np.clip(np.repeat(thing.rgb[:1], 16, 0) + rng.normal(0, 2, (16, *thing.rgb.shape[1:])), 0, 255)
    assert not list(find_janus(downscale(frames_of(still.astype(np.uint8)))))
