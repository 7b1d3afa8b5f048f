from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.assets import AssetError
from evaluation.baselines import BASELINES
from evaluation.metrics import compare_frames
from evaluation.posed_photos import load_scene_sample, scene_sources, view_overlaps
from evaluation.samples import room_cameras
from img2world.core.camera_paths import arc, orbit
from img2world.core.cameras import Cameras
from img2world.poses.commanded import CommandedPoses
from img2world.video.synthetic import SyntheticVideo


def views_along(poses):
    """Views of a room in a rotated world of twice the scale."""
    frames = SyntheticVideo(kind="room", supersample=1).generate(None, room_cameras(poses, 96))
    views = CommandedPoses(max_points=50).estimate(frames, None)
    rotation = np.diag([-1.0, 1.0, -1.0, 1.0])
    transformed = rotation @ views.cameras.world_from_cam.astype(np.float64)
    transformed[:, :3, 3] *= 2
    cameras = Cameras(
        world_from_cam=transformed.astype(np.float32), intrinsics=views.cameras.intrinsics, width=96, height=96
    )
    return replace(views, cameras=cameras, depth=2 * views.depth)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "room"
    folder.mkdir()
    views_along(arc(5, half_azimuth=0.25)).save(folder)
    return folder


def test_first_photo_defines_the_world_and_its_unit(folder):
    (source,) = scene_sources(folder, 64)
    sample = source.make()
    truth = sample.paths["views"]
    assert sample.name == "room"
    assert truth.rgb.shape == (5, 64, 64, 3)
    assert sample.image.rgb.shape == (96, 96, 3)
    expected = np.eye(4)
    expected[2, 3] = -1
    assert_allclose(truth.cameras.world_from_cam[0], expected, atol=1e-6)
    assert_allclose(np.median(truth.depth[0]), 1, atol=1e-5)


def test_cameras_and_depth_are_consistent(folder):
    sample = load_scene_sample(folder, "room", 64)
    truth = sample.paths["views"]
    copied, warped = (
        compare_frames(BASELINES[name](sample, truth.cameras), truth, is_object=False, radius=1.0)
        for name in ("copy", "true-depth")
    )
    assert warped["psnr"] > copied["psnr"] + 2


def test_views_without_overlap_are_left_out(tmp_path):
    views = views_along(np.concatenate([arc(3, half_azimuth=0.1), orbit(3)[1:]]))
    views.save(tmp_path)
    truth = load_scene_sample(tmp_path, "room", 64).paths["views"]
    assert len(truth.cameras) == 3
    assert view_overlaps(truth).min() > 0.4


def test_unusable_scenes_raise(tmp_path, folder):
    with pytest.raises(AssetError, match="no posed photos"):
        scene_sources(tmp_path, 64)
    replace(views_along(arc(2, half_azimuth=0.1)), depth=None).save(tmp_path)
    with pytest.raises(AssetError, match="no depth"):
        load_scene_sample(tmp_path, "x", 64)
    (tmp_path / "transforms.json").write_text("{}")
    with pytest.raises(AssetError, match="cannot be read"):
        load_scene_sample(tmp_path, "x", 64)
