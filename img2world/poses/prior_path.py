"""Cameras of a video whose generator was asked for a path, which it followed only approximately."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from img2world.core.errors import PoseError
from img2world.poses.estimate import (
    CLEAR_GAIN,
    HELD_OUT_FRACTION,
    OPPOSITE,
    PathEstimate,
    PoseEstimate,
    held_out_cost,
    select_model,
)
from img2world.poses.fit import PathFit, fit_path
from img2world.poses.path_model import ELEVATION_ONLY, CameraPath, FreeParameters, cameras_on_path, reverse_path
from img2world.poses.visual_hull import predict_hull_flow
from img2world.tracking.flow import GrayFrames, track_by_flow
from img2world.tracking.tracks import Tracks

MAX_TRACKS = 800
"""More take time without adding accuracy, because neighbouring tracks have similar errors."""

MIN_TRACKS = 30
"""Fewer do not decide between paths."""

COARSE_LEVELS = (2, 1)
"""The direction is decided in two rounds of tracking and fitting, with flow at a quarter and at half of the size."""

MAX_COARSE_TRACKS = 300
"""Tracks by which the direction is decided."""

LOST_COST = 2.0
"""Robust cost charged for a point that could not be followed: that of an error of four pixels."""

UNCONFIRMED = "the frames determine elevation and focal length no better than the requested camera path does"
"""Caveat of a path without free parameters."""

TrackFinder = Callable[[PathFit | None, int], Tracks]
"""A function that tracks points with the help of a fit, using flow down to the given pyramid level."""


def fit_prior_path(
    frames: GrayFrames,
    path: CameraPath,
    random: np.random.Generator,
    *,
    max_harmonics: int = 2,
    name: str = "commanded",
    caveat: str = UNCONFIRMED,
) -> PathEstimate:
    """Fit a prior path with as many free parameters as held-out tracks support, in the direction that fits better.

    A path that needs no free parameters is reported as `name`, with `caveat`. Raises PoseError when too few points
    can be followed.
    """
    paths = {False: path, True: reverse_path(path)}
    shared = track_by_flow(frames, closed=path.closed, finest_level=COARSE_LEVELS[-1]) if frames.masks is None else None
    finders = {key: _track_finder(frames, each, shared) for key, each in paths.items()}
    coarse = {key: _fit_coarsely(each, finders[key], random, max_harmonics) for key, each in paths.items()}
    coarse = _charge_lost_points(coarse)
    is_reversed = _prefers_reversed(coarse[False], coarse[True])
    best, other = coarse[is_reversed], coarse[not is_reversed]
    tracks = _track_finder(frames, paths[is_reversed], None)(best.fit, 0)
    fitted, held_out = split_tracks(tracks, random)
    fits = _fit_nested_models(paths[is_reversed], fitted, best.fit, max_harmonics)
    costs = [held_out_cost(held_out, fit.cameras, path.width) for fit in fits]
    chosen = select_model(fits, costs)
    next_best = min(cost for i, cost in enumerate(costs) if i != chosen)
    count = len(fits[chosen].values)
    estimate = PoseEstimate(
        solver=(f"orbit ({count} parameters)" if count else name) + (", reversed" if is_reversed else ""),
        cameras=fits[chosen].cameras,
        placed=np.arange(len(path)),
        at_limit=fits[chosen].at_limit,
        caveat="" if count else caveat,
        margins={
            OPPOSITE: other.cost / max(best.cost, 1e-9) - 1,
            "next model": next_best / max(costs[chosen], 1e-9) - 1,
        },
    )
    return PathEstimate(estimate=estimate, cost=costs[chosen], fitted=fitted, held_out=held_out)


@dataclass(frozen=True, kw_only=True)
class _CoarseFit:
    """A first fit in one direction, and its held-out cost on tracks found with its help."""

    fit: PathFit
    cost: float
    num_tracks: int


def _fit_coarsely(
    path: CameraPath, find_tracks: TrackFinder, random: np.random.Generator, max_harmonics: int
) -> _CoarseFit:
    """Fit elevation and focal length, and one harmonic where that is clearly better."""
    fit = None
    for finest_level in COARSE_LEVELS:
        tracks = find_tracks(fit, finest_level)
        fitted, held_out = split_tracks(tracks, random, MAX_COARSE_TRACKS)
        fit = fit_path(fitted, path, FreeParameters(), start=None if fit is None else fit.values)
    assert fit is not None
    fits = [fit]
    for free in (
        (FreeParameters(harmonics=1, modulated=ELEVATION_ONLY), FreeParameters(harmonics=1)) if max_harmonics else ()
    ):
        fits.append(fit_path(fitted, path, free, start=_start_values(fits[-1], free)))
    costs = [held_out_cost(held_out, each.cameras, path.width) for each in fits]
    chosen = select_model(fits, costs)
    return _CoarseFit(fit=fits[chosen], cost=costs[chosen], num_tracks=len(tracks))


def _charge_lost_points(coarse: dict[bool, _CoarseFit]) -> dict[bool, _CoarseFit]:
    """Charge each direction for the points that only the other could follow."""
    most = max(each.num_tracks for each in coarse.values())
    return {
        key: replace(each, cost=(each.cost * each.num_tracks + LOST_COST * (most - each.num_tracks)) / most)
        for key, each in coarse.items()
    }


def _prefers_reversed(prior: _CoarseFit, reverse: _CoarseFit) -> bool:
    """Tell whether the video goes around in the opposite of the requested direction.

    Seen from afar, a rotating object and its mirror image that rotates the other way look the same (the Necker
    reversal). The mirror image fits nearly as well, but its focal length runs to the limit.
    """
    if prior.fit.at_limit != reverse.fit.at_limit:
        return prior.fit.at_limit
    return reverse.cost < (1 - CLEAR_GAIN) * prior.cost


def _fit_nested_models(path: CameraPath, fitted: Tracks, start: PathFit, max_harmonics: int) -> list[PathFit]:
    """Fit models from no free parameters to many."""
    none = FreeParameters(names=())
    fits = [PathFit(cameras=cameras_on_path(path, none, np.zeros(0)), free=none, values=np.zeros(0))]
    # The principal point is not free together with harmonics: the two can imitate a different elevation.
    for free in (
        FreeParameters(),
        FreeParameters(names=("elevation", "focal", "principal_point", *(() if path.closed else ("arc",)))),
        *(FreeParameters(harmonics=count, modulated=ELEVATION_ONLY) for count in range(1, max_harmonics + 1)),
        *(FreeParameters(harmonics=count) for count in range(1, max_harmonics + 1)),
    ):
        fits.append(fit_path(fitted, path, free, start=_start_values(start, free)))
    return fits


def _start_values(fit: PathFit, free: FreeParameters) -> np.ndarray:
    """Return the values [N] of a fit for other free parameters; 0 for those that it does not have."""
    known = dict(zip(fit.free.labels, fit.values.tolist(), strict=True))
    return np.array([known.get(label, 0.0) for label in free.labels])


def _track_finder(frames: GrayFrames, path: CameraPath, shared: Tracks | None) -> TrackFinder:
    """Return a function that tracks points by flow, starting from that of the visual hull where there are masks."""

    def find_tracks(fit: PathFit | None, finest_level: int) -> Tracks:
        if shared is not None:
            return shared
        initial_flow = None
        if frames.masks is not None:
            cameras = cameras_on_path(path, FreeParameters(names=()), np.zeros(0)) if fit is None else fit.cameras
            initial_flow = predict_hull_flow(frames.masks, cameras, frames.scale)
        return track_by_flow(frames, closed=path.closed, initial_flow=initial_flow, finest_level=finest_level)

    return find_tracks


def split_tracks(tracks: Tracks, random: np.random.Generator, max_tracks: int = MAX_TRACKS) -> tuple[Tracks, Tracks]:
    """Split tracks into those to fit to and those held out, at most `max_tracks` each.

    Raises PoseError when there are fewer than `MIN_TRACKS`.
    """
    if len(tracks) < MIN_TRACKS:
        raise PoseError(
            f"only {len(tracks)} points could be followed through the frames, needs {MIN_TRACKS}",
            hint="the frames need texture and small steps from one to the next: ask the generator for more frames",
        )
    fitted, held_out = tracks.split(HELD_OUT_FRACTION, random)
    return _subsample(fitted, random, max_tracks), _subsample(held_out, random, max_tracks)


def _subsample(tracks: Tracks, random: np.random.Generator, max_tracks: int) -> Tracks:
    """Return at most `max_tracks` tracks, chosen at random."""
    return tracks.select(random.permutation(len(tracks)) < max_tracks)
