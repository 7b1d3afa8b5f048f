"""Bones under training: rigid motions that a few bones share with all Gaussians, by linear-blend skinning.

The bones of a `core.motion.Motion`, as tensors that gradients flow back to. Each turns about its own pivot, so that
a turn does not shift it.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from img2world.core.motion import Motion
from img2world.render.splats import matrices_from_quats

NUM_WEIGHTS = 4
"""Bones of each Gaussian."""


class Bones:
    """The motion of bones at each of a few times, and the weights that Gaussians give them."""

    def __init__(self, pivots: Float[np.ndarray, "B 3"], means: Float32[np.ndarray, "N 3"], num_times: int) -> None:
        """Put bones at rest; Gaussians follow those whose pivots are nearest."""
        from scipy.spatial import KDTree

        distances, nearest = KDTree(pivots).query(means, min(NUM_WEIGHTS, len(pivots)))
        distances, nearest = distances.reshape(len(means), -1), nearest.reshape(len(means), -1)
        reach = max(float(np.median(distances[:, 0])), 1e-9)
        self.indices = torch.from_numpy(nearest)
        self.logits = torch.tensor(-(distances**2) / (2 * reach**2), dtype=torch.float32).requires_grad_()
        self.pivots = torch.tensor(pivots, dtype=torch.float32)
        self.quats = torch.zeros(num_times, len(pivots), 4)
        self.quats[..., 0] = 1
        self.quats.requires_grad_()
        self.shifts = torch.zeros(num_times, len(pivots), 3, requires_grad=True)
        """Displacement of each pivot from rest."""

    def __len__(self) -> int:
        return len(self.pivots)

    @property
    def num_times(self) -> int:
        """Number of times."""
        return len(self.quats)

    @property
    def weights(self) -> Float[Tensor, "N 4"]:
        """Weights of the Gaussians' bones; they sum to one."""
        return self.logits.softmax(1)

    def move(
        self, means: Float[Tensor, "N 3"], quats: Float[Tensor, "N 4"], time: int
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
        """Return means and quaternions at the time of an index, differentiable in all that is trained."""
        turns = self.quats[time] / self.quats[time].norm(dim=-1, keepdim=True)
        rotations = matrices_from_quats(turns)
        offsets = self.pivots + self.shifts[time] - (rotations * self.pivots[:, None]).sum(-1)
        values = torch.cat([rotations.reshape(-1, 9), offsets, turns], 1)[self.indices]  # [N, 4, 16]
        # A turn and its negative are the same; summed up, they must not cancel out.
        signs = torch.where((values[..., 12:] * values[:, :1, 12:]).sum(-1, keepdim=True) < 0, -1.0, 1.0).detach()
        weights = self.weights[..., None]
        affine = (values[..., :12] * weights).sum(1)
        turned = (values[..., 12:] * signs * weights).sum(1)
        moved = (affine[:, :9].reshape(-1, 3, 3) * means[:, None]).sum(-1) + affine[:, 9:]
        return moved, product(turned, quats)

    def keep_as(self, source: int, target: int) -> None:
        """Copy the pose of all bones from one time to another."""
        with torch.no_grad():
            self.quats[target] = self.quats[source]
            self.shifts[target] = self.shifts[source]

    def turn(self, time: int, twists: Float[np.ndarray, "B 6"]) -> None:
        """Move each bone at a time by a rotation vector about its pivot and a shift."""
        from scipy.spatial.transform import Rotation

        with torch.no_grad():
            turn = Rotation.from_rotvec(twists[:, :3]).as_quat(canonical=True, scalar_first=True)
            self.quats[time] = product(torch.tensor(turn, dtype=torch.float32), self.quats[time])
            self.shifts[time] += torch.tensor(twists[:, 3:], dtype=torch.float32)

    def positions(self, time: int) -> Float[np.ndarray, "B 3"]:
        """Return where the pivots are at a time."""
        return (self.pivots + self.shifts[time].detach()).numpy().astype(np.float64)

    def owners(self) -> Int[np.ndarray, "N"]:
        """Return the bone that each Gaussian follows most."""
        best = self.weights.detach().argmax(1, keepdim=True)
        return self.indices.gather(1, best)[:, 0].numpy()

    def roughness(self) -> Float[Tensor, ""]:
        """Return the mean squared acceleration of the bones, per step in time."""
        if self.num_times < 3:
            return self.shifts.sum() * 0
        bends = [each[2:] - 2 * each[1:-1] + each[:-2] for each in (self.shifts, self.quats)]
        return bends[0].square().mean() + bends[1].square().mean()

    def motion(self, key_times: Float[np.ndarray, "T"]) -> Motion:
        """Return the motion as arrays. Gaussians of fewer than four bones get the first again, with no weight."""
        turns = (self.quats / self.quats.norm(dim=-1, keepdim=True)).detach()
        weights, indices = self.weights.detach().numpy(), self.indices.numpy()
        missing = NUM_WEIGHTS - weights.shape[1]
        return Motion(
            key_times=key_times.astype(np.float64),
            bone_pivots=self.pivots.numpy(),
            bone_quats=turns.numpy().transpose(1, 0, 2).copy(),
            bone_translations=self.shifts.detach().numpy().transpose(1, 0, 2).copy(),
            bone_indices=np.pad(indices, ((0, 0), (0, missing)), mode="edge").astype(np.int32),
            bone_weights=np.pad(weights, ((0, 0), (0, missing))).astype(np.float32),
        )


def product(first: Float[Tensor, "N 4"], second: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """Return the wxyz quaternions that rotate by `second` and then by `first`."""
    a, b, c, d = first.unbind(-1)
    w, x, y, z = second.unbind(-1)
    return torch.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        -1,
    )
