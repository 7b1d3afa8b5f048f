"""Bones under training: rigid motions that a few bones share with all Gaussians, by linear-blend skinning.

The bones of a `core.motion.Motion`, as tensors that gradients flow back to. Each turns about its own pivot, so that
a turn does not shift it.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from img2world.core.motion import Motion
from img2world.render.skinning import BONES_OF_EACH, product, skin
from img2world.render.splats import matrices_from_quats
from img2world.splat.parameters import Rows

MIN_LOGIT = -30.0
"""Logit of the weight of a bone that is far away, or of one that is missing where there are fewer than four."""


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

    def to(self, device: torch.device | str) -> "Bones":
        """Move the bones to a device, and return them."""
        self.pivots = self.pivots.to(device)
        for each in (self.quats, self.shifts):
            each[:] = [value.detach().to(device).requires_grad_(value.requires_grad) for value in each]
        return self

    def add(self, pivots: Float[np.ndarray, "A 3"]) -> None:
        """Add bones that are at rest at all times."""
        others = Bones(pivots, self.num_times).to(self.pivots.device)
        self.pivots = torch.cat([self.pivots, others.pivots])
        for mine, new in ((self.quats, others.quats), (self.shifts, others.shifts)):
            mine[:] = [torch.cat([a.detach(), b.detach()]).requires_grad_() for a, b in zip(mine, new, strict=True)]

    def weights_for(self, means: Float32[np.ndarray, "N 3"]) -> dict[str, Tensor]:
        """Return rows by which Gaussians follow the bones whose pivots are nearest: `bone_indices`, `bone_logits`."""
        from scipy.spatial import KDTree

        # Where there are fewer bones, the query counts infinitely distant ones behind the last.
        distances, nearest = KDTree(self.pivots.cpu().numpy()).query(means, BONES_OF_EACH)
        reach = max(float(np.median(distances[:, 0])), 1e-9)
        logits = np.maximum(-(distances**2) / (2 * reach**2), MIN_LOGIT)
        indices = np.minimum(nearest, len(self) - 1).astype(np.int32)
        return {"bone_indices": torch.from_numpy(indices), "bone_logits": torch.tensor(logits, dtype=torch.float32)}

    def pose(self, time: int) -> tuple[Float[Tensor, "B 4"], Float[Tensor, "B 3"]]:
        """Return the quaternions, of any length, and the displacements of the pivots at the time of an index."""
        return self.quats[time], self.shifts[time]

    def move(self, rows: Rows, time: int) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]:
        """Return means and quaternions of Gaussians at the time of an index, differentiable in all that is trained."""
        quats, shifts = self.pose(time)
        turns = quats / quats.norm(dim=-1, keepdim=True)
        rotations = matrices_from_quats(turns)
        offsets = self.pivots + shifts - (rotations * self.pivots[:, None]).sum(-1)
        values = torch.cat([rotations.reshape(-1, 9), offsets, turns], 1)
        return skin(values, rows["bone_indices"], rows["bone_logits"], rows["means"], rows["quats"])

    @torch.no_grad()
    def keep_as(self, source: int, target: int, chosen: Int[np.ndarray, "S"] | slice = slice(None)) -> None:
        """Copy the pose of all bones, or of some, from one time to another."""
        for each in (self.quats, self.shifts):
            each[target][chosen] = each[source][chosen]

    @torch.no_grad()
    def turn(self, time: int, twists: Float[np.ndarray, "B 6"]) -> None:
        """Move each bone at a time by a rotation vector about its pivot and a shift."""
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_rotvec(twists[:, :3]).as_quat(canonical=True, scalar_first=True)
        self.quats[time].copy_(product(torch.tensor(turn).to(self.pivots), self.quats[time]))
        self.shifts[time] += torch.tensor(twists[:, 3:]).to(self.pivots)

    def positions(self, time: int) -> Float[np.ndarray, "B 3"]:
        """Return where the pivots are at a time."""
        return (self.pivots + self.pose(time)[1].detach()).cpu().numpy().astype(np.float64)

    def roughness(self, time: int) -> Float[Tensor, ""]:
        """Return the mean squared acceleration of the bones about a time, per step in time; only that time can give."""
        terms = [self.shifts[time].sum() * 0]
        for each in (self.shifts, self.quats):
            near = {t: each[t] if t == time else each[t].detach() for t in range(time - 2, time + 3) if self._has(t)}
            bends = [near[t - 1] - 2 * near[t] + near[t + 1] for t in near if t - 1 in near and t + 1 in near]
            terms += [bend.square().mean() for bend in bends]
        return torch.stack(terms).sum()

    def motion(
        self,
        rows: Rows,
        key_times: Float[np.ndarray, "T"],
        windows: Float32[np.ndarray, "N 2"] | None = None,
    ) -> Motion:
        """Return the motion as arrays."""
        with torch.no_grad():
            quats, shifts = (torch.stack(each, 1) for each in zip(*map(self.pose, range(self.num_times)), strict=True))
        return Motion(
            key_times=key_times.astype(np.float64),
            bone_pivots=self.pivots.cpu().numpy(),
            bone_quats=(quats / quats.norm(dim=-1, keepdim=True)).cpu().numpy(),
            bone_translations=shifts.cpu().numpy(),
            bone_indices=rows["bone_indices"].cpu().numpy(),
            bone_weights=rows["bone_logits"].detach().softmax(1).cpu().numpy(),
            windows=windows,
        )

    def _has(self, time: int) -> bool:
        """Tell whether there is a time of this index."""
        return 0 <= time < self.num_times


def owners(rows: Rows) -> Int[np.ndarray, "N"]:
    """Return the bone that each Gaussian follows most."""
    best = rows["bone_logits"].detach().argmax(1, keepdim=True)
    return rows["bone_indices"].gather(1, best)[:, 0].cpu().numpy()
