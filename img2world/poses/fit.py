"""The numbers of a path that agree best with tracks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.poses.path_model import Freedom, Path, rig_on_path
from img2world.poses.triangulation import Rig, errors
from img2world.tracking.tracks import Tracks

GOOD_PIXELS = 1.5
"""Scale of the Cauchy loss at 256 pixels: larger errors count little more."""

PRIOR_WEIGHT = 0.05
"""How much what was told counts against the tracks: a deviation of one doubt costs as much as so many tracks' share."""

STEP = 1e-3
"""Of the numerical derivatives, in doubts."""

FIRST_DAMPING, TRIES, LEAST_GAIN = 1e-2, 6, 1e-5
"""Of the search: how carefully it begins, how often it shortens a step that fails, and when it ends."""

AT_LIMIT = 0.98
"""Share of its limit at which a number counts as having run away."""


@dataclass(frozen=True, kw_only=True)
class PathFit:
    """A path with its free numbers found."""

    rig: Rig
    freedom: Freedom
    numbers: Float64[np.ndarray, "N"]
    cost: float
    """Mean robust cost of an observation of the tracks it was fitted to."""

    @property
    def at_limit(self) -> bool:
        """Whether a number ran to the end of what is allowed."""
        return bool((np.abs(self.numbers) > AT_LIMIT * self.freedom.limits).any())


def pixel_scale(width: int) -> float:
    """Pixels at which an error begins to be one, in frames of this width."""
    return GOOD_PIXELS * max(width / 256, 1.0)


def robust(found: Float64[np.ndarray, "O"], pixel: float) -> Float64[np.ndarray, "O"]:
    """Cauchy's loss of errors."""
    return np.log1p((found / pixel) ** 2)


def fit_path(
    tracks: Tracks,
    path: Path,
    freedom: Freedom,
    *,
    start: Float64[np.ndarray, "N"] | None = None,
    rounds: int = 25,
) -> PathFit:
    """Fit by robust least squares; the points are eliminated by triangulation at each step.

    Variable projection after Golub and Pereyra (1973), with `minimized`.
    """
    pixel = pixel_scale(path.width)
    doubts, bounds = freedom.doubts, freedom.limits / freedom.doubts
    prior = PRIOR_WEIGHT * np.sqrt(len(tracks))

    def residuals(units: np.ndarray) -> np.ndarray:
        found = errors(tracks, rig_on_path(path, freedom, units * doubts))
        return np.concatenate([np.sqrt(robust(found, pixel)), prior * units])

    first = np.zeros(len(bounds)) if start is None else np.clip(start / doubts, -0.95 * bounds, 0.95 * bounds)
    units = minimized(residuals, first, bounds, rounds=rounds)
    numbers = units * doubts
    rig = rig_on_path(path, freedom, numbers)
    cost = float(np.mean(residuals(units)[: len(tracks.frame)] ** 2))
    return PathFit(rig=rig, freedom=freedom, numbers=numbers, cost=cost)


def minimized(
    residuals: Callable[[np.ndarray], np.ndarray],
    first: Float64[np.ndarray, "N"],
    bounds: Float64[np.ndarray, "N"],
    *,
    rounds: int,
) -> Float64[np.ndarray, "N"]:
    """Where the sum of squares is least, each number within plus and minus its bound (Levenberg and Marquardt).

    SciPy's solvers call threaded linear algebra, whose last bits depend on the number of threads.
    """
    here, rest, damping = first, residuals(first), FIRST_DAMPING
    cost = float(np.sum(rest * rest))
    for _ in range(rounds):
        slopes = np.stack([(residuals(here + step) - rest) / STEP for step in STEP * np.eye(len(here))], 1)
        gradient = np.einsum("mi,m->i", slopes, rest)
        # A number at its bound that would go farther stays there.
        free = (np.abs(here) < bounds) | (gradient * here > 0)
        curvature = np.einsum("mi,mj->ij", slopes, slopes)[np.ix_(free, free)]
        before = cost
        for _ in range(TRIES):
            damped = curvature + damping * np.diag(np.diag(curvature) + 1e-12)
            there = here.copy()
            there[free] -= np.linalg.solve(damped, gradient[free])
            there = np.clip(there, -bounds, bounds)
            new = residuals(there)
            if float(np.sum(new * new)) < cost:
                here, rest, cost = there, new, float(np.sum(new * new))
                damping /= 5
                break
            damping *= 5
        if before - cost < LEAST_GAIN * before:
            break
    return here
