"""Search for a circular path around an object when no path is given: direction, elevation and lens are tried."""

from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.poses.estimate import SHORTER_LENS, PathEstimate, held_out_cost
from img2world.poses.fit import fit_path
from img2world.poses.path_model import CameraPath, FreeParameters, path_from_cameras, reverse_path
from img2world.poses.prior_path import COARSE_LEVELS, MAX_COARSE_TRACKS, fit_prior_path, split_tracks
from img2world.tracking.flow import GrayFrames, track_by_flow
from img2world.tracking.tracks import Tracks

ELEVATIONS_DEG = (-10.0, 10.0, 30.0)
FOVS_DEG = (25.0, 45.0)
"""Starting values; the fit finds what lies between them."""

ARCS_DEG = (60.0, 120.0, 200.0, 300.0)
"""Starting values for the arc of a camera that does not return to its first position."""

MAX_SEAM_DIFFERENCE = 2.0
"""The path is closed when first and last frame differ by less than so many times the usual difference of neighbours."""

SAME_VIEW_DIFFERENCE = 0.35
"""They show the same view when they differ by less than this."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """The path fitted from one start, and its cost."""

    path: CameraPath
    cost: float
    at_limit: bool


def search_circle(
    frames: Frames, gray_frames: GrayFrames, random: np.random.Generator, *, max_harmonics: int
) -> PathEstimate:
    """Find the best circle and fit it as a prior path.

    Raises PoseError when the frames show no object in front of a plain background, or too few points are followed.
    """
    if gray_frames.masks is None:
        raise PoseError(
            "no camera path was given, and the frames show no object in front of a plain background",
            hint="try another solver with --set poses.name=auto",
        )
    closed = _is_closed(frames)
    tracks = track_by_flow(gray_frames, closed=closed, finest_level=COARSE_LEVELS[-1])
    fitted, held_out = split_tracks(tracks, random, MAX_COARSE_TRACKS)
    trials = [_try_start(path, fitted, held_out) for path in _start_paths(frames, closed)]
    best = min(trials, key=lambda trial: (trial.at_limit, trial.cost))
    found = fit_prior_path(gray_frames, best.path, random, max_harmonics=max_harmonics, name="circle", caveat="")
    margins = {**found.estimate.margins, SHORTER_LENS: _shorter_lens_margin(found, frames, closed)}
    return replace(found, estimate=replace(found.estimate, margins=margins))


def _shorter_lens_margin(found: PathEstimate, frames: Frames, closed: bool) -> float:
    """Return by what fraction half the focal length fits worse, with the elevation and arc that suit it best.

    Where the frames are too distorted to tell lenses apart, they do not tell the elevation either.
    """
    height, width = frames.rgb.shape[1:3]
    same = path_from_cameras(found.estimate.cameras.to_cameras(width, height), closed=closed)
    free = FreeParameters(names=("elevation",) if closed else ("elevation", "arc"))
    shorter = fit_path(found.fitted, replace(same, focal=same.focal / 2), free, max_iterations=12)
    cost = held_out_cost(found.fitted, found.estimate.cameras, width)
    return held_out_cost(found.fitted, shorter.cameras, width) / max(cost, 1e-9) - 1


def _start_paths(frames: Frames, closed: bool) -> list[CameraPath]:
    """Return the circles and arcs to start from, in both directions."""
    arcs = (2 * np.pi * _closed_fraction(frames),) if closed else tuple(np.radians(ARCS_DEG))
    count, (height, width) = len(frames), frames.rgb.shape[1:3]
    paths = []
    for arc, elevation, fov in product(arcs, np.radians(ELEVATIONS_DEG), np.radians(FOVS_DEG)):
        intrinsics = intrinsics_from_fov(float(fov), width, height)
        cameras = Cameras(
            world_from_cam=on_sphere(np.linspace(0, arc, count), np.full(count, elevation)),
            intrinsics=np.repeat(intrinsics[None], count, 0),
            width=width,
            height=height,
        )
        path = path_from_cameras(cameras, closed=closed)
        paths += [path, reverse_path(path)]
    return paths


def _try_start(path: CameraPath, fitted: Tracks, held_out: Tracks) -> _Trial:
    """Fit elevation, focal length and, of an open path, arc from one start."""
    free = FreeParameters() if path.closed else FreeParameters(names=("elevation", "focal", "arc"))
    fit = fit_path(fitted, path, free, max_iterations=12)
    moved = replace(
        path,
        elevations=path.elevations + fit.values[0],
        focal=path.focal * np.exp(fit.values[1]),
        azimuths=path.azimuths * (1.0 if path.closed else np.exp(fit.values[2])),
    )
    return _Trial(path=moved, cost=held_out_cost(held_out, fit.cameras, path.width), at_limit=fit.at_limit)


def _frame_differences(frames: Frames) -> tuple[float, float]:
    """Return the median difference of neighbouring frames and that of first and last, in grey levels."""
    rgb = frames.rgb.astype(np.float32)
    neighbors = [float(np.abs(a - b).mean()) for a, b in pairwise(rgb)]
    return float(np.median(neighbors)), float(np.abs(rgb[0] - rgb[-1]).mean())


def _is_closed(frames: Frames) -> bool:
    """Tell whether the last frame is a neighbour of the first."""
    usual, seam = _frame_differences(frames)
    return seam < MAX_SEAM_DIFFERENCE * usual


def _closed_fraction(frames: Frames) -> float:
    """Return the fraction of the circle between first and last frame: all of it when they show the same view."""
    usual, seam = _frame_differences(frames)
    return 1.0 if seam < SAME_VIEW_DIFFERENCE * usual else (len(frames) - 1) / len(frames)
