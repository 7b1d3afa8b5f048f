"""A front that is put into the back of an orbit."""

import numpy as np

from img2world.doctor.janus import find_janus


def test_a_front_at_the_back_is_found(thing, compared):
    rgb = thing.rgb.copy()
    rgb[7:12] = rgb[[16, 17, 0, 1, 2]]
    (finding,) = find_janus(*compared(rgb))
    assert (finding.kind, finding.severity) == ("janus", "warning")
    assert 9 in finding.frames
    assert set(finding.frames) <= {7, 8, 9, 10, 11}
    assert "appear again in frame 9" in finding.found


def test_a_true_back_is_none(thing, room, compared):
    assert not list(find_janus(*compared(thing.rgb)))
    assert not list(find_janus(*compared(room.rgb)))  # A scene has no back.


def test_an_orbit_that_is_short_or_does_not_close_is_not_examined(thing, compared):
    twice = np.concatenate([thing.rgb[:5], thing.rgb[:5]])
    assert not list(find_janus(*compared(twice)))
    half = np.concatenate([thing.rgb[:6], thing.rgb[:1], thing.rgb[3:9]])
    assert not list(find_janus(*compared(half)))


def test_a_camera_that_stands_still_sees_no_back(thing, compared):
    """The front is in sight all the time."""
    rng = np.random.default_rng(0)
    still = np.clip(np.repeat(thing.rgb[:1], 16, 0) + rng.normal(0, 2, (16, *thing.rgb.shape[1:])), 0, 255)
    assert not list(find_janus(*compared(still.astype(np.uint8))))


def test_a_camera_that_goes_to_and_fro_sees_the_front_again(thing, compared):
    order = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 17, 16, 15, 14, 13, 14, 15, 16, 17]
    assert not list(find_janus(*compared(thing.rgb[order])))
