"""Folders of what several fixed cameras saw at the same times."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.captures.viewpoint_cameras import viewpoint_cameras
from img2world.captures.viewpoints import find_viewpoints
from img2world.core.camera_paths import look_at, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov, save_cameras
from img2world.core.errors import CameraError
from img2world.runs.source import find_source

SIZE = (24, 16)


def write_frames(folder: Path, count: int = 5, *, moves: bool = False) -> None:
    """Write pictures of a bright square that moves before blots, or of blots that all move."""
    folder.mkdir(parents=True)
    blots = np.random.default_rng(len(folder.name)).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    for i in range(count):
        rgb = np.random.default_rng(i).integers(0, 256, blots.shape, np.uint8) if moves else blots.copy()
        rgb[4:8, 3 * i : 3 * i + 3] = 255
        PillowImage.fromarray(rgb).save(folder / f"{i:03d}.png")


def some_cameras(count: int) -> Cameras:
    intrinsics = np.tile(intrinsics_from_fov(0.8, *SIZE), (count, 1, 1))
    return Cameras(world_from_cam=orbit(count), intrinsics=intrinsics, width=SIZE[0], height=SIZE[1])


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """A folder of frames for each of three cameras."""
    for name in ("cam_2", "cam_10", "cam_1"):
        write_frames(tmp_path / "set" / name)
    return tmp_path / "set"


def test_folders_of_like_frames_are_viewpoints_in_natural_order(cameras):
    found = find_source(cameras)
    assert (found.kind, found.name, found.default_recipe) == ("videos", "set", "moving")
    listing = find_viewpoints(cameras)
    assert listing is not None
    assert listing.names == ["cam_1", "cam_2", "cam_10"]
    assert [len(each.pictures) for each in listing.viewpoints] == [5, 5, 5]


@pytest.mark.parametrize("change", ["another name", "few", "a photo beside", "the camera moves", "one folder"])
def test_other_folders_of_pictures_are_photos(cameras, change):
    if change == "another name":
        (cameras / "cam_1" / "004.png").rename(cameras / "cam_1" / "007.png")
    elif change == "few":
        for path in cameras.glob("*/00[34].png"):
            path.unlink()
    elif change == "a photo beside":
        shutil.copy(cameras / "cam_1" / "000.png", cameras / "cover.png")
    elif change == "the camera moves":
        shutil.rmtree(cameras / "cam_1")
        write_frames(cameras / "cam_1", moves=True)
    else:
        for name in ("cam_1", "cam_2"):
            shutil.rmtree(cameras / name)
    assert find_viewpoints(cameras) is None
    assert find_source(cameras).kind == "photos"


@pytest.mark.parametrize("name", ["cam_2/003.png", "transforms.json"])
def test_every_frame_and_the_cameras_count(cameras, name):
    save_cameras(some_cameras(3), cameras / "transforms.json", ["cam_1.png", "cam_2.png", "cam_10.png"])
    before = find_source(cameras).digest
    (cameras / "notes.txt").write_text("not read")
    assert find_source(cameras).digest == before
    (cameras / name).write_bytes((cameras / name).read_bytes() + b" ")
    assert find_source(cameras).digest != before


def test_a_camera_file_of_single_frames_is_a_dataset(cameras):
    save_cameras(some_cameras(6), cameras / "transforms.json", [f"cam_{k}/00{i}.png" for k in (1, 2) for i in range(3)])
    assert find_source(cameras).kind == "dataset"


def test_two_videos_are_viewpoints_but_not_beside_more_photos(tmp_path):
    for name in ("b.mp4", "a.mov"):
        (tmp_path / name).write_bytes(b"0000ftyp")
    for i in range(2):
        PillowImage.new("RGB", SIZE).save(tmp_path / f"poster{i}.png")
    listing = find_viewpoints(tmp_path)
    assert listing is not None
    assert listing.names == ["a", "b"]
    assert [item.name for item in listing.left_out] == ["poster0.png", "poster1.png"]
    PillowImage.new("RGB", SIZE).save(tmp_path / "third.png")
    assert find_viewpoints(tmp_path) is None


@pytest.mark.parametrize("file", ["cam_2.png", "images/cam_2.jpg", "cam_2/000.png", "cam_2"])
def test_cameras_are_matched_by_name_whatever_their_order(cameras, file):
    truth = some_cameras(3)
    names = ["cam_10", "cam_2", "cam_1"]
    save_cameras(truth, cameras / "transforms.json", [file.replace("cam_2", name) for name in names])
    posed, points = viewpoint_cameras(cameras, ["cam_1", "cam_2", "cam_10"], SIZE)
    assert points is None
    for name, pose in zip(names, truth.world_from_cam, strict=True):
        assert np.allclose(posed[name].world_from_cam, pose, atol=1e-6)


def test_a_path_tells_cameras_in_its_order_and_must_fit(tmp_path, cameras):
    truth = some_cameras(3)
    table = {"world_from_cam": truth.world_from_cam.tolist(), "intrinsics": truth.intrinsics[0].tolist()}
    (tmp_path / "path.json").write_text(json.dumps({**table, "width": SIZE[0], "height": SIZE[1]}))
    posed, _ = viewpoint_cameras(cameras, ["a", "b", "c"], SIZE, tmp_path / "path.json")
    assert np.allclose(posed["b"].world_from_cam, truth.world_from_cam[1])
    with pytest.raises(CameraError, match="3 cameras for 2 viewpoints"):
        viewpoint_cameras(cameras, ["a", "b"], SIZE, tmp_path / "path.json")


def test_poses_bounds_have_the_axes_down_right_and_backwards(tmp_path):
    pose = look_at(np.array([1.0, -2.0, 3.0]), np.zeros(3))
    right, down, forward, center = pose[:3].T
    matrix = np.column_stack([down, right, -forward, center, [SIZE[1], SIZE[0], 30.0]])
    np.save(tmp_path / "poses_bounds.npy", np.tile([*matrix.ravel(), 0.1, 9.0], (2, 1)))
    posed, _ = viewpoint_cameras(tmp_path, ["cam00", "cam01"], (640, 480))
    assert np.allclose(posed["cam01"].world_from_cam, pose)
    assert (posed["cam01"].lens.width, posed["cam01"].lens.params[0]) == (SIZE[0], 30.0)
    with pytest.raises(CameraError, match=r"shape \(2, 17\), needs \(3, 17\)"):
        viewpoint_cameras(tmp_path, ["a", "b", "c"], (640, 480))
