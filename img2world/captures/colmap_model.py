"""COLMAP's models, as its own tools, 3DGS and nerfstudio lay them out.

Source: colmap.github.io, "Output Format": poses are camera from world with OpenCV's axes, quaternions are wxyz, and the
centre of the first pixel is (0.5, 0.5), as here.
"""

import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from img2world.captures.dataset import PICTURES, Layout, Points, Reader, dataset_root, require_pictures, thinned
from img2world.core.child_process import run_child
from img2world.core.errors import CameraError
from img2world.core.lens import Lens
from img2world.core.transforms import PosedPicture, check_pose

MODELS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "distorted/sparse/0", "dense/sparse", ".")
FOLDERS = (*PICTURES, "dense/images", "rgb", ".", "images_2", "images_4", "images_8")
"""Folders, relative to the dataset, of models and of pictures, the likeliest first."""

TIME_LIMIT = 600.0


def find_colmap_model(path: Path) -> tuple[Path, Reader] | None:
    """Return the folder of a model in a dataset and its reader; None where there is none.

    Of several models the one with the largest file of images is taken, which has the most.
    """
    for name in MODELS:
        folder = path / name
        is_numbered = name.endswith("0") and folder.parent.is_dir()
        candidates = [item for item in sorted(folder.parent.iterdir()) if item.name.isdecimal()] if is_numbered else []
        models = [item for item in (folder, *candidates) if _images_file(item) is not None]
        if not models:
            continue
        return max(models, key=_images_size), partial(read_colmap_model, root=dataset_root(path))
    return None


def _images_file(folder: Path) -> Path | None:
    """Return the file with the images of a model; None where there is no model."""
    for suffix in (".bin", ".txt"):
        if (folder / f"images{suffix}").is_file() and (folder / f"cameras{suffix}").is_file():
            return folder / f"images{suffix}"
    return None


def _images_size(folder: Path) -> int:
    """Return the size of the file with the images of a model."""
    file = _images_file(folder)
    return 0 if file is None else file.stat().st_size


def read_colmap_model(model: Path, root: Path) -> Layout:
    """Read a model in binary or text form, of pictures in a dataset at `root`.

    Raises CameraError when it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="img2world-") as folder:
        options = {"task": "model", "model": str(model), "folder": folder}
        run_child("img2world.captures.colmap_process", options, time_limit=TIME_LIMIT, error=CameraError)
        rows = json.loads((Path(folder) / "model.json").read_text())
        with np.load(Path(folder) / "points.npz") as arrays:
            points = Points(xyz=arrays["points"], colors=arrays["colors"])
    pictures = []
    for row in rows:
        lens = Lens(model=row["model"], params=tuple(row["params"]), width=row["width"], height=row["height"])
        cam_from_world = check_pose(np.array(row["cam_from_world"]), row["name"])
        # COLMAP on Windows may have written backslashes.
        name = row["name"].replace("\\", "/")
        pictures.append(PosedPicture(name=name, world_from_cam=np.linalg.inv(cam_from_world), lens=lens))
    require_pictures(pictures, model)
    return Layout(
        root=root,
        tool="COLMAP",
        camera_files=tuple(sorted(file for file in model.iterdir() if file.suffix in (".bin", ".txt"))),
        pictures=pictures,
        folders=tuple(root / name for name in FOLDERS),
        points=thinned(points) if len(points.xyz) else None,
    )
