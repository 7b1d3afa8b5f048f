"""Corrections of the views found along with the scene: where their cameras are, and how each image was exposed."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from img2world.core.cameras import Cameras
from img2world.core.views import Views
from img2world.render.adam import adam_step
from img2world.render.splats import CameraTensors

POSE_LR, EXPOSURE_LR = 2e-4, 2e-3
"""First learning rates: of poses in radians and in units of the scene's median depth, of exposures in fractions of
full brightness. At higher rates the cameras of videos jitter, and held-out views lose more than they gain."""

LR_DECAY = 0.05
"""Last learning rate as a fraction of the first."""


DARKEST, BRIGHTEST = 60.0, 720.0
"""Sums of red, green and blue, 0 to 765, between which brightness is neither noise nor clipped."""

MIN_POINTS = 20
"""Points that a view must show to tell its exposure."""


class Corrections:
    """Small corrections of the pose and the exposure of each view, trained along with the Gaussians.

    Their mean is kept at zero, otherwise all could drift together, away from the views that are held out. Fixing one
    view instead would pass its error on to all others.
    """

    def __init__(
        self, num_views: int, *, poses: bool, gains: Float[np.ndarray, "V"] | None, scene_depth: float
    ) -> None:
        """Start from the views' poses and, if exposures are to be matched, from log gains of their brightness."""
        self._scene_depth = scene_depth
        # Rotation and translation in camera axes; log gain and offset of each colour channel.
        self._twists = _PerViewParameters.zeros(num_views) if poses else None
        self._exposures = None
        if gains is not None:
            self._exposures = _PerViewParameters.zeros(num_views)
            self._exposures.values.detach()[:, :3] = torch.from_numpy(gains - np.mean(gains))[:, None]

    def correct_camera(self, camera: CameraTensors, i: int) -> CameraTensors:
        """Return the corrected camera of view i, differentiable in its correction."""
        if self._twists is None:
            return camera
        twist = self._twists.values[i].to(camera.cam_from_world)
        return replace(camera, cam_from_world=rigid_motion(twist, self._scene_depth) @ camera.cam_from_world)

    def expose(self, rgb: Float[Tensor, "H W 3"], i: int) -> Float[Tensor, "H W 3"]:
        """Return a rendered image with the exposure of view i, differentiable in its correction."""
        if self._exposures is None:
            return rgb
        exposure = self._exposures.values[i].to(rgb)
        return rgb * exposure[:3].exp() + exposure[3:]

    def step(self, i: int, fraction: float) -> None:
        """Descend the gradients that `backward` left for view i, with a fraction of the training, 0 to 1, done."""
        for parameters, rate in ((self._twists, POSE_LR), (self._exposures, EXPOSURE_LR)):
            if parameters is not None:
                parameters.step(i, rate * LR_DECAY**fraction)

    def correct_cameras(self, cameras: Cameras) -> Cameras:
        """Return all cameras corrected."""
        if self._twists is None:
            return cameras
        motions = torch.stack([rigid_motion(twist, self._scene_depth) for twist in self._twists.values.detach()])
        cam_from_world = motions.double().numpy() @ cameras.cam_from_world
        return replace(cameras, world_from_cam=np.linalg.inv(cam_from_world).astype(np.float32))


def rigid_motion(twist: Float[Tensor, "6"], unit: float) -> Float[Tensor, "4 4"]:
    """Return the rigid motion of a twist: a rotation vector in radians and a translation in units of `unit`."""
    # In float32 the exponential is good to 1e-5 only.
    x, y, z, *shift = twist.double().unbind()
    zero = torch.zeros_like(x)
    skew = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    rows = [torch.stack([*row, part * unit]) for row, part in zip(skew, shift, strict=True)]
    return torch.linalg.matrix_exp(torch.stack([*rows, torch.zeros_like(rows[0])])).to(twist)


def exposure_gains(views: Views) -> Float[np.ndarray, "V"] | None:
    """Return the logarithm of each view's brightness over that of the scene, from the colours of the sparse points.

    The gain of a view is the median over the points in it, as some are hidden. Returns None when a view shows too few
    points to tell, or the views are of an object, whose white background no exposure changes.
    """
    import cv2

    if views.alpha is not None:
        return None
    brightness = views.point_colors.sum(1, dtype=np.float64)
    gains = np.zeros(len(views))
    for i in range(len(views)):
        _, pixels, inside = views.cameras.project(i, views.points)
        columns, rows = pixels[inside].astype(np.int64).T
        here = cv2.GaussianBlur(views.rgb[i], (0, 0), 1.0)[rows, columns].sum(1, dtype=np.float64)
        there = brightness[inside]
        usable = (np.minimum(here, there) > DARKEST) & (np.maximum(here, there) < BRIGHTEST)
        if usable.sum() < MIN_POINTS:
            return None
        gains[i] = np.median(np.log(here[usable] / there[usable]))
    return gains


@dataclass(frozen=True, kw_only=True)
class _PerViewParameters:
    """Six values for each view, with their Adam state."""

    values: Float32[Tensor, "V 6"]
    means: Float32[Tensor, "V 6"]
    squares: Float32[Tensor, "V 6"]
    num_steps: list[int]

    @staticmethod
    def zeros(count: int) -> "_PerViewParameters":
        values = torch.zeros(count, 6, requires_grad=True)
        return _PerViewParameters(
            values=values, means=torch.zeros(count, 6), squares=torch.zeros(count, 6), num_steps=[0] * count
        )

    def step(self, i: int, rate: float) -> None:
        gradient, self.values.grad = self.values.grad, None
        if gradient is None:
            return
        self.num_steps[i] += 1
        row = slice(i, i + 1)
        rates = np.full(6, rate, np.float32)
        state = (self.values.detach()[row], gradient[row], self.means[row], self.squares[row])
        adam_step(*state, radii=None, step=self.num_steps[i], rates=rates)
        with torch.no_grad():
            self.values.sub_(self.values.mean(0))
