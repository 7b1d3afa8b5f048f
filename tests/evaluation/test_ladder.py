from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.samples import object_sources
from evaluation.ladder import Stages, climb, judged_cameras, video_cameras, world_from_found_cameras
from evaluation.metrics import compare
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import silent
from img2world.core.rotation import rotation_about
from img2world.core.views import Views
from img2world.export.mesh import MeshExport
from img2world.poses.commanded import CommandedPoses
from img2world.splat.optimize import GaussianSplat
from img2world.video.nano import NanoVideo

SIZE = 64


@pytest.fixture(scope="module")
def box(asset_folder):
    return object_sources(asset_folder, count=2, size=SIZE)[1].make()


class ShiftedPoses(CommandedPoses):
    """Finds the cameras in a world of its own, and not all of them."""

    def estimate(self, frames, trajectory, *, seed=0, progress=silent):
        found = super().estimate(frames, self.true_cameras, seed=seed, progress=progress)
        kept = np.r_[0:10, 12 : len(frames)]
        pose = found.cameras.world_from_cam[kept].astype(np.float64)
        turn = np.eye(4)
        turn[:3, :3] = rotation_about(np.array([1.0, 2.0, 3.0]), 0.7)
        moved = turn @ pose
        moved[:, :3, 3] = 2.5 * moved[:, :3, 3] + [1, -2, 3]
        points = 2.5 * found.points @ turn[:3, :3].T + [1, -2, 3]
        cameras = replace(found.cameras.select(kept), world_from_cam=moved.astype(np.float32))
        return Views(
            rgb=found.rgb[kept],
            alpha=found.alpha[kept],
            cameras=cameras,
            confidence=found.confidence[kept],
            points=points.astype(np.float32),
            point_colors=found.point_colors,
            solver="shifted",
        )


def climbed(box, rung, stages, model=None):
    truth = box.draw(judged_cameras(box, SIZE))
    shown = climb(box, rung, model, stages, size=SIZE, seed=0, progress=silent)
    return {name: compare(frames, truth, is_object=True, radius=box.radius) for name, frames in shown}


def test_rungs_go_down_from_the_truth_to_the_photo(box):
    mesh = MeshExport(resolution=32, picture_size=64)
    stages = Stages(poses=CommandedPoses(), splat=GaussianSplat(steps=40, max_gaussians=2000), mesh=mesh)
    best = climbed(box, "true depth", stages)
    least = climbed(box, "photo", replace(stages, mesh=None), NanoVideo(kind="object", supersample=1))
    assert best["splat"]["psnr"] > 20
    assert best["mesh"]["iou"] > 0.85
    assert best["splat"]["psnr"] > least["splat"]["psnr"] + 2


def test_found_cameras_are_brought_onto_the_true_ones(box):
    truth = box.draw(video_cameras(box, SIZE))
    poses = ShiftedPoses()
    object.__setattr__(poses, "true_cameras", truth.cameras)
    frames = Frames(rgb=truth.rgb, times=np.arange(len(truth.rgb)) / 12.0, alpha=truth.alpha)
    views = poses.estimate(frames, None)
    matrix = world_from_found_cameras(views, truth)
    centers = views.cameras.centers_in_world @ matrix[:3, :3].T + matrix[:3, 3]
    kept = np.r_[0:10, 12 : len(frames)]
    assert_allclose(centers, truth.cameras.centers_in_world[kept], atol=1e-4)
    assert_allclose(np.cbrt(np.linalg.det(matrix[:3, :3])), 1 / 2.5, rtol=1e-4)
    with pytest.raises(PoseError, match="2 cameras"):
        world_from_found_cameras(
            replace(
                views,
                rgb=views.rgb[:2],
                alpha=views.alpha[:2],
                confidence=views.confidence[:2],
                cameras=views.cameras.select([0, 1]),
            ),
            truth,
        )


def test_a_splat_made_in_another_world_is_judged_in_the_true_one(box):
    truth = box.draw(video_cameras(box, SIZE))
    poses = ShiftedPoses()
    object.__setattr__(poses, "true_cameras", truth.cameras)
    splat = GaussianSplat(steps=60, max_gaussians=1500)
    told = climbed(box, "true poses", Stages(poses=poses, splat=splat, mesh=None))
    found = climbed(box, "true video", Stages(poses=poses, splat=splat, mesh=None))
    # Not equal: two views less, and other random points to begin with.
    assert abs(found["splat"]["psnr"] - told["splat"]["psnr"]) < 1.5
    assert told["splat"]["psnr"] > 11
