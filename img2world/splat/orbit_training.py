"""The training of Gaussians that move with bones where each time is seen from one side only, as by one moving camera.

A false motion explains any one view. Of all that explain the flow from view to view as well, that with a part at rest,
with few keys, and the slowest is nearly always the true one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from img2world.core.progress import Progress
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.formats.splat_file import join
from img2world.render.adam import Adam
from img2world.render.splats import Rendering
from img2world.splat.densify import Densification
from img2world.splat.dynamic_training import SAME_DEPTH, DynamicTraining, spread
from img2world.splat.optimize import GaussianSplat
from img2world.splat.spline_bones import SplineBones
from img2world.splat.still_part import Parts
from img2world.tracking.flow import compute_flow

if TYPE_CHECKING:
    from img2world.splat.dynamic import DynamicSplat

NUM_BONES = 8
"""Bones that move, at most: many could explain anything."""

KEYS = (8, 12, 16)
"""Keys of their motion, first and after each refinement in the training on all times."""

BONES_LR = 3e-3
"""Learning rate in radians and in depths of the scene: of keys, which many views share."""

STIFFER = 10.0
"""Factor on the weight of rigidity."""

SLOWNESS = 0.02
"""Weight of the mean speed of bones, in depths of the scene per duration, relative to colour."""

REACH = 0.1
"""Distance from the pivots at which the speed of a turn is taken, in depths of the scene."""

FLOW, FLOW_SCALE = 0.05, 2.0
"""Weight of errors of flow relative to colour, and their scale in pixels beyond which they count less (Cauchy)."""

FLOW_STEPS = (1, -1, 2, -2)
"""Times from one view to those that flow leads to."""

MAX_ANGLE = np.radians(25)
"""Between the lines of sight of two views, beyond which there is no flow from one to the other."""

WINDOW_STEPS = 4
"""Multiple of the steps at the first time, for those in the first window."""

REACHED = 3
"""Times that are added at once at both ends of those trained so far."""

RECENT = 8
"""Last times at either end on which every other step trains."""

GROWTHS = 5
"""Times that Gaussians are added in the first window."""


class OrbitTraining(DynamicTraining):
    """Gaussians of which some rest and others move with a few smooth bones, from a window in time outwards."""

    _bones_lr = BONES_LR

    def __init__(
        self,
        options: "DynamicSplat",
        views: Views,
        parts: Parts,
        rng: np.random.Generator,
        *,
        draw: Callable[..., Rendering],
        device: str = "cpu",
    ) -> None:
        """Begin with the parts; `draw` is a `rasterize` of tensors on the device."""
        assert views.times is not None
        gaussians = join(parts.still, parts.movers)
        static = Scene(gaussians=gaussians, cameras=views.cameras, background=parts.background, is_object=True)
        middle = parts.movers.means.mean(0, keepdims=True) if not len(parts.still) else parts.still.means.mean(0)[None]
        pivots = np.concatenate([middle, spread(parts.movers.means, min(NUM_BONES, options.num_bones))])
        self._curves = SplineBones(pivots, np.unique(views.times), KEYS[0], len(parts.still))
        first = float(views.times[parts.window[len(parts.window) // 2]])
        super().__init__(options, views, static, first, rng, self._curves, draw=draw, device=device)
        self._rigidity = STIFFER * options.rigidity
        self._window = np.unique(self._time_of[parts.window])
        self._reached = (int(self._window[0]), int(self._window[-1]))
        self._keys_left = list(KEYS[1:])
        self._flows: dict[tuple[int, int], Float[Tensor, "H W 2"]] = {}

    def sweep(self, progress: Progress) -> None:
        """Train on the window, then on ever more times at both its ends."""
        options, last = self._options, len(self.times) - 1
        steps = WINDOW_STEPS * options.static_steps
        growths = -(-max(self._reached[0], last - self._reached[1]) // REACHED)
        for step in range(steps):
            self._step(self._any_of(*self._reached), "half" if step < steps // 2 else "full", 0.0)
            if (step + 1) % -(-steps // (GROWTHS + 2)) == 0 and step < 0.8 * steps:
                self._add()
        progress(1, growths + 1)
        for growth in range(growths):
            before = self._reached
            self._reached = (max(0, before[0] - REACHED), min(last, before[1] + REACHED))
            start, end = self._reached
            added = (end - start) - (before[1] - before[0])
            for step in range(2 * options.sweep_steps * added):
                if step % 2:
                    self._step(self._any_of(start, end), "full", 0.0)
                else:
                    recent = (start, min(start + RECENT, end)), (max(end - RECENT, start), end)
                    self._step(self._any_of(*recent[int(self._rng.integers(2))]), "half", 0.0)
            self._add()
            progress(growth + 2, growths + 1)

    def _step(self, i: int, level: str, fraction: float) -> Float[Tensor, "H W 3"]:
        """Take one step on view i; the curves get more keys as the training on all times goes on."""
        if self._keys_left and fraction >= 1 - len(self._keys_left) / (len(KEYS) - 1) and fraction > 0:
            self._curves.refine(self._keys_left.pop(0))
            self._optimizer = Adam()
        return super()._step(i, level, fraction)

    def _any_of(self, start: int, end: int) -> int:
        """Return a view of one of the times, with both ends."""
        return int(self._rng.choice(np.flatnonzero((self._time_of >= start) & (self._time_of <= end))))

    def _add(self) -> None:
        """Add Gaussians where detail is missing."""
        self._densify(
            Densification(
                steps=1,
                max_gaussians=self._options.max_gaussians,
                min_gradient=GaussianSplat.densify_gradient,
                scene_depth=self._depth,
            )
        )

    def _unlikeliness(self, time: int) -> Float[Tensor, ""]:
        """Return what the motion costs by its speed."""
        return SLOWNESS / self._depth * self._curves.mean_speed(REACH * self._depth)

    def _step_bones(self, optimizer: Adam, time: int, rate: float) -> None:
        """Move the keys of all bones at a rate in radians and in depths of the scene."""
        optimizer.step(self._bones.quats[0], rate)
        optimizer.step(self._bones.shifts[0], rate * self._depth)

    def _loss(self, i: int, level: str) -> tuple[Rendering, Tensor]:
        """Render view i and return that with its loss, also of the flow to another one."""
        rendering, loss = super()._loss(i, level)
        following = self._near(i)
        if following is None:
            return rendering, loss
        depth = rendering.depth.detach()
        camera = self._cameras["full"][i]
        full = torch.nn.functional.interpolate(depth[None, None], (camera.height, camera.width))[0, 0]
        return rendering, loss + FLOW * self._flow_error(i, following, full)

    def _near(self, i: int) -> int | None:
        """Return a view of a time shortly before or after that of view i, from nearly the same side, if there is."""
        start, end = self._reached
        time = int(self._time_of[i]) + int(self._rng.choice(FLOW_STEPS))
        if not start <= time <= end:
            return None
        there = np.flatnonzero(self._time_of == time)
        axes = self._levels["full"].cameras.world_from_cam[:, :3, 2].astype(np.float64)
        cosines = axes[there] @ axes[i]
        return int(there[cosines.argmax()]) if cosines.max() > np.cos(MAX_ANGLE) else None

    def _flow_error(self, i: int, j: int, depth: Float[Tensor, "H W"]) -> Float[Tensor, ""]:
        """Return the mean error of where visible Gaussians go from view i to view j."""
        rows, height, width = self._parameters.values, *depth.shape
        with torch.no_grad():
            distance, xy = self._project(i, self._bones.move(rows, int(self._time_of[i]))[0])
            column, row = xy.long().T
            inside = (xy >= 0).all(1) & (column < width) & (row < height) & (distance > 0)
            column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
            visible = inside & ((depth[row, column] - distance).abs() < SAME_DEPTH * self._depth)
            chosen = visible.nonzero()[:, 0]
            if not len(chosen):
                return depth.sum() * 0
            flow = self._flow(i, j)[row[chosen], column[chosen]]
            weights = rows["logit_opacities"][chosen].sigmoid().reshape(-1)
        some = {name: value[chosen] for name, value in rows.items()}
        before, after = (self._project(k, self._bones.move(some, int(self._time_of[k]))[0])[1] for k in (i, j))
        errors = torch.log1p((after - before - flow).square().sum(-1) / FLOW_SCALE**2)
        return (errors * weights).sum() / weights.sum().clamp(min=1e-6)

    def _project(self, i: int, points: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, "N"], Float[Tensor, "N 2"]]:
        """Return the distances and the pixels of points in view i."""
        camera = self._cameras["full"][i]
        rotation, shift = camera.cam_from_world[:3, :3], camera.cam_from_world[:3, 3]
        x, y, distance = ((rotation * points[:, None]).sum(-1) + shift).T
        ray = torch.stack([x, y], 1) / distance.clamp(min=1e-6)[:, None]
        focal, center = camera.intrinsics[[0, 1], [0, 1]], camera.intrinsics[:2, 2]
        return distance, ray * focal + center

    def _flow(self, i: int, j: int) -> Float[Tensor, "H W 2"]:
        """Return the flow from view i to view j, in half precision: there are many."""
        if (i, j) not in self._flows:
            rgb = self._levels["full"].rgb
            before, after = (cv2.cvtColor(rgb[k], cv2.COLOR_RGB2GRAY) for k in (i, j))
            self._flows[i, j] = torch.from_numpy(compute_flow(before, after)).half().to(self._device)
        return self._flows[i, j]
