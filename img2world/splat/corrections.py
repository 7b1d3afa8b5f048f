"""What a training may find out about the views themselves: where their cameras are, and how bright they came out."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.render.adam import adam_step
from img2world.render.splats import CameraTensors

POSE_LR, TONE_LR = 2e-4, 1e-2
"""First learning rates: of poses in radians and in units of the scene's median depth, of brightness in shares of 1.
Faster, the cameras of videos shake, and unseen views lose more than they gain."""

LR_FALL = 0.05
"""The last learning rate, as a share of the first."""


class Corrections:
    """Small changes of cameras and colours, one for each view, trained beside the Gaussians.

    Their mean is kept at zero: else all of them could drift together, away from views that are not trained on. To
    hold one view instead would give its own error to all others.
    """

    def __init__(self, num_views: int, *, poses: bool, exposures: bool, size: float) -> None:
        self._size = size
        # Turn and shift in camera axes; logarithm of the gain and offset of each colour.
        self._twists = _Rows.zeros(num_views) if poses else None
        self._tones = _Rows.zeros(num_views) if exposures else None

    def camera(self, camera: CameraTensors, i: int) -> CameraTensors:
        """The corrected camera of view i, which can be trained."""
        if self._twists is None:
            return camera
        twist = self._twists.values[i].to(camera.cam_from_world)
        return replace(camera, cam_from_world=moved_by(twist, self._size) @ camera.cam_from_world)

    def tone(self, rgb: Float[Tensor, "H W 3"], i: int) -> Float[Tensor, "H W 3"]:
        """What was rendered, as bright as view i came out."""
        if self._tones is None:
            return rgb
        tone = self._tones.values[i].to(rgb)
        return rgb * tone[:3].exp() + tone[3:]

    def step(self, i: int, share: float) -> None:
        """Learn from the gradients that `backward` left for view i. `share` of the training, 0 to 1, is done."""
        for rows, rate in ((self._twists, POSE_LR), (self._tones, TONE_LR)):
            if rows is not None:
                rows.step(i, rate * LR_FALL**share)

    def cameras(self, cameras: Cameras) -> Cameras:
        """All cameras, corrected."""
        if self._twists is None:
            return cameras
        moves = torch.stack([moved_by(twist, self._size) for twist in self._twists.values.detach()])
        cam_from_world = moves.double().numpy() @ cameras.cam_from_world
        return replace(cameras, world_from_cam=np.linalg.inv(cam_from_world).astype(np.float32))


def moved_by(twist: Float[Tensor, "6"], size: float) -> Float[Tensor, "4 4"]:
    """The rigid motion of a twist: a turn in radians about three axes, and a shift in units of `size`."""
    # In float32 the exponential is good to 1e-5 only.
    x, y, z, *shift = twist.double().unbind()
    zero = torch.zeros_like(x)
    turn = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    rows = [torch.stack([*row, part * size]) for row, part in zip(turn, shift, strict=True)]
    return torch.linalg.matrix_exp(torch.stack([*rows, torch.zeros_like(rows[0])])).to(twist)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Six values for each view, with their Adam state."""

    values: Float32[Tensor, "V 6"]
    means: Float32[Tensor, "V 6"]
    squares: Float32[Tensor, "V 6"]
    ages: list[int]

    @staticmethod
    def zeros(count: int) -> "_Rows":
        values = torch.zeros(count, 6, requires_grad=True)
        return _Rows(values=values, means=torch.zeros(count, 6), squares=torch.zeros(count, 6), ages=[0] * count)

    def step(self, i: int, rate: float) -> None:
        gradient, self.values.grad = self.values.grad, None
        if gradient is None:
            return
        self.ages[i] += 1
        row = slice(i, i + 1)
        rates = np.full(6, rate, np.float32)
        state = (self.values.detach()[row], gradient[row], self.means[row], self.squares[row])
        adam_step(*state, radii=None, step=self.ages[i], rates=rates)
        with torch.no_grad():
            self.values.sub_(self.values.mean(0))
