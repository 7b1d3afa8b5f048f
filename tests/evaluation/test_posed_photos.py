from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.assets import AssetError
from evaluation.baselines import BASELINES
from evaluation.samples import room_cameras
from evaluation.metrics import compare
from evaluation.posed_photos import overlaps, scene_case, scene_sources
from img2world.core.camera_paths import arc, orbit
from img2world.core.cameras import Cameras
from img2world.poses.commanded import CommandedPoses
from img2world.video.synthetic import SyntheticVideo


def views_along(poses):
    """A room in a world twice as large as ours, and turned."""
    frames = SyntheticVideo(kind="room", supersample=1).generate(None, room_cameras(poses, 96))
    views = CommandedPoses(max_points=50).estimate(frames, None)
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    moved = turn @ views.cameras.world_from_cam.astype(np.float64)
    moved[:, :3, 3] *= 2
    cameras = Cameras(world_from_cam=moved.astype(np.float32), intrinsics=views.cameras.intrinsics, width=96, height=96)
    return replace(views, cameras=cameras, depth=2 * views.depth)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "room"
    folder.mkdir()
    views_along(arc(5, half_azimuth=0.25)).save(folder)
    return folder


def test_the_first_photo_is_the_world_and_its_median_depth_the_unit(folder):
    (source,) = scene_sources(folder, 64)
    case = source.make()
    truth = case.paths["views"]
    assert case.name == "room"
    assert truth.rgb.shape == (5, 64, 64, 3)
    assert case.image.rgb.shape == (96, 96, 3)
    expected = np.eye(4)
    expected[2, 3] = -1
    assert_allclose(truth.cameras.world_from_cam[0], expected, atol=1e-6)
    assert_allclose(np.median(truth.depth[0]), 1, atol=1e-5)


def test_cameras_and_depth_fit_together(folder):
    case = scene_case(folder, "room", 64)
    truth = case.paths["views"]
    copied, warped = (
        compare(BASELINES[name](case, truth.cameras), truth, is_object=False, radius=1.0)
        for name in ("copy", "true-depth")
    )
    assert warped["psnr"] > copied["psnr"] + 2


def test_views_that_see_something_else_are_left_out(tmp_path):
    views = views_along(np.concatenate([arc(3, half_azimuth=0.1), orbit(3)[1:]]))
    views.save(tmp_path)
    truth = scene_case(tmp_path, "room", 64).paths["views"]
    assert len(truth.cameras) == 3
    assert overlaps(truth).min() > 0.4


def test_what_cannot_be_used_is_said(tmp_path, folder):
    with pytest.raises(AssetError, match="no posed photos"):
        scene_sources(tmp_path, 64)
    replace(views_along(arc(2, half_azimuth=0.1)), depth=None).save(tmp_path)
    with pytest.raises(AssetError, match="no depth"):
        scene_case(tmp_path, "x", 64)
    (tmp_path / "transforms.json").write_text("{}")
    with pytest.raises(AssetError, match="cannot be read"):
        scene_case(tmp_path, "x", 64)
