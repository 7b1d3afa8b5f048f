"""The numbers of a path that agree best with tracks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.geometry.tracks import Tracks
from img2world.poses.path import Freedom, Path, rig_on_path
from img2world.poses.points import Rig, errors

GOOD_PIXELS = 1.5
"""Scale of the Cauchy loss at 256 pixels: larger errors count little more."""

PRIOR_WEIGHT = 0.05
"""How much what was told counts against the tracks: a deviation of one doubt costs as much as so many tracks' share."""

STEP = 1e-3
"""Of the numerical derivatives, in doubts."""

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
    evaluations: int = 40,
) -> PathFit:
    """Fit by robust least squares; the points are eliminated by triangulation at each step.

    Variable projection after Golub and Pereyra (1973), with SciPy's trust region and numerical derivatives.
    """
    from scipy.optimize import least_squares

    pixel = pixel_scale(path.width)
    doubts, bounds = freedom.doubts, freedom.limits / freedom.doubts
    prior = PRIOR_WEIGHT * np.sqrt(len(tracks))

    def residuals(units: np.ndarray) -> np.ndarray:
        found = errors(tracks, rig_on_path(path, freedom, units * doubts))
        return np.concatenate([np.sqrt(robust(found, pixel)), prior * units])

    def slopes(units: np.ndarray) -> np.ndarray:
        here = residuals(units)
        # A fixed step: SciPy's own shrinks to nothing where a number is zero.
        return np.stack([(residuals(units + step) - here) / STEP for step in STEP * np.eye(len(units))], 1)

    first = np.zeros(len(bounds)) if start is None else np.clip(start / doubts, -0.95 * bounds, 0.95 * bounds)
    solved = least_squares(residuals, first, jac=slopes, bounds=(-bounds, bounds), max_nfev=evaluations)  # pyright: ignore[reportArgumentType]
    numbers = solved.x * doubts
    rig = rig_on_path(path, freedom, numbers)
    cost = float(np.mean(solved.fun[: len(tracks.frame)] ** 2))
    return PathFit(rig=rig, freedom=freedom, numbers=numbers, cost=cost)
