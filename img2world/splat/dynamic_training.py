"""The training of Gaussians that move with bones, from a static scene of one of the times."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from img2world.core.errors import SplatError
from img2world.core.gaussians import Gaussians
from img2world.core.motion import Motion
from img2world.core.progress import Progress
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render.adam import Adam
from img2world.render.loss import LossWeights, Target, view_loss
from img2world.render.splats import Rendering, Splats, camera_tensors
from img2world.splat.bone_flow import bone_twists, observe_flow
from img2world.splat.bones import Bones, owners
from img2world.splat.densify import MIN_OPACITY, Densification, ScreenGradients, densify
from img2world.splat.initialize import MIN_POINTS, gaussians_from_points
from img2world.splat.metrics import psnr, unit_rgb
from img2world.splat.optimize import REPORT_EVERY, GaussianSplat, running_mean, view_order
from img2world.splat.parameters import Parameters
from img2world.splat.presence import (
    MAX_NEW_BONES,
    MIN_VIEWS_TO_TELL,
    NOTHING,
    POINTS_OF_BONE,
    Observation,
    all_times,
    are_gone,
    observe,
    suspects,
    uncovered_points,
    windows_of_spans,
)
from img2world.splat.views import halve
from img2world.tracking.flow import compute_flow

if TYPE_CHECKING:
    from img2world.splat.dynamic import DynamicSplat

NUM_NEIGHBORS = 5
"""Gaussians around one whose distances are to stay the same."""

RIGIDITY_SAMPLES = 1000
"""Gaussians of which this is asked in each step."""

SAME_DEPTH = 0.02
"""Distance behind what is seen, relative to the depth of the scene, at which a Gaussian still is."""

SWEEP_LR, JOINT_LR, WEIGHTS_LR = 3e-3, 1e-3, 3e-2
"""Learning rates: of bones in radians and in depths of the scene, from one time to the next and all together, and of
the logarithms of weights."""

LR_DECAY = 0.1
"""Last learning rate of bones and weights as a fraction of the first."""

HALF_FRACTION = 0.3
"""Fraction of the steps on all times that come first, on views of half the size."""

MIN_NEIGHBOR_DISTANCE = 0.005
"""Distance in depths of the scene that is added to those of neighbours: at nearly none, a relative change is noise."""

LATE_FRACTION = 0.3
"""Fraction of a static training that the Gaussians' learning rates begin with: they are trained already."""


