"""COLMAP's models and lenses, in a child process: `python -m img2world.captures.colmap_process`.

It runs in a process of its own because pycolmap may crash on bad input, prints to the terminal, and corrupts the memory
of a process that also writes PNG files with Pillow.
"""

import json
import resource
from pathlib import Path

import numpy as np

from img2world.core.child_process import answer
from img2world.core.errors import CameraError
from img2world.core.progress import Progress

MIN_TRACK_LENGTH = 3
"""Pictures that must see a point, where enough points are seen by as many."""

MIN_POINTS = 100

FOCAL_RATIOS, MAX_EXTRA_PARAM = (0.05, 100.0), 100.0
"""Plausible focal lengths in longest sides of the picture, and the largest coefficient of distortion; pycolmap reads
numbers beyond the end of a file."""

MIN_MEMORY, MEMORY_PER_BYTE = 256 << 20, 32
"""Bytes that reading any model may take, and more for each byte of its files: a few times that in memory."""

FILES = ("cameras", "images", "points3D", "rigs", "frames")
"""Files of a model; points are often removed, and the last two are new in COLMAP 3.12."""

NAME, BLANK = 9, "\x1f"
"""Column of the name in images.txt, and what stands for a blank in it, where pycolmap would end the name."""

MAX_GROWTH = 1.25
"""Largest side of an undistorted picture in sides of the original: the rims of fisheye pictures stretch without end."""


def do_task(options: dict, progress: Progress) -> None:
    """Do what `options` ask for: read a "model" or find how to "undistort" pictures."""
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    tasks = {"model": read_model, "undistort": undistort_lenses}
    tasks[options["task"]](options)


def read_model(options: dict) -> None:
    """Write model.json, the placed images with their poses and lenses, and points.npz. Options: model, folder."""
    import pycolmap

    limit_memory(sum(file.stat().st_size for file in Path(options["model"]).iterdir() if file.is_file()))
    folder = Path(options["folder"])
    try:
        model = pycolmap.Reconstruction(_readable(Path(options["model"]), folder))
        images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    except (ValueError, RuntimeError, IndexError, KeyError, MemoryError) as error:
        raise CameraError(
            f"COLMAP's model cannot be read: {' '.join(str(error).split())[:200]} ({options['model']})",
            hint="needs cameras, images and points3D as .bin or .txt; export the model again",
        ) from error
    rows = []
    for image in images:
        camera = model.camera(image.camera_id)
        if not camera.verify_params() or camera.has_bogus_params(*FOCAL_RATIOS, MAX_EXTRA_PARAM):
            raise CameraError(
                f"camera {image.camera_id} of COLMAP's model is no lens, it has parameters "
                f"{np.asarray(camera.params).tolist()} ({options['model']})",
                hint="the model is damaged, export it again",
            )
        rows.append(
            {
                "name": image.name.replace(BLANK, " "),
                "cam_from_world": np.asarray(image.cam_from_world().matrix()).tolist(),
                "model": camera.model_name,
                "params": np.asarray(camera.params).tolist(),
                "width": camera.width,
                "height": camera.height,
            }
        )
    (folder / "model.json").write_text(json.dumps(rows))
    points = [model.point3D(i) for i in sorted(model.point3D_ids())]
    long = [point for point in points if point.track.length() >= MIN_TRACK_LENGTH]
    points = long if len(long) >= MIN_POINTS else points
    np.savez(
        folder / "points.npz",
        points=np.array([point.xyz for point in points], np.float64).reshape(-1, 3),
        colors=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
    )


def _readable(model: Path, folder: Path) -> Path:
    """Return a copy in `folder` of a model as pycolmap reads it: with points, and without blanks in names."""
    copy = folder / "readable"
    copy.mkdir()
    suffix = ".bin" if (model / "images.bin").is_file() and (model / "cameras.bin").is_file() else ".txt"
    for name in FILES:
        source, target = model / f"{name}{suffix}", copy / f"{name}{suffix}"
        if not source.is_file():
            if name == "points3D":
                target.write_bytes(bytes(8) if suffix == ".bin" else b"")
        elif suffix == ".bin":
            target.symlink_to(source.absolute())
        else:
            _copy_text(source, target, with_names=name == "images")
    return copy


def _copy_text(source: Path, target: Path, *, with_names: bool) -> None:
    """Copy a text file of a model without a byte order mark and, in the names of images, blanks."""
    is_image = True
    with (
        source.open(encoding="utf-8-sig", errors="surrogateescape") as lines,
        target.open("w", encoding="utf-8", errors="surrogateescape") as file,
    ):
        for line in lines:
            is_comment = line.startswith("#") or (is_image and not line.strip())
            if with_names and is_image and not is_comment and len(cells := line.split(maxsplit=NAME)) > NAME:
                line = " ".join([*cells[:NAME], cells[NAME].strip().replace(" ", BLANK)]) + "\n"
            file.write(line)
            # After each image comes a line with its features, which may be empty.
            is_image = is_image == is_comment


def limit_memory(size: int) -> None:
    """Limit this process to the memory that a model of so many bytes needs.

    Counts in damaged files are arbitrary, and pycolmap makes room for as many points.
    """
    used = Path("/proc/self/statm")
    if not used.exists():
        # Systems other than Linux do not enforce such a limit.
        return
    pages = int(used.read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MIN_MEMORY + MEMORY_PER_BYTE * size
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def undistort_lenses(options: dict) -> None:
    """Write for lens i intrinsics_i.npy [3, 3], and map_i.npy [H, W, 2], float32: the original's pixel of each new one.

    Options: folder, and lenses with model, params, width, height (of the camera file) and size (of the pictures).
    """
    import pycolmap

    for i, lens in enumerate(options["lenses"]):
        try:
            camera = pycolmap.Camera(
                model=lens["model"], width=lens["width"], height=lens["height"], params=lens["params"]
            )
            camera.rescale(*lens["size"])
            pinhole = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise CameraError(
                f"the distortion of a {lens['model']} lens cannot be undone: {' '.join(str(error).split())[:200]}",
                hint="undistort the pictures with the tool that wrote the cameras",
            ) from error
        matrix = np.array(pinhole.calibration_matrix())
        width, height = (
            min(side, round(MAX_GROWTH * original))
            for side, original in zip((pinhole.width, pinhole.height), lens["size"], strict=True)
        )
        # Around the principal point, so that what is cut off is what is stretched the most.
        matrix[:2, 2] -= np.clip(
            np.round(matrix[:2, 2] - np.array([width, height]) / 2),
            0,
            [pinhole.width - width, pinhole.height - height],
        )
        row, column = np.mgrid[:height, :width].reshape(2, -1)
        rays = np.linalg.solve(matrix, np.stack([column + 0.5, row + 0.5, np.ones(len(row))]))  # [3, H * W]
        xy = np.asarray(camera.img_from_cam(rays.T), np.float32).reshape(height, width, 2)
        np.save(Path(options["folder"]) / f"intrinsics_{i}.npy", matrix)
        np.save(Path(options["folder"]) / f"map_{i}.npy", xy)


if __name__ == "__main__":
    answer(do_task)
