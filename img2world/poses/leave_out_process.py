"""Bundle adjustment without parts of the tracks, in a child process: `python -m img2world.poses.leave_out_process`."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from img2world.core.child_process import answer
from img2world.core.progress import Progress
from img2world.poses.bundle_adjustment import adjust_near, build_model
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.reconstruction import configure_colmap
from img2world.poses.triangulation import mean_track_errors, triangulate
from img2world.tracking.tracks import Tracks

MAX_ERROR = 8.0
"""Pixels of frames 256 pixels wide. Tracks with a larger mean error before are wrong, and not used."""

MAX_ITERATIONS = 20
"""The cameras are good from the start: the focal length hardly changes after 5."""

POSITION_STD = 0.5
"""Standard deviation of a camera's position from that before, in mean distances of the cameras from their middle: this
keeps the scale, and hardly anything else."""


def adjust_without(options: dict, progress: Progress) -> None:
    """Write adjusted.npz: for each part k the arrays poses_k [V, 3, 4] and focal_k, in pixels; lens_errors [2].

    These are the median errors of all tracks with one focal length, and with one for each camera, if the option
    lenses is set. Other options: folder, parts, width, height. tracks.npz has the tracks and their labels, cameras.npz
    the cameras before. Parts without which a camera is lost are missing.
    """
    configure_colmap(0)
    folder = Path(options["folder"])
    with np.load(folder / "tracks.npz") as arrays:
        labels = arrays["labels"]
        tracks = Tracks(**{name: arrays[name] for name in arrays if name != "labels"})
    with np.load(folder / "cameras.npz") as arrays:
        cameras = CameraParameters(**dict(arrays))
    good = mean_track_errors(tracks, cameras) < MAX_ERROR * max(options["width"] / 256, 1.0)
    adjusted: dict[str, np.ndarray] = {}
    for done, part in enumerate(options["parts"], start=1):
        kept = tracks.select(good & (labels != part))
        if kept.count_per_frame(len(cameras)).min() > 0:
            adjusted |= {f"{name}_{part}": value for name, value in _adjust(kept, cameras, options).items()}
        progress(done, len(options["parts"]))
    if options["lenses"]:
        errors = [_error(tracks.select(good), cameras, options, own_lenses=own) for own in (False, True)]
        adjusted["lens_errors"] = np.array(errors)
    np.savez(folder / "adjusted.npz", allow_pickle=False, **adjusted)


def _error(tracks: Tracks, cameras: CameraParameters, options: dict, *, own_lenses: bool) -> float:
    """Return the median error of all tracks after bundle adjustment; infinite where a camera is lost."""
    kept = tracks.count_per_frame(len(cameras)).min() > 0
    found = _adjust(tracks, cameras, options, own_lenses=own_lenses) if kept else {}
    if not found:
        return float("inf")
    focal = np.broadcast_to(found["focal"], len(cameras))
    adjusted = replace(cameras, cam_from_world=found["poses"], focal=np.stack([focal, focal], 1))
    return float(np.median(mean_track_errors(tracks, adjusted)))


def _adjust(
    tracks: Tracks, cameras: CameraParameters, options: dict, *, own_lenses: bool = False
) -> dict[str, np.ndarray]:
    """Return poses and focal length, or one of each camera, after bundle adjustment; empty where a camera is lost."""
    import pycolmap

    lenses = [
        pycolmap.Camera(
            model="SIMPLE_PINHOLE",
            width=options["width"],
            height=options["height"],
            params=[float(cameras.focal[i, 0]), *cameras.principal_point[i].tolist()],
        )
        for i in range(len(cameras) if own_lenses else 1)
    ]
    model = build_model(tracks, cameras.cam_from_world, triangulate(tracks, cameras), lenses)
    spread = float(np.linalg.norm(cameras.centers - cameras.centers.mean(0), axis=1).mean())
    adjust_near(model, POSITION_STD * max(spread, 1e-6), refine_focal=True, max_iterations=MAX_ITERATIONS)
    poses = np.stack([model.image(i + 1).cam_from_world().matrix() for i in range(len(cameras))])
    focal = np.array([model.cameras[i + 1].mean_focal_length() for i in range(len(lenses))])
    is_sound = np.isfinite(poses).all() and (focal > 0).all()
    return {"poses": poses, "focal": focal if own_lenses else focal[0]} if is_sound else {}


if __name__ == "__main__":
    answer(adjust_without)
