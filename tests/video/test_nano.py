import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from img2world.core.errors import CameraError, VideoError
from img2world.core.image import Image
from img2world.core.resources import resource_folder
from img2world.layered import diffusion_fill
from img2world.layered.fill_network import NanoFill
from img2world.layered.subject import AutoSubject
from img2world.trajectory.paths import AutoTrajectory
from img2world.video.nano import NanoVideo


def test_frames_know_their_cameras_depth_and_honesty(photo_subject):
    subject = photo_subject("coffee")
    trajectory = AutoTrajectory(size=96, num_views=6).cameras(subject)
    frames = NanoVideo().generate(subject, trajectory)
    assert frames.cameras is trajectory
    assert frames.is_rendered
    assert frames.alpha is None
    assert frames.depth is not None
    assert frames.depth.min() > 0
    assert frames.seen is not None
    assert (frames.seen[0] == 2).all()
    assert 0 < (frames.seen == 1).mean() < 0.15
    again = NanoVideo().generate(subject, trajectory, seed=7)
    np.testing.assert_array_equal(frames.rgb, again.rgb)


def test_neighbouring_frames_agree_where_depth_says_so(photo_subject):
    subject = photo_subject("coffee")
    trajectory = AutoTrajectory(size=128, num_views=24).cameras(subject)
    frames = NanoVideo().generate(subject, trajectory)
    rays = np.linalg.inv(trajectory.intrinsics[0]) @ np.stack(
        [
            *(np.stack(np.meshgrid(np.arange(128) + 0.5, np.arange(frames.rgb.shape[1]) + 0.5)).reshape(2, -1)),
            np.ones(128 * frames.rgb.shape[1]),
        ]
    )
    points = (
        trajectory.world_from_cam[0, :3, :3] @ (rays * frames.depth[0].reshape(-1))
        + trajectory.world_from_cam[0, :3, 3:]
    )
    in_cam = trajectory.cam_from_world[2, :3, :3] @ points + trajectory.cam_from_world[2, :3, 3:]
    pixels = (trajectory.intrinsics[2] @ in_cam)[:2] / in_cam[2]
    x, y = np.floor(pixels).astype(int)
    inside = (x >= 0) & (x < 128) & (y >= 0) & (y < frames.rgb.shape[1])
    difference = np.abs(
        frames.rgb[0].reshape(-1, 3)[inside].astype(float) - frames.rgb[2][y[inside], x[inside]].astype(float)
    )
    # Whole pixels are compared, so fine texture differs; a wrong depth would give three times as much.
    assert np.median(difference) < 4


def test_missing_picture_and_lost_camera_are_refused(photo_subject):
    subject = photo_subject("coffee")
    trajectory = AutoTrajectory(size=64, num_views=2).cameras(subject)
    with pytest.raises(VideoError):
        NanoVideo().generate(None, trajectory)
    turned = trajectory.world_from_cam.copy()
    turned[:, :3, :3] = turned[:, :3, :3] @ np.diag([-1, 1, -1]).astype(np.float32)
    away = type(trajectory)(world_from_cam=turned, intrinsics=trajectory.intrinsics, width=64, height=trajectory.height)
    with pytest.raises(CameraError, match="sees nothing"):
        NanoVideo().generate(subject, away)


def test_filling_changes_only_what_the_photo_does_not_show(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = NanoFill()
    with torch.no_grad():
        network.exit.weight.normal_(0, 0.05)
    path = tmp_path / diffusion_fill.WEIGHTS
    shutil.copytree(resource_folder("assets") / "nano", path.parent)
    save_file({name: values.half().contiguous() for name, values in network.state_dict().items()}, path)
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda _: tmp_path)
    diffusion_fill.load_network.cache_clear()
    y, x = np.mgrid[:128, :128]
    alpha = (np.hypot(x - 64, y - 64) < 50).astype(np.uint8) * 255
    subject = AutoSubject().find(Image(rgb=data.coffee()[100:228, 200:328], alpha=alpha))
    trajectory = AutoTrajectory(size=64, num_views=4).cameras(subject)
    plain = NanoVideo(supersample=1).generate(subject, trajectory)
    filled = NanoVideo(supersample=1, fill="builtin").generate(subject, trajectory)
    diffusion_fill.load_network.cache_clear()
    assert plain.seen is not None
    assert filled.seen is not None
    shown = plain.seen == 2
    np.testing.assert_array_equal(plain.seen, filled.seen)
    np.testing.assert_array_equal(plain.rgb[shown], filled.rgb[shown])
    invented = (plain.seen < 2) & (plain.depth > 0)
    assert (plain.rgb[invented] != filled.rgb[invented]).any(-1).mean() > 0.5
