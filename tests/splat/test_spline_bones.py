"""Bones on splines move as a spline library says, and their first rests."""

import numpy as np
import pytest
import torch
from scipy.interpolate import make_lsq_spline

from img2world.splat.spline_bones import SMALL_SPEED, SplineBones

TIMES = np.linspace(0.5, 2.5, 21)
PIVOTS = np.array([[0.0, 0, 0], [0.2, 0, 0], [0, 0.3, 0]])


def wavy() -> SplineBones:
    """Two bones that move somehow."""
    bones = SplineBones(PIVOTS, TIMES, 6, num_still=2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        bones.shifts[0].normal_(generator=generator)
        bones.quats[0] += 0.3 * torch.randn(bones.quats[0].shape, generator=generator)
    return bones


def test_the_curve_is_a_cubic_spline_and_the_first_bone_rests():
    bones = wavy()
    shifts = np.stack([bones.pose(i)[1].detach().numpy() for i in range(bones.num_times)])
    np.testing.assert_array_equal(shifts[:, 0], 0)
    knots = np.concatenate([[0.5] * 4, np.linspace(0.5, 2.5, 4)[1:-1], [2.5] * 4])
    for moved in shifts[:, 1:].reshape(len(TIMES), -1).T:
        # A spline of as many keys fits it exactly.
        np.testing.assert_allclose(make_lsq_spline(TIMES, moved, knots)(TIMES), moved, atol=1e-5)
    quats = torch.stack([bones.pose(i)[0] for i in range(bones.num_times)]).detach()
    assert (quats[:, 0] == torch.tensor([1.0, 0, 0, 0])).all()
    torch.stack([bones.pose(i)[1].sum() for i in range(21)]).sum().backward()
    assert bones.shifts[0].grad.abs().min() > 0


def test_more_keys_draw_the_same_curve():
    bones = wavy()
    before = [bones.pose(i) for i in range(bones.num_times)]
    # Knots at 1/6 contain those at 1/3.
    bones.refine(9)
    assert len(bones.shifts[0]) == 9
    for i, pose in enumerate(before):
        for found, expected in zip(bones.pose(i), pose, strict=True):
            np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-4)
    assert bones.shifts[0].requires_grad


def test_speed_is_that_of_points_away_from_the_pivots():
    bones = SplineBones(PIVOTS, TIMES, 4, num_still=0)
    assert bones.mean_speed(0.1).item() == pytest.approx(2 * SMALL_SPEED, rel=1e-3)
    with torch.no_grad():
        # Keys of a cubic spline without inner knots at thirds of the way make it even.
        bones.shifts[0][:, 0] = torch.linspace(0, 1, 4)[:, None] * torch.tensor([0.0, 0.6, 0.8])
    assert bones.mean_speed(0.1).item() == pytest.approx((1 + 3 * SMALL_SPEED) / 2, rel=1e-2)
    with torch.no_grad():
        bones.shifts[0].zero_()
        # A turn by 0.2 radians takes a point that is 0.1 away along by 0.02, and another by 0.06 if it is 0.3 away.
        angle = 0.1 * torch.linspace(0, 1, 4)
        bones.quats[0][:, 1] = torch.stack([angle.cos(), angle.sin(), 0 * angle, 0 * angle], 1)
    spans = [bones.mean_speed(reach).item() for reach in (3.0, 6.0)]
    assert spans[1] - spans[0] == pytest.approx(0.3, rel=0.02)


def test_gaussians_at_rest_follow_the_first_bone_and_others_the_nearest_of_the_rest():
    bones = wavy()
    rows = bones.weights_for(np.array([[0.0, 0, 0], [0.2, 0, 0], [0.2, 0, 0], [0, 0.3, 0]], np.float32))
    weights = rows["bone_logits"].softmax(1)
    best = rows["bone_indices"].gather(1, weights.argmax(1, keepdim=True))[:, 0]
    assert best.tolist() == [0, 0, 1, 2]
    assert weights[:2, 0].min() > 0.9
    assert (rows["bone_indices"][2:] > 0).all()


def test_keys_are_the_same_each_time_and_moderate_where_there_are_fewer_times():
    keys = []
    for _ in range(20):
        bones = SplineBones(PIVOTS, TIMES[:5], 8, num_still=0)
        with torch.no_grad():
            bones.shifts[0][:] = torch.linspace(0, 1, 8)[:, None, None]
        bones.refine(12)
        # A curve that rises from 0 to 1 has keys that do so.
        assert (bones.shifts[0].diff(dim=0) > 0).all()
        np.testing.assert_allclose(bones.quats[0].detach().norm(dim=-1).numpy(), 1, atol=1e-5)
        keys.append(bones.shifts[0].detach().numpy().tobytes())
    assert len(set(keys)) == 1