class DynamicTraining:
    """Gaussians and bones under training, with the views by their times."""

    _bones_lr = JOINT_LR

    def __init__(
        self,
        options: "DynamicSplat",
        views: Views,
        static: Scene,
        first: float,
        rng: np.random.Generator,
        bones: Bones | None = None,
        *,
        draw: Callable[..., Rendering],
        device: str = "cpu",
    ) -> None:
        """Begin with a static scene of the time `first`; `draw` is a `rasterize` of tensors on the device."""
        assert views.times is not None
        self._options, self._rng, self._device = options, rng, device
        self.background = static.background
        self._draw = partial(draw, background=static.background)
        self._rigidity = options.rigidity
        self._levels = {"full": views, "half": halve(views)}
        self._cameras = {
            name: [camera_tensors(level.cameras.select([i]), device=device) for i in range(len(level))]
            for name, level in self._levels.items()
        }
        self.times, self._time_of = np.unique(views.times, return_inverse=True)
        self._first = int(np.searchsorted(self.times, first))
        means = static.gaussians.means
        bones = Bones(spread(means, options.num_bones), len(self.times)) if bones is None else bones
        self._bones = bones.to(device)
        spans = all_times(len(means), len(self.times))
        self._parameters = Parameters(static.gaussians, {**bones.weights_for(means), "span": spans}, device=device)
        centers = views.cameras.centers_in_world
        self._depth = float(np.median(np.linalg.norm(centers - np.median(means, 0), axis=1)))
        self._weights = LossWeights(alpha=options.alpha_weight)
        self._optimizer = Adam()
        self._observations: dict[int, Observation] = {}
        self._count_anew()

    def sweep(self, progress: Progress) -> None:
        """Let the bones follow from the first time on, outwards to the first and the last."""
        last = len(self.times) - 1
        ways = [(t, t + 1) for t in range(self._first, last)] + [(t, t - 1) for t in range(self._first, 0, -1)]
        enough = np.bincount(self._time_of) >= MIN_VIEWS_TO_TELL
        if enough[self._first]:
            self._observations[self._first] = self._observe(self._first)
            self._first_seen = self._seen(self._observations[self._first])
        for done, (now, following) in enumerate(ways, start=1):
            self._bones.keep_as(now, following)
            self._bones.turn(following, self._twists(now, following))
            self._refine(following)
            if enough[following] and now in self._observations:
                self._note_changes(now, following)
            progress(done, len(ways))

    def train_together(self, progress: Progress, look: Callable[[int], bool] = lambda done: False) -> None:
        """Train Gaussians, bones and weights on all views, and add Gaussians where they lack detail.

        `look` is given the number of steps done; where it returns True, the training ends.
        """
        options = self._options
        densification = Densification(
            steps=options.steps,
            max_gaussians=options.max_gaussians,
            min_gradient=GaussianSplat.densify_gradient,
            scene_depth=self._depth,
        )
        mean_psnr = 0.0
        for step, i in zip(range(options.steps), view_order(len(self._time_of), self._rng), strict=False):
            level = "half" if step < HALF_FRACTION * options.steps else "full"
            rgb = self._step(i, level, step / options.steps)
            if densification.is_due(step):
                self._densify(densification)
            if (step + 1) % REPORT_EVERY == 0:
                value = psnr(rgb.clamp(0, 1).cpu().numpy(), unit_rgb(self._levels[level].rgb[i]))
                mean_psnr = running_mean(mean_psnr, value)
                progress(step + 1, options.steps, psnr=mean_psnr, gaussians=float(len(self._parameters)))
            if step + 1 < options.steps and look(step + 1):
                break

    def result(self) -> tuple[Gaussians, Motion]:
        """Return the Gaussians at rest that are visible at all, and their motion."""
        values = self._parameters.values
        windows = windows_of_spans(values["span"].cpu().numpy(), self.times)
        gaussians, motion = self._parameters.gaussians(), self._bones.motion(values, self.times, windows)
        visible = gaussians.opacities >= MIN_OPACITY
        return gaussians.select(visible), motion.select(visible)

    def _step(self, i: int, level: str, fraction: float) -> Float[Tensor, "H W 3"]:
        """Take one step on view i when a fraction of the training is done, and return its image from before that."""
        rendering, loss = self._loss(i, level)
        time = int(self._time_of[i])
        (loss + self._unlikeliness(time)).backward()
        self._gradients.accumulate(rendering)
        self._step_bones(self._optimizer, time, self._bones_lr * LR_DECAY**fraction)
        self._parameters.step(self._rates(fraction), rendering.radii)
        return rendering.rgb.detach()

    def _unlikeliness(self, time: int) -> Float[Tensor, ""]:
        """Return what the motion about a time costs by itself."""
        return self._options.smoothness * self._bones.roughness(time)

    def _step_bones(self, optimizer: Adam, time: int, rate: float) -> None:
        """Move the bones at a time at a rate in radians and in depths of the scene."""
        optimizer.step(self._bones.quats[time], rate)
        optimizer.step(self._bones.shifts[time], rate * self._depth)

    def _densify(self, settings: Densification) -> None:
        """Add Gaussians where detail is missing, and remove those of no use."""
        densify(self._parameters, self._gradients.mean(), settings, self._rng)
        self._count_anew()

    def _count_anew(self) -> None:
        """Find the neighbours of the Gaussians that there are now, and forget gradients of others."""
        if len(self._parameters) <= NUM_NEIGHBORS:
            raise SplatError(
                f"{len(self._parameters)} Gaussians are left, too few to move together",
                hint="raise splat.max_gaussians, or give pictures in which the object is larger",
            )
        self._gradients = ScreenGradients(len(self._parameters), device=self._device)
        self._neighbors = _neighbors(self._parameters.values["means"].detach().cpu().numpy()).to(self._device)

    def _rates(self, fraction: float) -> dict[str, float]:
        """Return the learning rates of the Gaussians when a fraction of the training is done."""
        late = LATE_FRACTION + (1 - LATE_FRACTION) * fraction
        rates = GaussianSplat().learning_rates(late, self._depth)
        return {**rates, "bone_logits": WEIGHTS_LR * LR_DECAY**fraction}

    def _splats(self, time: int) -> Splats:
        """Return the Gaussians at the time of an index."""
        values = self._parameters.values
        means, quats = self._bones.move(values, time)
        absent = (values["span"][:, 0] > time) | (values["span"][:, 1] < time)
        opacities = values["logit_opacities"].masked_fill(absent, NOTHING)
        return replace(self._parameters.splats(), means=means, quats=quats, logit_opacities=opacities)

    def _render(self, splats: Splats, i: int, level: str) -> Rendering:
        """Render what the camera of view i sees of Gaussians at a time."""
        return self._draw(splats, self._cameras[level][i])

    def _loss(self, i: int, level: str) -> tuple[Rendering, Tensor]:
        """Render view i and return that with its loss."""
        views, splats = self._levels[level], self._splats(int(self._time_of[i]))
        rendering = self._render(splats, i, level)
        images = {"rgb": views.rgb, "alpha": views.alpha, "mask": views.mask}
        known = {name: torch.from_numpy(each[i]) for name, each in images.items() if each is not None}
        target = Target(**{name: each.to(self._device) for name, each in known.items()})
        loss = view_loss(rendering.rgb, rendering.alpha, rendering.depth, target, self._weights)
        return rendering, loss + self._rigidity * self._stretch(splats.means)

    def _stretch(self, moved: Float[Tensor, "N 3"]) -> Float[Tensor, ""]:
        """Return the mean squared relative change of distances between neighbours, of some of the Gaussians."""
        chosen = torch.from_numpy(self._rng.integers(0, len(self._neighbors), RIGIDITY_SAMPLES)).to(self._device)
        rest = self._parameters.values["means"].detach()
        others = self._neighbors[chosen]
        now, before = (
            (each[others] - each[chosen][:, None]).square().sum(-1).add(1e-12).sqrt() for each in (moved, rest)
        )
        return ((now - before) / (before + MIN_NEIGHBOR_DISTANCE * self._depth)).square().mean()

    @torch.no_grad()
    def _twists(self, now: int, following: int) -> Float[np.ndarray, "B 6"]:
        """Return how the bones move from one time to another, by flow between the nearest views of the two."""
        views, splats = self._levels["full"], self._splats(now)
        points = splats.means.cpu().numpy().astype(np.float64)
        observations = []
        for i, j in self._pairs(now, following):
            depth = self._render(splats, i, "full").depth.cpu().numpy()
            before, after = (cv2.cvtColor(views.rgb[k], cv2.COLOR_RGB2GRAY) for k in (i, j))
            cameras = views.cameras.select([i]), views.cameras.select([j])
            flow = compute_flow(before, after)
            same_depth = SAME_DEPTH * self._depth
            observations.append(observe_flow(points, depth, flow, *cameras, same_depth=same_depth))
        return bone_twists(points, owners(self._parameters.values), self._bones.positions(now), observations)

    def _pairs(self, now: int, following: int) -> list[tuple[int, int]]:
        """Return for each view of one time the view of another whose camera is nearest."""
        first, second = (np.flatnonzero(self._time_of == time) for time in (now, following))
        poses = self._levels["full"].cameras.world_from_cam.astype(np.float64)
        features = np.concatenate([poses[:, :3, 3] / self._depth, poses[:, :3, 2]], 1)
        distances = np.linalg.norm(features[first][:, None] - features[second], axis=-1)
        return list(zip(first.tolist(), second[distances.argmin(1)].tolist(), strict=True))

    def _observe(self, time: int, hidden: Bool[np.ndarray, "N"] | None = None) -> Observation:
        """Compare the Gaussians at a time with its views, in half the size, without hidden ones."""
        here, level, splats = np.flatnonzero(self._time_of == time), self._levels["half"], self._splats(time)
        if hidden is not None:
            opacities = splats.logit_opacities.masked_fill(torch.from_numpy(hidden).to(self._device), NOTHING)
            splats = replace(splats, logit_opacities=opacities)
        return observe(splats, level.select(here), [self._cameras["half"][i] for i in here], self._draw)

    def _note_changes(self, now: int, following: int) -> None:
        """Find what has appeared from one time to the next, and what has vanished, and let Gaussians begin or end."""
        before, present = self._observations[now], self._observe(following)
        if before.lacks_less_than(present) and self._start(now, following, present):
            present = self._observe(following)
            self._first_seen = np.append(self._first_seen, self._seen(present)[len(self._first_seen) :])
        bones = owners(self._parameters.values)
        chosen, area = suspects(present, self._first_seen, bones)
        if len(chosen):
            hidden = np.isin(bones, chosen)
            without = self._observe(following, hidden)
            if are_gone(before, present, without, area):
                # Whatever the bones did there was not motion.
                self._bones.keep_as(now, following, chosen)
                end = 1 if following > now else 0
                self._parameters.values["span"][torch.from_numpy(hidden).to(self._device), end] = now
                present = without
        self._observations[following] = present

    def _seen(self, observation: Observation) -> Float64[np.ndarray, "B"]:
        """Return the number of pixels that show the Gaussians of each bone."""
        return np.bincount(owners(self._parameters.values), observation.seen, len(self._bones))

    def _start(self, now: int, following: int, present: Observation) -> bool:
        """Add Gaussians and bones for what appears at a time; return False where there are no points of it."""
        assert present.uncovered is not None
        here = np.flatnonzero(self._time_of == following)
        views = uncovered_points(self._levels["full"].select(here), present.uncovered)
        if views is None:
            return False
        assert views.alpha is not None
        share = present.uncovered.mean() / (views.alpha > 127).mean()
        added = gaussians_from_points(views, max(int(share * self._options.max_gaussians), MIN_POINTS))
        pivots = spread(added.means, int(np.clip(len(added) // POINTS_OF_BONE, 1, MAX_NEW_BONES)))
        rows = Bones(pivots, 1).weights_for(added.means)
        rows["bone_indices"] += len(self._bones)
        self._bones.add(pivots)
        rows["span"] = all_times(len(added), len(self.times))
        rows["span"][:, 0 if following > now else 1] = following
        self._parameters.append(added, rows, self._options.max_gaussians)
        self._count_anew()
        self._settle(following, len(added))
        return True

    def _settle(self, time: int, added: int) -> None:
        """Train the last Gaussians, which were added, by the views of a time; all else stays."""
        here, fresh = np.flatnonzero(self._time_of == time), torch.zeros(len(self._parameters), dtype=torch.bool)
        fresh[-added:] = True
        for _ in range(self._options.sweep_steps):
            rendering, loss = self._loss(int(self._rng.choice(here)), "half")
            loss.backward()
            self._parameters.step(self._rates(0.0), torch.where(fresh.to(self._device), rendering.radii, 0))
            self._bones.quats[time].grad = self._bones.shifts[time].grad = None

    def _refine(self, time: int) -> None:
        """Correct the bones at one time by what its views show."""
        here = np.flatnonzero(self._time_of == time)
        optimizer = Adam()
        for _ in range(self._options.sweep_steps):
            self._loss(int(self._rng.choice(here)), "half")[1].backward()
            self._step_bones(optimizer, time, SWEEP_LR)
            for value in self._parameters.values.values():
                value.grad = None


def spread(points: Float32[np.ndarray, "N 3"], count: int) -> Float[np.ndarray, "B 3"]:
    """Return so many points that lie evenly among others: k-means, from the farthest points."""
    from scipy.cluster.vq import kmeans2

    points = points.astype(np.float64)
    chosen = [0]
    distances = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return kmeans2(points, points[chosen], minit="matrix", iter=10)[0]


def _neighbors(points: Float32[np.ndarray, "N 3"]) -> Int[Tensor, "N K"]:
    """Return the indices of the nearest others of each point."""
    from scipy.spatial import KDTree

    nearest = np.asarray(KDTree(points).query(points, NUM_NEIGHBORS + 1)[1])
    # The nearest is the point itself.
    return torch.from_numpy(nearest[:, 1:])
