from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from img2world.core.alignment import similarity
from img2world.core.cameras import Cameras
from img2world.splat.corrections import Corrections, rigid_motion
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import GaussianSplat

STEPS = {"steps": 400, "max_gaussians": 2000, "holdout_every": 0}


def test_a_twist_is_a_rotation_and_a_translation():
    motion = rigid_motion(torch.tensor([0.1, -0.2, 0.3, 0, 0, 0]), 2.0).numpy()
    np.testing.assert_allclose(motion[:3, :3], Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix(), atol=1e-6)
    np.testing.assert_allclose(rigid_motion(torch.tensor([0, 0, 0, 1.0, 2, 3]), 2.0).numpy()[:3, 3], [2, 4, 6])


def shaken(cameras, degrees, shift):
    """All cameras but the first, turned and shifted at random."""
    rng = np.random.default_rng(4)
    poses = cameras.world_from_cam.copy()
    for pose in poses[1:]:
        pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(np.radians(degrees) * rng.normal(size=3)).as_matrix()
        pose[:3, 3] += shift * rng.normal(size=3)
    return replace(cameras, world_from_cam=poses)


def pose_errors(cameras: Cameras, truth: Cameras):
    """Mean turn in degrees, and mean shift, of cameras laid upon the true ones."""
    cameras = cameras.transformed(similarity(cameras, truth))
    relative = np.linalg.inv(truth.world_from_cam.astype(np.float64)) @ cameras.world_from_cam
    turns = Rotation.from_matrix(relative[:, :3, :3]).magnitude()
    return np.degrees(turns).mean(), np.linalg.norm(relative[:, :3, 3], axis=1).mean()


def test_wrong_cameras_are_corrected(wall_views):
    wrong = replace(wall_views, cameras=shaken(wall_views.cameras, 0.4, 0.005))
    left = GaussianSplat(**STEPS).optimize(wrong)
    refined = GaussianSplat(**STEPS, refine_poses=True).optimize(wrong)
    turn, shift = pose_errors(wrong.cameras, wall_views.cameras)
    new_turn, new_shift = pose_errors(refined.cameras, wall_views.cameras)
    # The wall is nearly flat: a small turn and a small shift look alike, but not both remain.
    assert new_turn < 0.6 * turn
    assert new_shift < 1.5 * shift
    held_out = np.zeros(len(wall_views), bool)
    before, after = (evaluate(scene, wrong, held_out)["train_psnr"] for scene in (left, refined))
    assert after > before + 1
    # Their mean pose is kept.
    moves = refined.cameras.cam_from_world.astype(np.float64) @ wrong.cameras.world_from_cam
    assert np.abs(Rotation.from_matrix(moves[:, :3, :3]).as_rotvec().mean(0)).max() < 1e-3 < np.radians(turn)
    assert np.abs(moves[:, :3, 3].mean(0)).max() < 1e-3
    np.testing.assert_array_equal(left.cameras.world_from_cam, wrong.cameras.world_from_cam)


def test_exposures_are_matched(wall_views):
    gains = np.array([1, 0.8, 1.1, 0.7, 0.9])[:, None, None, None]
    uneven = replace(wall_views, rgb=np.clip(np.round(wall_views.rgb * gains), 0, 255).astype(np.uint8))
    plain = GaussianSplat(**{**STEPS, "steps": 250}, match_exposures="off").optimize(uneven)
    matched = GaussianSplat(**{**STEPS, "steps": 250}, match_exposures="on").optimize(uneven)
    # Compared with evenly exposed images of the mean brightness.
    mean = float(np.exp(np.log(gains).mean()))
    even = replace(wall_views, rgb=np.round(wall_views.rgb * mean).astype(np.uint8))
    held_out = np.zeros(len(wall_views), bool)
    before, after = (evaluate(scene, even, held_out)["train_psnr"] for scene in (plain, matched))
    assert after > before + 3


def test_nothing_changes_unless_asked():
    corrections = Corrections(3, poses=False, gains=None, scene_depth=1.0)
    rgb = torch.rand(4, 5, 3)
    assert corrections.expose(rgb, 1) is rgb
    corrections.step(1, 0.5)
