"""Bones whose motion is a curve through few keys: what several times must share where each of them shows little."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from img2world.render.skinning import BONES_OF_EACH
from img2world.splat.bones import Bones

DEGREE = 3
"""Degree of the B-splines: cubic, so that speeds have no jumps."""

LOOSE = -4.0
"""Logit of the weights by which Gaussians at rest follow moving bones: so little that views can still decide."""

PLACES_PER_KEY = 4
"""Places at which curves through other keys are to agree."""

SMALL_SPEED = 0.01
"""Speed in world units per duration below which slowing down gains nothing."""


class SplineBones(Bones):
    """Bones that move along B-splines in time, except the first, which rests.

    The first Gaussians follow the bone at rest, the others the rest of the bones (de Boor 1978, "A Practical Guide to
    Splines").
    """

    def __init__(
        self, pivots: Float[np.ndarray, "B 3"], times: Float[np.ndarray, "T"], num_keys: int, num_still: int
    ) -> None:
        """Put all bones at rest. The first `num_still` Gaussians are to stay there."""
        super().__init__(pivots, 1)
        self._times, self._num_still = times, num_still
        self._curve = self._curve_of(num_keys)
        count, keys = len(pivots) - 1, self._curve.shape[1]
        unit = torch.tensor([1.0, 0, 0, 0]).repeat(keys, count, 1)
        self.quats = [unit.requires_grad_()]
        """One tensor [K, B - 1, 4], the keys of all bones but the first."""
        self.shifts = [torch.zeros(keys, count, 3, requires_grad=True)]
        """One tensor [K, B - 1, 3]."""

    @property
    def num_times(self) -> int:
        """Number of times."""
        return len(self._times)

    def to(self, device: torch.device | str) -> "SplineBones":
        """Move the bones to a device, and return them."""
        super().to(device)
        self._curve = self._curve.to(device)
        return self

    def weights_for(self, means: Float32[np.ndarray, "N 3"]) -> dict[str, Tensor]:
        """Return rows by which the first Gaussians rest, and others follow the moving bones that are nearest."""
        moving = Bones(self.pivots[1:].cpu().numpy().astype(np.float64), 1)
        rows = moving.weights_for(means)
        rows["bone_indices"] += 1
        still = slice(0, self._num_still)
        rows["bone_indices"][still] = rows["bone_indices"][still].roll(1, 1)
        rows["bone_indices"][still, 0] = 0
        rows["bone_logits"][still] = torch.tensor([0.0, *[LOOSE] * (BONES_OF_EACH - 1)])
        return rows

    def pose(self, time: int) -> tuple[Float[Tensor, "B 4"], Float[Tensor, "B 3"]]:
        """Return the quaternions, of any length, and the displacements of the pivots at the time of an index."""
        quats, shifts = self._poses(slice(time, time + 1))
        return quats[0], shifts[0]

    def mean_speed(self, reach: float) -> Float[Tensor, ""]:
        """Return the mean speed of moving bones at `reach` from their pivots, in units per duration of all."""
        quats, shifts = self._poses(slice(None))
        terms = []
        # A quaternion changes half as fast as the angle.
        for each, scale in ((shifts, 1.0), (quats / quats.norm(dim=-1, keepdim=True), 2 * reach)):
            steps = (each[1:, 1:] - each[:-1, 1:]) * (scale * (self.num_times - 1))
            terms.append((steps.square().sum(-1) + SMALL_SPEED**2).sqrt().mean())
        return torch.stack(terms).sum()

    @torch.no_grad()
    def refine(self, num_keys: int) -> None:
        """Draw the same curves through other keys, as nearly as these can."""
        # Many even places tell all keys, which a few times do not. lstsq of PyTorch gives other bits each time.
        places = np.linspace(0, 1, PLACES_PER_KEY * num_keys)
        before, after = (_curve_at(places, keys) for keys in (len(self.quats[0]), num_keys))
        change = torch.tensor(np.linalg.lstsq(after, before, rcond=None)[0], dtype=torch.float32).to(self.pivots)
        self._curve = self._curve_of(num_keys).to(self.pivots)
        for values in (self.quats, self.shifts):
            values[0] = torch.tensordot(change, values[0].detach(), 1).requires_grad_()

    def _poses(self, times: slice) -> tuple[Float[Tensor, "t B 4"], Float[Tensor, "t B 3"]]:
        """Return quaternions and displacements of all bones at several times."""
        curve = self._curve[times]
        quats, shifts = (torch.tensordot(curve, values[0], 1) for values in (self.quats, self.shifts))
        resting = torch.tensor([1.0, 0, 0, 0]).to(curve).expand(len(curve), 1, 4)
        return torch.cat([resting, quats], 1), torch.cat([curve.new_zeros(len(curve), 1, 3), shifts], 1)

    def _curve_of(self, num_keys: int) -> Float[Tensor, "T K"]:
        """Return the weights of keys at the times."""
        span = (self._times - self._times[0]) / (self._times[-1] - self._times[0])
        return torch.tensor(_curve_at(span, num_keys), dtype=torch.float32)


def _curve_at(places: Float[np.ndarray, "P"], num_keys: int) -> Float64[np.ndarray, "P K"]:
    """Return the weights of keys at places from 0 to 1 along a B-spline."""
    from scipy.interpolate import BSpline

    inner = np.linspace(0, 1, max(num_keys - DEGREE, 1) + 1)
    knots: Sequence[float] = [*[0.0] * DEGREE, *inner, *[1.0] * DEGREE]
    return BSpline.design_matrix(places, knots, DEGREE).toarray()
