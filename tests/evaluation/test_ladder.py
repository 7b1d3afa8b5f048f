from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.ladder import Stages, held_out_cameras, run_rung, video_cameras, world_from_estimate
from evaluation.metrics import compare_frames
from evaluation.samples import object_sources
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import silent
from img2world.core.rotation import rotation_about
from img2world.core.views import Views
from img2world.export.mesh import MeshExport
from img2world.poses.commanded import CommandedPoses
from img2world.splat.optimize import GaussianSplat
from img2world.video.nano import NanoVideo

SIZE, NUM_VIEWS = 64, 16
PLACED = np.r_[0:10, 12:NUM_VIEWS]


@pytest.fixture(scope="module")
def box(asset_folder):
    return object_sources(asset_folder, count=2, size=SIZE)[1].make()


@pytest.fixture(autouse=True)
def short_video(monkeypatch):
    monkeypatch.setattr("evaluation.ladder.VIDEO_VIEWS", NUM_VIEWS)


class ShiftedPoses(CommandedPoses):
    """Returns most of the true cameras, in another world frame."""

    def estimate(self, frames, trajectory, *, seed=0, progress=silent, work=None):
        views = super().estimate(frames, self.true_cameras, seed=seed, progress=progress)
        rotation = rotation_about(np.array([1.0, 2.0, 3.0]), 0.7)
        poses = views.cameras.world_from_cam[PLACED].astype(np.float64)
        poses[:, :3] = rotation @ poses[:, :3]
        poses[:, :3, 3] = 2.5 * poses[:, :3, 3] + [1, -2, 3]
        points = 2.5 * views.points @ rotation.T + [1, -2, 3]
        return Views(
            rgb=views.rgb[PLACED],
            alpha=views.alpha[PLACED],
            cameras=replace(views.cameras.select(PLACED), world_from_cam=poses.astype(np.float32)),
            confidence=views.confidence[PLACED],
            points=points.astype(np.float32),
            point_colors=views.point_colors,
            solver="shifted",
        )


@pytest.fixture
def shifted(box):
    """The poses backend, and the true views of the video."""
    truth, poses = box.render(video_cameras(box, SIZE)), ShiftedPoses()
    object.__setattr__(poses, "true_cameras", truth.cameras)
    return poses, truth


def measure(box, rung, stages, backend=None):
    truth = box.render(held_out_cameras(box, SIZE))
    outputs = run_rung(box, rung, backend, stages, size=SIZE, seed=0, progress=silent)
    return {name: compare_frames(frames, truth, is_object=True, radius=box.radius) for name, frames in outputs}


def test_first_rung_is_better_than_the_last(box):
    mesh = MeshExport(resolution=32, picture_size=64)
    stages = Stages(poses=CommandedPoses(), splat=GaussianSplat(steps=40, max_gaussians=2000), mesh=mesh)
    best = measure(box, "true depth", stages)
    least = measure(box, "photo", replace(stages, mesh=None), NanoVideo(supersample=1))
    assert best["splat"]["psnr"] > 20
    assert best["mesh"]["iou"] > 0.85
    assert best["splat"]["psnr"] > least["splat"]["psnr"] + 2


def test_estimated_cameras_are_aligned_with_the_true_ones(shifted):
    poses, truth = shifted
    frames = Frames(rgb=truth.rgb, times=np.arange(len(truth.rgb)) / 12.0, alpha=truth.alpha)
    views = poses.estimate(frames, None)
    matrix = world_from_estimate(views, truth)
    centers = views.cameras.centers_in_world @ matrix[:3, :3].T + matrix[:3, 3]
    assert_allclose(centers, truth.cameras.centers_in_world[PLACED], atol=1e-4)
    assert_allclose(np.cbrt(np.linalg.det(matrix[:3, :3])), 1 / 2.5, rtol=1e-4)
    with pytest.raises(PoseError, match="2 cameras"):
        world_from_estimate(views.select(np.array([0, 1])), truth)


def test_splat_in_another_world_frame_is_measured_in_the_true_one(box, shifted):
    stages = Stages(poses=shifted[0], splat=GaussianSplat(steps=60, max_gaussians=1500), mesh=None)
    known, estimated = (measure(box, rung, stages)["splat"]["psnr"] for rung in ("true poses", "true video"))
    # Not equal: the second has two views less and other random initial points.
    assert abs(estimated - known) < 1.5
    assert known > 11
