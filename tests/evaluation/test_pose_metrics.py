"""Pose scores against closed-form values and another library's rotations."""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from evaluation.pose_metrics import score_poses
from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov

NUM_FRAMES = 8


def cameras(poses: np.ndarray, fov: float = 0.8) -> Cameras:
    return Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(fov, 64, 64)[None], len(poses), 0),
        width=64,
        height=64,
    )


@pytest.fixture
def truth() -> Cameras:
    return cameras(orbit(NUM_FRAMES, elevation=0.2))


def test_score_does_not_depend_on_the_world_frame(truth):
    poses = truth.world_from_cam.astype(np.float64)
    transformed = np.eye(4)
    transformed[:3, :3] = Rotation.from_rotvec([0.4, -1.2, 0.7]).as_matrix()
    transformed[:3, 3] = [3, -2, 5]
    poses[:, :3, 3] *= 2.5
    score = score_poses(cameras(transformed @ poses), truth, np.arange(NUM_FRAMES))
    assert (score.rra5, score.rta5, score.auc30) == (100, 100, 100)
    assert score.focal_error == pytest.approx(0, abs=1e-6)


def test_frames_that_are_not_placed_count_as_wrong(truth):
    placed = np.array([0, 2, 3, 6])
    score = score_poses(truth.select(placed), truth, placed)
    right = 100 * 6 / 28  # Pairs of four frames, of those of eight.
    assert score.rra5 == pytest.approx(right)
    assert score.auc30 == pytest.approx(right)
    assert (score.placed, score.total) == (4, 8)
    none = score_poses(truth.select([]), truth, np.zeros(0, np.int64))
    assert (none.auc30, none.rra15, none.median_rotation_deg) == (0, 0, 180)


def test_one_rotated_camera(truth):
    poses = truth.world_from_cam.astype(np.float64)
    poses[3, :3, :3] = poses[3, :3, :3] @ Rotation.from_rotvec([0, 0, np.radians(9.5)]).as_matrix()
    score = score_poses(cameras(poses), truth, np.arange(NUM_FRAMES))
    assert score.rra5 == pytest.approx(100 * 21 / 28)  # All seven pairs with it are off by 9.5 degrees,
    assert score.rra15 == pytest.approx(100)
    # which is within the thresholds of 10 to 30 degrees.
    assert score.auc30 == pytest.approx(100 * (21 + 7 * 21 / 30) / 28)


def test_focal_error(truth):
    score = score_poses(
        cameras(orbit(NUM_FRAMES, elevation=0.2), fov=2 * np.arctan(np.tan(0.4) / 1.25)), truth, np.arange(8)
    )
    assert score.focal_error == pytest.approx(0.25, abs=1e-5)


def test_against_another_implementation(truth):
    random = np.random.default_rng(0)
    poses = truth.world_from_cam.astype(np.float64)
    turns = Rotation.from_rotvec(random.normal(0, 0.12, (NUM_FRAMES, 3))).as_matrix()
    poses[:, :3, :3] = poses[:, :3, :3] @ turns
    poses[:, :3, 3] += random.normal(0, 0.1, (NUM_FRAMES, 3))
    score = score_poses(cameras(poses), truth, np.arange(NUM_FRAMES))
    turn, direction = [], []
    true = truth.world_from_cam.astype(np.float64)
    for i, j in combinations(range(NUM_FRAMES), 2):
        steps = [Rotation.from_matrix(p[j, :3, :3]).inv() * Rotation.from_matrix(p[i, :3, :3]) for p in (poses, true)]
        turn.append(np.degrees((steps[0].inv() * steps[1]).magnitude()))
        ways = [p[j, :3, :3].T @ (p[i, :3, 3] - p[j, :3, 3]) for p in (poses, true)]
        ways = [way / np.linalg.norm(way) for way in ways]
        direction.append(np.degrees(2 * np.arcsin(np.linalg.norm(ways[0] - ways[1]) / 2)))
    worst = np.maximum(turn, direction)
    assert score.rra15 == pytest.approx(100 * np.mean(np.array(turn) < 15))
    assert score.rta15 == pytest.approx(100 * np.mean(np.array(direction) < 15))
    assert score.auc30 == pytest.approx(np.mean([100 * np.mean(worst < limit) for limit in range(1, 31)]))
    assert score.median_rotation_deg == pytest.approx(np.median(turn), abs=0.01)
    assert score.median_direction_deg == pytest.approx(np.median(direction), abs=0.01)
