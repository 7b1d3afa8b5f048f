"""Bones under training move Gaussians as the finished motion does, and follow flow."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.rotation import matrix_from_quat
from img2world.render.splats import matrices_from_quats
from img2world.splat.bone_flow import FlowObservations, bone_twists
from img2world.splat.bones import Bones, product
from img2world.splat.parameters import Rows


def moved_bones(count: int = 60) -> tuple[Bones, Rows]:
    """Five bones at three times, turned by up to half a turn, with Gaussians around them."""
    rng = np.random.default_rng(0)
    pivots = rng.uniform(-1, 1, (5, 3))
    means = rng.uniform(-1, 1, (count, 3)).astype(np.float32)
    bones = Bones(pivots, 3)
    for time in (1, 2):
        bones.turn(time, np.concatenate([rng.normal(0, 1.2, (5, 3)), rng.normal(0, 0.3, (5, 3))], 1))
    quats = Rotation.random(count, random_state=1).as_quat(scalar_first=True).astype(np.float32)
    return bones, {"means": torch.from_numpy(means), "quats": torch.from_numpy(quats), **bones.weights_for(means)}


def test_the_finished_motion_moves_gaussians_in_the_same_way():
    bones, rows = moved_bones()
    times = np.array([0.0, 0.5, 2.0])
    motion = bones.motion(rows, times)
    for i, time in enumerate(times):
        expected = motion.move(rows["means"].numpy(), rows["quats"].numpy(), float(time))
        found = bones.move(rows, i)
        np.testing.assert_allclose(found[0].detach().numpy(), expected[0], atol=2e-5)
        turned = found[1].detach().numpy()
        np.testing.assert_allclose(matrix_from_quat(turned), matrix_from_quat(expected[1]), atol=2e-5)


def test_bones_at_rest_move_nothing():
    bones, rows = moved_bones()
    moved, turned = bones.move(rows, 0)
    np.testing.assert_allclose(moved.detach().numpy(), rows["means"].numpy(), atol=1e-6)
    np.testing.assert_allclose(turned.detach().numpy(), rows["quats"].numpy(), atol=1e-6)


def test_gradients_are_those_of_finite_differences():
    bones, rows = moved_bones(8)
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=(8, 7))).float()
    rows["bone_logits"].requires_grad_()

    def value() -> torch.Tensor:
        moved, turned = bones.move(rows, 1)
        return (torch.cat([moved, turned], 1) * weights).sum()

    value().backward()
    for parameter in (bones.quats[1], bones.shifts[1], rows["bone_logits"]):
        flat, gradient = parameter.detach().reshape(-1), parameter.grad.reshape(-1)
        for k in np.random.default_rng(4).integers(0, len(flat), 6).tolist():
            before = float(flat[k])
            ends = []
            for step in (-2e-3, 2e-3):
                flat[k] = before + step
                ends.append(value().item())
            flat[k] = before
            assert abs((ends[1] - ends[0]) / 4e-3 - float(gradient[k])) < 2e-2


def test_only_the_time_that_is_asked_for_is_made_even():
    bones, _ = moved_bones()
    bones.roughness(1).backward()
    assert bones.shifts[1].grad.abs().max() > 0
    assert bones.shifts[0].grad is None
    # At even speed nothing is rough.
    straight = Bones(np.zeros((2, 3)), 4)
    for time in range(4):
        straight.turn(time, np.tile([0, 0, 0, 0.1 * time, 0, 0], (2, 1)))
    assert straight.roughness(1).item() < 1e-12


def test_quaternions_and_matrices_are_those_of_scipy():
    first, second = (Rotation.random(20, random_state=seed) for seed in (1, 2))
    quats = [torch.from_numpy(each.as_quat(scalar_first=True)) for each in (first, second)]
    np.testing.assert_allclose(matrices_from_quats(quats[0]).numpy(), first.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(matrices_from_quats(product(*quats)).numpy(), (first * second).as_matrix(), atol=1e-12)


def test_flow_in_several_views_tells_how_rigid_parts_move():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.3, 0.3, (200, 3))
    owners = (points[:, 0] > 0).astype(np.int64)
    pivots = np.array([[-0.15, 0, 0], [0.15, 0, 0.0]])
    truth = np.array([[0.02, -0.03, 0.01, 0.01, 0.0, -0.01], [0, 0.04, 0, -0.01, 0.02, 0.0]])
    turns = Rotation.from_rotvec(truth[owners, :3])
    moved = turns.apply(points - pivots[owners]) + pivots[owners] + truth[owners, 3:]
    cameras = Cameras(
        world_from_cam=on_sphere(np.array([0.0, 1.5, 3.0, 4.5]), np.full(4, 0.2)).astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(0.7, 256, 256)[None], 4, 0),
        width=256,
        height=256,
    )
    observations = []
    for i in range(4):
        seen = np.sort(rng.permutation(200)[:120])
        targets = cameras.project(i, moved[seen])[1]
        # One in ten is wrong.
        targets[::10] += rng.normal(0, 30, (len(targets[::10]), 2))
        observations.append(FlowObservations(gaussians=seen, targets=targets, camera=cameras.select([i])))
    found = bone_twists(points, owners, pivots, observations)
    np.testing.assert_allclose(found, truth, atol=0.004)
    assert (bone_twists(points, owners, pivots, []) == 0).all()
