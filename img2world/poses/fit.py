"""Robust least-squares fit of a path's free parameters to tracks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.path_model import CameraPath, FreeParameters, cameras_on_path
from img2world.poses.triangulation import reprojection_errors
from img2world.tracking.tracks import Tracks

LOSS_SCALE = 1.5
"""Scale of the Cauchy loss in pixels of frames 256 pixels wide: larger errors are down-weighted."""

PRIOR_WEIGHT = 0.05
"""Weight of the prior: a parameter that is one standard deviation off costs the square of this for each track."""

DIFFERENCE_STEP = 1e-3
"""Step of the finite differences, in standard deviations."""

INITIAL_DAMPING, MAX_DAMPING_TRIES, MIN_RELATIVE_GAIN = 1e-2, 6, 1e-5
"""Levenberg-Marquardt: initial damping, attempts to find a step that lowers the cost, and gain at which it stops."""

AT_LIMIT = 0.98
"""Fraction of its limit from which a parameter counts as having reached it."""


@dataclass(frozen=True, kw_only=True)
class PathFit:
    """A path with values for its free parameters."""

    cameras: CameraParameters
    free: FreeParameters
    values: Float64[np.ndarray, "N"]

    @property
    def at_limit(self) -> bool:
        """True if a parameter reached its limit."""
        return bool((np.abs(self.values) > AT_LIMIT * self.free.limits).any())


def loss_scale(width: int) -> float:
    """Return the scale of the loss in pixels of frames of this width."""
    return LOSS_SCALE * max(width / 256, 1.0)


def cauchy_loss(errors: Float64[np.ndarray, "O"], scale: float) -> Float64[np.ndarray, "O"]:
    """Return the Cauchy loss of errors, log(1 + (error / scale)²)."""
    return np.log1p((errors / scale) ** 2)


def fit_path(
    tracks: Tracks,
    path: CameraPath,
    free: FreeParameters,
    *,
    start: Float64[np.ndarray, "N"] | None = None,
    max_iterations: int = 25,
) -> PathFit:
    """Fit the free parameters of a path to tracks by robust least squares, with a Gaussian prior around 0.

    The points are eliminated by triangulating them at each step (variable projection; Golub and Pereyra, 1973).
    """
    scale = loss_scale(path.width)
    stds, bounds = free.prior_stds, free.limits / free.prior_stds
    prior = PRIOR_WEIGHT * np.sqrt(len(tracks))

    def residuals(units: np.ndarray) -> np.ndarray:
        errors = reprojection_errors(tracks, cameras_on_path(path, free, units * stds))
        return np.concatenate([np.sqrt(cauchy_loss(errors, scale)), prior * units])

    first = np.zeros(len(bounds)) if start is None else np.clip(start / stds, -0.95 * bounds, 0.95 * bounds)
    units = levenberg_marquardt(residuals, first, bounds, max_iterations=max_iterations)
    return PathFit(cameras=cameras_on_path(path, free, units * stds), free=free, values=units * stds)


def levenberg_marquardt(
    residuals: Callable[[np.ndarray], np.ndarray],
    start: Float64[np.ndarray, "N"],
    bounds: Float64[np.ndarray, "N"],
    *,
    max_iterations: int,
) -> Float64[np.ndarray, "N"]:
    """Minimise the sum of squared residuals, with each parameter between minus and plus its bound.

    SciPy's solvers call multi-threaded linear algebra, whose last bits depend on the number of threads.
    """
    here, current, damping = start, residuals(start), INITIAL_DAMPING
    cost = float(np.sum(current * current))
    for _ in range(max_iterations):
        steps = DIFFERENCE_STEP * np.eye(len(here))
        jacobian = np.stack([(residuals(here + step) - current) / DIFFERENCE_STEP for step in steps], 1)
        gradient = np.einsum("mi,m->i", jacobian, current)
        # A parameter at its bound that the gradient pushes outwards is fixed.
        free = (np.abs(here) < bounds) | (gradient * here > 0)
        hessian = np.einsum("mi,mj->ij", jacobian, jacobian)[np.ix_(free, free)]
        before = cost
        for _ in range(MAX_DAMPING_TRIES):
            damped = hessian + damping * np.diag(np.diag(hessian) + 1e-12)
            there = here.copy()
            there[free] -= np.linalg.solve(damped, gradient[free])
            there = np.clip(there, -bounds, bounds)
            new = residuals(there)
            if float(np.sum(new * new)) < cost:
                here, current, cost = there, new, float(np.sum(new * new))
                damping /= 5
                break
            damping *= 5
        if before - cost < MIN_RELATIVE_GAIN * before:
            break
    return here
