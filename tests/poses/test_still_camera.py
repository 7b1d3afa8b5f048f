"""One camera that stands still before something that moves."""

import numpy as np
import pytest

from img2world.core.frames import Frames
from img2world.poses.auto import AutoPoses
from img2world.poses.still_camera import camera_stands_still


def frames_of(rgb: np.ndarray) -> Frames:
    return Frames(rgb=rgb, times=np.arange(len(rgb)) / 12)


@pytest.fixture(scope="module")
def blots() -> np.ndarray:
    from PIL import Image as PillowImage

    small = np.random.default_rng(0).integers(0, 256, (24, 48, 3), np.uint8)
    return np.asarray(PillowImage.fromarray(small).resize((256, 128), PillowImage.Resampling.BICUBIC))


def test_a_still_camera_becomes_2_5d_that_says_so(blots):
    rgb = np.repeat(blots[None, :, :160], 8, 0)
    for i in range(8):
        rgb[i, 30:70, 10 * i : 10 * i + 40] = np.roll(blots[40:80, 40:80], 7, 0)
    views = AutoPoses(moving=True).estimate(frames_of(rgb), None)
    assert views.report is not None
    assert (views.report.grade, views.solver) == ("D", "still camera, 2.5D")
    assert "2.5D" in views.report.reasons[0]
    assert views.times is not None
    assert np.allclose(views.times, np.arange(8) / 12)
    assert len(np.unique(views.cameras.world_from_cam, axis=0)) == 1
    # Points lie where the first picture shows them, at depths that differ.
    depth, pixels, inside = views.cameras.project(0, views.points)
    column, row = pixels.astype(int).T
    assert inside.all()
    assert np.array_equal(views.point_colors, rgb[0, row, column])
    assert np.median(depth) == pytest.approx(1, abs=0.1)


def test_a_camera_that_moves_is_no_still_one(blots):
    assert not camera_stands_still(frames_of(np.stack([blots[:, 9 * i : 9 * i + 160] for i in range(8)])))
