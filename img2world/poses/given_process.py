"""Adjusting given cameras by COLMAP, in a child process: `python -m img2world.poses.given_process`.

It runs in a process of its own for the reasons given in `poses.colmap_process`.
"""

from pathlib import Path

import numpy as np

from img2world.core.child_process import answer
from img2world.core.progress import Progress
from img2world.poses.bundle_adjustment import adjust_near, build_model
from img2world.poses.reconstruction import configure_colmap
from img2world.tracking.tracks import Tracks

PRIOR_STD = 0.02
"""Standard deviation of the position of a given camera, in distances of the first from what all look at."""


def adjust(options: dict, progress: Progress) -> None:
    """Write adjusted.npy, cam_from_world [V, 3, 4]: poses that fit the tracks, near the given ones.

    Options: folder, with tracks.npz and given.npz (cam_from_world, intrinsics [V, 4] as fx fy cx cy, points), width,
    height, seed. Intrinsics are kept.
    """
    import pycolmap

    configure_colmap(options["seed"])
    folder = Path(options["folder"])
    with np.load(folder / "tracks.npz") as arrays:
        tracks = Tracks(**dict(arrays))
    with np.load(folder / "given.npz") as arrays:
        cam_from_world, intrinsics, points = arrays["cam_from_world"], arrays["intrinsics"], arrays["points"]
    size = {"width": options["width"], "height": options["height"]}
    cameras = [pycolmap.Camera(model="PINHOLE", params=params, **size) for params in intrinsics]
    model = build_model(tracks, cam_from_world, points, cameras)
    adjust_near(model, PRIOR_STD, refine_focal=False)
    poses = [model.image(i).cam_from_world().matrix() for i in range(1, len(cam_from_world) + 1)]
    np.save(folder / "adjusted.npy", np.stack(poses))
    progress(1, 1)


if __name__ == "__main__":
    answer(adjust)
