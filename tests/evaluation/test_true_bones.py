"""Bones fitted to a true motion carry points where they go, and stay as they are in training."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from evaluation.motion_benchmark import MotionOptions, training_views
from evaluation.moving_scenes import make_scene
from evaluation.true_bones import TrueBones, rigid_motions, train_on_true_bones
from img2world.splat.dynamic import DynamicSplat


def test_turns_of_rigid_clusters_are_found():
    rng = np.random.default_rng(0)
    turns = Rotation.random(6, rng=rng).as_matrix().reshape(2, 3, 3, 3)
    turns[:, 1] = np.eye(3)
    # The second cluster is flat.
    rest = rng.normal(size=(2, 20, 3)) * [[[1, 1, 1]], [[1, 1, 0]]]
    ways = np.einsum("btij,bpj->bpti", turns, rest) + rng.normal(size=(2, 1, 3, 3))
    found = rigid_motions(ways.reshape(40, 3, 3), np.repeat([0, 1], 20), 1)[1]
    np.testing.assert_allclose(found, turns, atol=1e-4)  # open rotations are kept from turning


def test_parts_that_touch_at_rest_follow_their_own_bones():
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(600, 3)) * [1, 1, 0.01]
    turned = points[300:] @ Rotation.from_euler("x", 40, degrees=True).as_matrix().T
    ways = np.stack([points, np.concatenate([points[:300], turned])], 1)
    bones = TrueBones(ways, rest=0, num_bones=20)
    rows = bones.weights_for(points.astype(np.float32))
    rows |= {"means": torch.tensor(points, dtype=torch.float32), "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(600, 1)}
    for time in (0, 1):
        errors = np.linalg.norm(bones.move(rows, time)[0].numpy() - ways[:, time], axis=1)
        # Next to the hinge both bones are right.
        assert errors.max() < 0.02


def test_training_leaves_the_bones_as_they_are(monkeypatch):
    monkeypatch.setattr("evaluation.true_bones.NUM_POINTS", 1000)
    scene = make_scene("hinged box", 0)
    views = training_views(scene, MotionOptions(size=64, cameras=3, times=2))
    result = train_on_true_bones(scene, views, DynamicSplat(steps=2, max_gaussians=400, holdout_every=0))
    assert len(result.gaussians) >= 200
    # The lid opens by 100 degrees, and is open at rest.
    angles = Rotation.from_quat(result.motion.bone_quats, scalar_first=True).magnitude().reshape(-1, 2)
    assert angles[:, 1].max() < 1e-3
    assert abs(np.degrees(angles[:, 0].max()) - 100) < 1
