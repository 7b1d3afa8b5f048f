import numpy as np
import pytest

from evaluation.baselines import BASELINES, SCENE_BASELINES, show_billboard, up_of_sample
from evaluation.metrics import compare_frames
from evaluation.samples import object_sources, room_sources


@pytest.fixture(scope="module")
def box(asset_folder):
    return object_sources(asset_folder, count=2, size=64)[1].make()


def test_baselines_with_more_ground_truth_score_higher(box):
    truth = box.paths["static"]
    figures = {
        name: compare_frames(make(box, truth.cameras), truth, is_object=True, radius=box.radius)
        for name, make in BASELINES.items()
    }
    assert figures["copy"]["object_psnr"] < figures["true-depth"]["object_psnr"] - 3
    assert figures["true-depth"]["object_psnr"] <= figures["true-layers"]["object_psnr"]
    assert figures["true-layers"]["iou"] > 0.95
    # The depth of the first frame is the photo's, except that the nearest sample of a pixel counts.
    assert figures["true-layers"]["depth_mae"] < 0.05
    assert figures["copy"]["flicker"] == 0


def test_billboard_is_mirrored_from_behind(box):
    frames = show_billboard(box, box.paths["dynamic"].cameras)
    photo = box.photo.rgb[0]
    mirrored = [bool((frame == photo[:, ::-1]).all()) for frame in frames.rgb]
    same = [bool((frame == photo).all()) for frame in frames.rgb]
    assert sum(same) + sum(mirrored) == len(same)
    assert same[0]
    assert mirrored[10]
    assert mirrored == [5 < i < 16 for i in range(21)]


def test_axis_of_the_orbit_points_up_in_the_photo(box):
    up = up_of_sample(box)
    assert up[1] < -0.9
    assert abs(up[0]) < 1e-5


def test_scene_is_warped_and_its_holes_are_filled():
    room = room_sources(1, 64)[0].make()
    truth = room.paths["arc"]
    copied, warped = (
        compare_frames(BASELINES[name](room, truth.cameras), truth, is_object=False, radius=1.0)
        for name in SCENE_BASELINES
    )
    assert warped["psnr"] > copied["psnr"] + 3
    assert warped["abs_rel"] < 0.02
    assert np.isfinite(warped["ssim"])
