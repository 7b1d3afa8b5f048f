"""Where several fixed cameras stand: from a posed dataset of one picture each, LLFF's poses_bounds.npy, or a path."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float64

from img2world.captures.dataset import Layout, Points, find_layout, read_transforms
from img2world.core.camera_paths import load_trajectory
from img2world.core.errors import CameraError
from img2world.core.lens import PINHOLE, Lens
from img2world.core.natural_order import natural_key
from img2world.core.transforms import PosedPicture, check_pose

POSES_BOUNDS = "poses_bounds.npy"
"""File of LLFF, which the Neural 3D Video dataset has, too."""

HINT = "give one camera for each video, named as it is, in transforms.json or a COLMAP model, or leave it out"


def read_layout(root: Path, size: tuple[int, int]) -> Layout:
    """Read the camera file of a folder, or itself, of pictures that need not exist; `size` is that of unknown ones.

    Raises CameraError when there is none or it cannot be used.
    """
    found = find_layout(root)
    if found is None:
        raise CameraError(f"there is no camera file: {root}", hint=HINT)
    place, reader = found
    return read_transforms(place, size) if place.suffix.lower() == ".json" and place.is_file() else reader(place)


def match_names(pictures: Sequence[PosedPicture], names: list[str]) -> dict[str, PosedPicture]:
    """Return the camera of each name: that of the only picture with this name, or in a folder of this name."""
    for part in (lambda path: path.stem, lambda path: path.name, lambda path: path.parent.name):
        keys = [part(PurePosixPath(picture.name)) for picture in pictures]
        found = {key: picture for key, picture in zip(keys, pictures, strict=True) if key in names}
        if found and all(keys.count(key) == 1 for key in found):
            return found
    return {}


def viewpoint_cameras(
    root: Path, names: list[str], size: tuple[int, int], told: Path | None = None
) -> tuple[dict[str, PosedPicture], Points | None]:
    """Return the cameras of fixed viewpoints by their names, and points of the scene where they are known.

    `size` is the width and height of the pictures. `told` is a camera file or a path with one camera each. None at all
    are returned where nothing tells. Raises CameraError when what tells does not fit.
    """
    if told is not None:
        return _told(told, names, size), None
    if (root / POSES_BOUNDS).is_file():
        return _llff(root / POSES_BOUNDS, names, size), None
    if not root.is_dir() or find_layout(root) is None:
        return {}, None
    layout = read_layout(root, size)
    return match_names(layout.pictures, names), layout.points


def _told(path: Path, names: list[str], size: tuple[int, int]) -> dict[str, PosedPicture]:
    """Return the cameras of a dataset by name, or those of a path in its order."""
    if path.is_dir() or path.suffix.lower() == ".json":
        try:
            found = match_names(read_layout(path, size).pictures, names)
        except CameraError:
            if path.is_dir():
                raise
            found = {}
        if len(found) >= 2:
            return found
    cameras = load_trajectory(path, size)
    if len(cameras) != len(names):
        raise CameraError(
            f"there are {len(cameras)} cameras for {len(names)} viewpoints: {path}", hint="give one camera for each"
        )
    lenses = [
        Lens(
            model=PINHOLE,
            params=tuple(k[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()),
            width=cameras.width,
            height=cameras.height,
        )
        for k in cameras.intrinsics.astype(np.float64)
    ]
    poses = cameras.world_from_cam.astype(np.float64)
    return {
        name: PosedPicture(name=name, world_from_cam=pose, lens=lens)
        for name, pose, lens in zip(names, poses, lenses, strict=True)
    }


def _llff(path: Path, names: list[str], size: tuple[int, int]) -> dict[str, PosedPicture]:
    """Return the cameras of a poses_bounds.npy, in the order of the names.

    Source: Mildenhall et al. 2019, "Local Light Field Fusion", github.com/Fyusion/LLFF: rows of a 3 x 5 matrix of the
    axes down, right and backwards, the position, and height, width and focal length, then near and far.
    """
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CameraError(f"the camera file cannot be read: {error} ({path})", hint=HINT) from error
    if rows.ndim != 2 or rows.shape[1] != 17 or len(rows) != len(names):
        raise CameraError(
            f"the camera file has shape {rows.shape}, needs ({len(names)}, 17) for {len(names)} viewpoints: {path}",
            hint=HINT,
        )
    found = {}
    for name, row in zip(sorted(names, key=natural_key), rows.astype(np.float64), strict=True):
        matrix: Float64[np.ndarray, "3 5"] = row[:15].reshape(3, 5)
        down, right, backwards, center, (height, width, focal) = matrix.T
        pose = np.column_stack([right, down, -backwards, center])
        lens = Lens(
            model=PINHOLE,
            params=(focal, focal, width / 2, height / 2),
            width=round(width) or size[0],
            height=round(height) or size[1],
        )
        found[name] = PosedPicture(name=name, world_from_cam=check_pose(pose, name), lens=lens)
    return found
