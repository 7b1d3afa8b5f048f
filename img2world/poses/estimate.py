"""The value that solvers return, and the choice between models by tracks that were held out."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.fit import PathFit, cauchy_loss, loss_scale
from img2world.poses.triangulation import reprojection_errors
from img2world.tracking.tracks import Tracks

HELD_OUT_FRACTION = 0.25
"""Fraction of the tracks that no solver uses."""

CLEAR_GAIN = 0.08
"""Fraction of the held-out cost that a model with many more free parameters must save to be preferred."""

GAIN_PER_PARAMETER = 0.02
"""The same for each additional parameter where there are few: fitting a frame's distortion gains as much."""

OPPOSITE, SHORTER_LENS = "opposite direction", "half the focal length"
"""Names of the alternative estimates that grades depend on."""


@dataclass(frozen=True, kw_only=True)
class PoseEstimate:
    """Estimated cameras of some frames."""

    solver: str
    cameras: CameraParameters
    """Cameras of the placed frames."""
    placed: Int64[np.ndarray, "K"]
    """Indices of the frames that have a camera, ascending."""
    at_limit: bool = False
    """True if a parameter such as the focal length reached its limit."""
    margins: dict[str, float] = field(default_factory=dict)
    """Relative increase of the held-out cost of alternative estimates."""
    caveat: str = ""
    """A reason to doubt the cameras that no track can refute; empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class PathEstimate:
    """Cameras on a parametric path, with the tracks that they were fitted to and those held out."""

    estimate: PoseEstimate
    cost: float
    """Mean robust cost of the held-out observations."""
    fitted: Tracks
    held_out: Tracks


def held_out_cost(tracks: Tracks, cameras: CameraParameters, width: int) -> float:
    """Return the mean robust cost of held-out observations in frames of this width; infinite without observations.

    0 is perfect, 0.7 the cost of an error of the loss's scale (`fit.loss_scale`).
    """
    if len(tracks) == 0:
        return float("inf")
    return float(cauchy_loss(reprojection_errors(tracks, cameras), loss_scale(width)).mean())


def select_model(fits: list[PathFit], costs: list[float]) -> int:
    """Return the index of the fit to use, of models with ascending numbers of parameters.

    A model with more parameters must lower the held-out cost clearly.
    """
    chosen = 0
    for i, cost in enumerate(costs):
        more = len(fits[i].values) - len(fits[chosen].values)
        if cost < (1 - min(CLEAR_GAIN, GAIN_PER_PARAMETER * more)) * costs[chosen]:
            chosen = i
    return chosen
