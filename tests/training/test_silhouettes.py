import numpy as np
import pytest

pytest.importorskip("numba")

import torch

from training.silhouettes import side_rotations, silhouette_error


def balls(count: int, side: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Half thickness of a ball in the centre of `count` frames, and its mask."""
    position = (torch.arange(side) + 0.5) / side - 0.5
    square = 0.3**2 - position[:, None] ** 2 - position[None] ** 2
    return square.clamp(min=0).sqrt().expand(count, -1, -1), (square > 0).expand(count, -1, -1)


def test_silhouettes_are_those_of_the_solid():
    half, known = balls(12)
    assert (silhouette_error(-half, half, -half, half, known) == 0).all()
    # A disc is narrower than the ball by the cosine of the view angle, except for perspective and partly covered cells.
    rows = side_rotations(12)
    towards = torch.linalg.cross(rows[..., 0, :], rows[..., 1, :])[..., 2].abs()
    missing = silhouette_error(-1e-3 * half, 1e-3 * half, -half, half, known)
    np.testing.assert_allclose(missing, 1 - towards.mean(1), rtol=0.22)
    assert torch.linalg.norm(rows, dim=-1).numpy() == pytest.approx(1)
    # Errors in front of and behind the true position weigh the same, and more the larger they are.
    errors = [silhouette_error(shift - half, shift + half, -half, half, known).mean() for shift in (-0.1, 0.1, 0.2)]
    assert float(errors[0]) == pytest.approx(float(errors[1]), rel=0.25)
    assert errors[2] > 1.5 * errors[1] > 0.1


def test_gradient_matches_finite_differences():
    half, known = balls(6)
    torch.manual_seed(0)
    near = (0.06 - 0.7 * half).double().requires_grad_()
    far = (0.06 + 0.9 * half).double()
    truth = -half.double(), half.double()
    silhouette_error(near, far, *truth, known).sum().backward()
    assert near.grad is not None
    for direction in (torch.ones(6, 96, 96), torch.linspace(-1, 1, 96).expand(6, 96, 96)):
        step = 1e-5 * direction.double()
        with torch.no_grad():
            ahead, back = (silhouette_error(near + sign * step, far, *truth, known).sum() for sign in (1, -1))
        assert float((near.grad * direction).sum()) == pytest.approx(float((ahead - back) / 2e-5), rel=0.1)
