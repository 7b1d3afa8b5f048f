"""Faults of single cameras among several."""

import numpy as np
import pytest

from img2world.core.frames import Frames
from img2world.doctor.video import examine_video

SIZE = 96


def blots(seed: int) -> np.ndarray:
    from PIL import Image as PillowImage

    small = np.random.default_rng(seed).integers(0, 256, (24, 48, 3), np.uint8)
    return np.asarray(PillowImage.fromarray(small).resize((2 * SIZE, SIZE), PillowImage.Resampling.BICUBIC))


def still_camera(seed: int) -> list[np.ndarray]:
    """Return pictures of a dark square that moves before blots."""
    frames = []
    for i in range(8):
        rgb = blots(seed)[:, :SIZE].copy()
        rgb[30:54, 8 * i : 8 * i + 24] = 20
        frames.append(rgb)
    return frames


def frames_of(clips: list[list[np.ndarray]]) -> Frames:
    """Return the pictures of several cameras time by time."""
    count = len(clips)
    return Frames(
        rgb=np.stack([clip[i] for i in range(8) for clip in clips]),
        times=np.repeat(np.arange(8) / 24, count),
        ordered=False,
        viewpoints=np.tile(np.arange(count), 8),
        is_timed=True,
    )


def test_cameras_that_differ_are_no_cuts():
    assert examine_video(frames_of([still_camera(0), still_camera(1), still_camera(2)])) == []


@pytest.mark.parametrize("faulty", [1, 2])
def test_what_stands_still_in_most_viewpoints_is_no_motion(faulty):
    still = [still_camera(9)[0]] * 8
    (found,) = examine_video(frames_of([still] * faulty + [still_camera(i) for i in range(3 - faulty)]))
    assert (found.kind, found.severity) == ("frozen", "reject" if faulty == 2 else "warning")
    assert found.found.endswith("viewpoint 1" if faulty == 1 else "viewpoints 1, 2")


def test_a_camera_that_moves_is_told():
    moved = [blots(5)[:, 6 * i : 6 * i + SIZE] for i in range(8)]
    found = examine_video(frames_of([still_camera(0), still_camera(1), moved]))
    assert [(finding.kind, finding.severity) for finding in found] == [("moving camera", "warning")]
    assert "viewpoint 3" in found[0].found
