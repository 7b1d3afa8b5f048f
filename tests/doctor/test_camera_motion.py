"""Cameras that rotate, zoom or stand still, and cameras that move around."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from img2world.core.rotation import rotation_about
from img2world.doctor.camera_motion import HomographyFit, _residual_stays, find_camera_faults, moving_subject

COUNT = 12


def test_a_camera_that_moves_around_has_no_fault(room, thing, compared):
    assert not list(find_camera_faults(*compared(room.rgb)))
    assert not list(find_camera_faults(*compared(thing.rgb)))


def test_rotation_in_place(render, compared):
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    poses[:, 2, 3] = -0.9
    for i in range(COUNT):
        poses[i, :3, :3] = rotation_about(np.array([0.0, 1.0, 0.0]), 0.04 * i)
    (finding,) = find_camera_faults(*compared(render(poses, "room").rgb))
    assert (finding.kind, finding.severity) == ("rotation only", "reject")
    assert finding.sure > 0.6


def test_zoom_in_place(room, compared):
    zoomed = []
    for factor in np.linspace(1, 1.3, COUNT):
        matrix = np.array([[factor, 0, 64 * (1 - factor)], [0, factor, 64 * (1 - factor)]])
        zoomed.append(cv2.warpAffine(room.rgb[0], matrix, (128, 128), flags=cv2.INTER_CUBIC))
    (finding,) = find_camera_faults(*compared(np.stack(zoomed)))
    assert (finding.kind, finding.severity) == ("zoom only", "reject")
    assert "zooms" in finding.found


def test_a_wall_with_things_before_it_is_no_rotation_in_place(room, compared):
    """The figures are those of walks whose cameras COLMAP finds to grade A, and of a clip that slides as a whole."""
    clip, _ = compared(room.rgb)

    def fits(motion: float, residual: float, tail: float) -> list[HomographyFit]:
        return [HomographyFit(motion=motion, residual=residual, tail=tail, zoom=1.0)] * 3

    assert not _residual_stays(clip, fits(22.1, 2.5, 7.2), fits(38.2, 0.4, 11.1))
    assert not _residual_stays(clip, fits(56.6, 2.3, 7.3), fits(90.0, 0.8, 5.6))
    assert _residual_stays(clip, fits(20.9, 0.9, 2.7), fits(41.5, 1.2, 2.9))


def test_no_motion(room, compared):
    noise = np.random.default_rng(1).normal(0, 3, (COUNT, *room.rgb.shape[1:]))
    still = np.clip(np.repeat(room.rgb[:1], COUNT, 0) + noise, 0, 255).astype(np.uint8)
    (finding,) = find_camera_faults(*compared(still))
    assert (finding.kind, finding.severity) == ("no motion", "reject")
    assert "what changes is the subject" in finding.found


def test_what_looks_alike_from_many_sides_moves(room, compared):
    """Later frames may look like the first one; neighbouring ones show that points move."""
    clip, transitions = compared(np.repeat(room.rgb[:1], COUNT, 0))
    moving = [replace(each, start=each.start[:9], end=each.start[:9] + np.array([4.0, 0.0])) for each in transitions]
    assert "no motion" not in {finding.kind for finding in find_camera_faults(clip, moving)}


def test_an_object_whose_points_cannot_be_followed_may_turn(thing, compared):
    clip, transitions = compared(np.repeat(thing.rgb[:1], COUNT, 0))
    for fraction, severity in ((0.9, "reject"), (0.6, "warning")):
        (finding,) = find_camera_faults(clip, [replace(each, tracked_fraction=fraction) for each in transitions])
        assert (finding.kind, finding.severity) == ("no motion", severity)


def test_a_moving_subject():
    finding = moving_subject(0.2, (3, 4))
    assert (finding.kind, finding.frames, finding.sure) == ("moving subject", (3, 4), pytest.approx(0.9))
    assert finding.found.startswith("20% of the points")
    assert moving_subject(0.9, ()).sure == 0.95
    masked = moving_subject(0.2, (3, 4), masked=True)
    assert masked.found == "20% of the picture moves by itself, and is masked"
    assert "mask it" not in masked.advice


def test_a_subject_that_moves_before_a_still_camera(room, compared):
    """A block passes in front of a wall; noise hides that nothing else moves at all."""
    rng = np.random.default_rng(0)
    rgb = np.repeat(room.rgb[:1], COUNT, 0).astype(float)
    block = rng.integers(0, 255, (12, 12, 3)).repeat(5, 0).repeat(5, 1)
    for i in range(COUNT):
        rgb[i, 30:90, 4 * i : 4 * i + 60] = block
    rgb = np.clip(rgb + rng.normal(0, 2, rgb.shape), 0, 255).astype(np.uint8)
    kinds = {finding.kind: finding.severity for finding in find_camera_faults(*compared(rgb))}
    assert kinds in ({"still camera": "reject"}, {"no motion": "reject"})
