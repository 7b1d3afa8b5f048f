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
from img2world.splat.parameters import Rows

NUM_WEIGHTS = 4
"""Bones of each Gaussian."""


class Bones:
    """The motion of bones at each of a few times, each time a tensor of its own, so that it trains at its own pace."""

    def __init__(self, pivots: Float[np.ndarray, "B 3"], num_times: int) -> None:
        """Put bones at rest."""
        self.pivots = torch.tensor(pivots, dtype=torch.float32)
        unit = torch.tensor([1.0, 0, 0, 0]).repeat(len(pivots), 1)
        self.quats = [unit.clone().requires_grad_() for _ in range(num_times)]
        self.shifts = [torch.zeros(len(pivots), 3, requires_grad=True) for _ in range(num_times)]
        """Displacement of each pivot from rest."""

    def __len__(self) -> int:
        return len(self.pivots)

    @property
    def num_times(self) -> int:
        """Number of times."""
        return len(self.quats)

    def weights_for(self, means: Float32[np.ndarray, "N 3"]) -> dict[str, Tensor]:
        """Return rows by which Gaussians follow the bones whose pivots are nearest: `bone_indices`, `bone_logits`."""
        from scipy.spatial import KDTree

        distances, nearest = KDTree(self.pivots.numpy()).query(means, min(NUM_WEIGHTS, len(self)))
        distances, nearest = distances.reshape(len(means), -1), nearest.reshape(len(means), -1)
        reach = max(float(np.median(distances[:, 0])), 1e-9)
        logits = torch.tensor(-(distances**2) / (2 * reach**2), dtype=torch.float32)
        return {"bone_indices": torch.from_numpy(nearest), "bone_logits": logits}

    def move(self, rows: Rows, time: int) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
        """Return means and quaternions of Gaussians at the time of an index, differentiable in all that is trained."""
        turns = self.quats[time] / self.quats[time].norm(dim=-1, keepdim=True)
        rotations = matrices_from_quats(turns)
        offsets = self.pivots + self.shifts[time] - (rotations * self.pivots[:, None]).sum(-1)
        values = torch.cat([rotations.reshape(-1, 9), offsets, turns], 1)[rows["bone_indices"]]  # [N, 4, 16]
        # A turn and its negative are the same; summed up, they must not cancel out.
        signs = torch.where((values[..., 12:] * values[:, :1, 12:]).sum(-1, keepdim=True) < 0, -1.0, 1.0).detach()
        weights = rows["bone_logits"].softmax(1)[..., None]
        affine = (values[..., :12] * weights).sum(1)
        turned = (values[..., 12:] * signs * weights).sum(1)
        moved = (affine[:, :9].reshape(-1, 3, 3) * rows["means"][:, None]).sum(-1) + affine[:, 9:]
        return moved, product(turned, rows["quats"])

    @torch.no_grad()
    def keep_as(self, source: int, target: int) -> None:
        """Copy the pose of all bones from one time to another."""
        self.quats[target].copy_(self.quats[source])
        self.shifts[target].copy_(self.shifts[source])

    @torch.no_grad()
    def turn(self, time: int, twists: Float[np.ndarray, "B 6"]) -> None:
        """Move each bone at a time by a rotation vector about its pivot and a shift."""
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_rotvec(twists[:, :3]).as_quat(canonical=True, scalar_first=True)
        self.quats[time].copy_(product(torch.tensor(turn, dtype=torch.float32), self.quats[time]))
        self.shifts[time] += torch.tensor(twists[:, 3:], dtype=torch.float32)

    def positions(self, time: int) -> Float[np.ndarray, "B 3"]:
        """Return where the pivots are at a time."""
        return (self.pivots + self.shifts[time].detach()).numpy().astype(np.float64)

    def roughness(self, time: int) -> Float[Tensor, ""]:
        """Return the mean squared acceleration of the bones about a time, per step in time; only that time can give."""
        terms = [self.shifts[time].sum() * 0]
        for each in (self.shifts, self.quats):
            near = {t: each[t] if t == time else each[t].detach() for t in range(time - 2, time + 3) if self._has(t)}
            bends = [near[t - 1] - 2 * near[t] + near[t + 1] for t in near if t - 1 in near and t + 1 in near]
            terms += [bend.square().mean() for bend in bends]
        return torch.stack(terms).sum()

    def motion(self, rows: Rows, key_times: Float[np.ndarray, "T"]) -> Motion:
        """Return the motion as arrays. Gaussians of fewer than four bones get the last again, with no weight."""
        quats = torch.stack([each.detach() for each in self.quats], 1)  # [B, T, 4]
        weights = rows["bone_logits"].detach().softmax(1).numpy()
        missing = NUM_WEIGHTS - weights.shape[1]
        return Motion(
            key_times=key_times.astype(np.float64),
            bone_pivots=self.pivots.numpy(),
            bone_quats=(quats / quats.norm(dim=-1, keepdim=True)).numpy(),
            bone_translations=torch.stack([each.detach() for each in self.shifts], 1).numpy(),
            bone_indices=np.pad(rows["bone_indices"].numpy(), ((0, 0), (0, missing)), mode="edge").astype(np.int32),
            bone_weights=np.pad(weights, ((0, 0), (0, missing))).astype(np.float32),
        )

    def _has(self, time: int) -> bool:
        """Tell whether there is a time of this index."""
        return 0 <= time < self.num_times


def owners(rows: Rows) -> Int[np.ndarray, "N"]:
    """Return the bone that each Gaussian follows most."""
    best = rows["bone_logits"].detach().argmax(1, keepdim=True)
    return rows["bone_indices"].gather(1, best)[:, 0].numpy()


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
