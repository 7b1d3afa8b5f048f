"""A circle around an object, when nobody has told the path: direction, height and lens are tried out."""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.poses.estimate import held_out_cost
from img2world.poses.fit import fit_path
from img2world.poses.path_model import Freedom, Path, path_from_cameras, reversed_path
from img2world.poses.prior_path import COARSE, FEW_TRACKS, ToldAnswer, divided, solve_told_path
from img2world.tracking.flow import Greys, flow_tracks
from img2world.tracking.tracks import Tracks

ELEVATIONS_DEG = (-10.0, 10.0, 30.0)
FOVS_DEG = (25.0, 45.0)
"""Tried as starts; what lies between is found by the fit."""

ARCS_DEG = (60.0, 120.0, 200.0, 300.0)
"""How far a camera may go round that does not come back to where it began."""

CLOSING = 2.0
"""The last frame is a neighbour of the first when it differs so many times as much as neighbours do, or less."""

SAME = 0.35
"""It is the same view when it differs so much less than neighbours do."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """A start, and how well the fit from it does."""

    path: Path
    cost: float
    at_limit: bool


def find_circle(frames: Frames, greys: Greys, random: np.random.Generator, *, max_waves: int) -> ToldAnswer:
    """The best circle, as if it had been told. Raises PoseError without an object before a plain colour."""
    if greys.masks is None:
        raise PoseError(
            "no path was told, and the frames show no object before a plain background",
            hint="use the colmap or flow-colmap pose backend, or give the path with trajectory.name=file",
        )
    closed = _is_closed(frames)
    tracks = flow_tracks(greys, closed=closed, finest=COARSE[-1])
    fitted, held_out = divided(tracks, random, FEW_TRACKS)
    trials = [_trial(path, fitted, held_out) for path in _starts(frames, closed)]
    best = min(trials, key=lambda trial: (trial.at_limit, trial.cost))
    return solve_told_path(greys, best.path, random, max_waves=max_waves, called="circle", doubt="")


def _starts(frames: Frames, closed: bool) -> list[Path]:
    """Circles to try."""
    arcs = (2 * np.pi,) if closed else tuple(np.radians(ARCS_DEG))
    count, (height, width) = len(frames), frames.rgb.shape[1:3]
    paths = []
    for arc, elevation, fov in product(arcs, np.radians(ELEVATIONS_DEG), np.radians(FOVS_DEG)):
        last = arc * (_last_share(frames) if closed else 1.0)
        azimuths = np.linspace(0, last, count)
        intrinsics = intrinsics_from_fov(float(fov), width, height)
        cameras = Cameras(
            world_from_cam=on_sphere(azimuths, np.full(count, elevation)),
            intrinsics=np.repeat(intrinsics[None], count, 0),
            width=width,
            height=height,
        )
        path = path_from_cameras(cameras, closed=closed)
        paths += [path, reversed_path(path)]
    return paths


def _trial(path: Path, fitted: Tracks, held_out: Tracks) -> _Trial:
    """The fit from one start, with the numbers it found told."""
    freedom = Freedom() if path.closed else Freedom(names=("elevation", "focal", "arc"))
    fit = fit_path(fitted, path, freedom, rounds=12)
    moved = Path(
        **{
            **vars(path),
            "elevations": path.elevations + fit.numbers[0],
            "focal": path.focal * np.exp(fit.numbers[1]),
            "azimuths": path.azimuths * (1.0 if path.closed else np.exp(fit.numbers[2])),
        }
    )
    return _Trial(path=moved, cost=held_out_cost(held_out, fit.rig, path.width), at_limit=fit.at_limit)


def _differences(frames: Frames) -> tuple[float, float]:
    """How much neighbouring frames differ, and the first from the last, in grey levels."""
    rgb = frames.rgb.astype(np.float32)
    neighbours = [float(np.abs(a - b).mean()) for a, b in pairwise(rgb)]
    return float(np.median(neighbours)), float(np.abs(rgb[0] - rgb[-1]).mean())


def _is_closed(frames: Frames) -> bool:
    """Whether the last frame is next to the first."""
    usual, seam = _differences(frames)
    return seam < CLOSING * usual


def _last_share(frames: Frames) -> float:
    """How much of the circle the last frame has gone: all of it where it shows the first again."""
    usual, seam = _differences(frames)
    return 1.0 if seam < SAME * usual else (len(frames) - 1) / len(frames)
