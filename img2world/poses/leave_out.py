"""Parts of a scene that fit its cameras only because these were fitted to them: they may move by themselves.

Where a camera moves and something else moves too, cameras can be found that explain both, with a wrong lens and bent
paths. Cameras that were found without a part of a rigid scene explain that part nearly as well; those that were found
without what moves do not.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int32

from img2world.core.child_process import run_child
from img2world.core.errors import PoseError
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.triangulation import mean_track_errors
from img2world.tracking.tracks import Tracks

NUM_PARTS = 6
"""Parts into which the tracks are divided, by where they are in the picture and how they move."""

MIN_SHARE = 0.04
"""Fraction of the tracks from which a part is left out."""

MIN_LENGTH = 4
"""Shorter tracks fit nearly any cameras."""

MAX_OBSERVATIONS = 16_000
"""Number of observations of which bundle adjustment is quick; of more, tracks are drawn at random."""

USUAL_ERROR = 0.7
"""Pixels of frames 256 pixels wide. Smaller errors of the rest count as this: of clean frames, they are nearly 0."""

MAX_RATIO, MIN_LARGE_SHARE = 1.5, 0.1
"""Ratio from which a large part, of this fraction of the tracks, makes cameras doubtful. In rigid rooms the largest is
1.2 to 1.45; small parts at the edge have up to 2.3, since cameras found without them extrapolate."""

MOVING_RATIO = 3.0
"""Ratio from which any part moves by itself: passers-by have 3.3 and more."""

VELOCITY_WEIGHT = 0.25
"""Weight of the fastest tracks' velocity beside the width of the picture."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One part of the tracks, and cameras that were found without it."""

    tracks: Bool[np.ndarray, "T"]
    """True for the tracks of the part."""
    share: float
    """Fraction of all tracks that were divided."""
    ratio: float
    """Median error of the part's tracks with these cameras, relative to that of the others."""
    cameras: CameraParameters

    @property
    def is_doubtful(self) -> bool:
        """True if cameras that rest on the part are."""
        return self.ratio > (MAX_RATIO if self.share >= MIN_LARGE_SHARE else MOVING_RATIO)


@dataclass(frozen=True, kw_only=True)
class Support:
    """Cameras found without single parts of the tracks, and what a lens of its own for each frame would gain."""

    parts: list[LeftOut]
    """The least explained part first."""
    lens_gain: float = 0.0
    """Fraction by which errors fall when each frame has a focal length of its own."""


def examine_support(
    tracks: Tracks, cameras: CameraParameters, width: int, height: int, *, lenses: bool = True, seed: int = 0
) -> Support:
    """Find cameras without each part of the tracks and, with `lenses`, with a focal length for each frame.

    The frames have the given size in pixels; all cameras get the intrinsics of the first. Parts without which no
    cameras are found are left out, and so is everything when there are too few tracks.
    """
    rng = np.random.default_rng(seed)
    usable = tracks.lengths >= MIN_LENGTH
    too_many = tracks.lengths[usable].sum() / MAX_OBSERVATIONS
    usable &= rng.random(len(tracks)) * too_many < 1
    labels = np.full(len(tracks), -1, np.int32)
    if usable.sum() < 10 * NUM_PARTS:
        return Support(parts=[])
    labels[usable] = _divide(tracks.select(usable), width, seed)
    parts = [part for part in range(NUM_PARTS) if (labels == part).sum() >= MIN_SHARE * usable.sum()]
    found = []
    options = {"parts": parts, "width": width, "height": height, "lenses": lenses}
    adjusted, lens_gain = _adjust_without(tracks.select(usable), cameras, labels[usable], options)
    for part, without in adjusted.items():
        errors = mean_track_errors(tracks, without)
        chosen, others = labels == part, usable & (labels != part)
        usual = max(float(np.median(errors[others])), USUAL_ERROR * max(width / 256, 1.0))
        ratio = float(np.median(errors[chosen])) / usual
        share = float(chosen.sum() / usable.sum())
        found.append(LeftOut(tracks=chosen, share=share, ratio=ratio, cameras=without))
    return Support(parts=sorted(found, key=lambda part: -part.ratio), lens_gain=lens_gain)


def _divide(tracks: Tracks, width: int, seed: int) -> Int32[np.ndarray, "T"]:
    """Return the part of each track: k-means of its mean position and its mean velocity."""
    from scipy.cluster.vq import kmeans2

    last = tracks.starts + tracks.lengths - 1
    middles = np.add.reduceat(tracks.xy, tracks.starts) / tracks.lengths[:, None]
    velocities = (tracks.xy[last] - tracks.xy[tracks.starts]) / (tracks.lengths[:, None] - 1)
    fastest = max(float(np.percentile(np.abs(velocities), 90)), 1e-6)
    features = np.concatenate([middles / width, VELOCITY_WEIGHT * velocities / fastest], 1)
    return kmeans2(features, NUM_PARTS, minit="++", rng=np.random.default_rng(seed))[1]


def _adjust_without(
    tracks: Tracks, cameras: CameraParameters, labels: Int32[np.ndarray, "T"], options: dict
) -> tuple[dict[int, CameraParameters], float]:
    """Return the cameras after bundle adjustment without each part, by part, where there are any, and the lens gain.

    The options are those of `leave_out_process`, without its folder.
    """
    with tempfile.TemporaryDirectory(prefix="img2world-") as name:
        folder = Path(name)
        np.savez(folder / "tracks.npz", labels=labels, **vars(tracks))
        np.savez(folder / "cameras.npz", **vars(cameras))
        run_child("img2world.poses.leave_out_process", {**options, "folder": name}, error=PoseError)
        with np.load(folder / "adjusted.npz") as arrays:
            poses: dict[int, Float64[np.ndarray, "V 3 4"]] = {
                part: arrays[f"poses_{part}"] for part in options["parts"] if f"poses_{part}" in arrays
            }
            one, each = arrays["lens_errors"].tolist() if options["lenses"] else (0.0, 0.0)
            gain = 1 - each / one if 0 < one < np.inf else 0.0
            without = {
                part: CameraParameters(
                    cam_from_world=pose,
                    focal=np.full_like(cameras.focal, float(arrays[f"focal_{part}"])),
                    principal_point=np.broadcast_to(cameras.principal_point[0], cameras.principal_point.shape),
                )
                for part, pose in poses.items()
            }
            return without, gain
