"""Raw exports of scanning apps: Polycam and Record3D, whose cameras come from Apple's ARKit.

In both, cameras have OpenGL's axes and the world is +Y up, in metres. Sources: github.com/PolyCam/polyform (Polycam's
raw data), github.com/marek-simonik/record3d (metadata.json), and nerfstudio's `polycam_utils.py` and
`record3d_utils.py`.
"""

from pathlib import Path

import numpy as np

from img2world.captures.dataset import Layout, Reader, require_pictures
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import CameraError
from img2world.core.lens import PINHOLE, Lens
from img2world.core.natural_order import natural_key
from img2world.core.rotation import matrix_from_quat
from img2world.core.transforms import ROTATION_TOLERANCE, PosedPicture, check_pose, read_json, world_from_opengl

POLYCAM = (("corrected_cameras", "corrected_images"), ("cameras", "images"))
"""Folders of cameras and pictures in `keyframes`; the corrected ones come from bundle adjustment."""

RECORD3D = ("rgbd", "rgb", "images")
"""Folders of pictures beside Record3D's metadata.json."""


def find_app_export(path: Path) -> tuple[Path, Reader] | None:
    """Return the folder or the file with the cameras of an app's export, and its reader; None where there is none."""
    keyframes = path if path.name == "keyframes" else path / "keyframes"
    for cameras, images in POLYCAM:
        if _camera_files(keyframes / cameras) and (keyframes / images).is_dir():
            return keyframes / cameras, read_polycam
    for metadata in (path / "metadata.json", path / "metadata"):
        # The file's name is a common one.
        has_pictures = metadata.is_file() and any((path / name).is_dir() for name in RECORD3D)
        if has_pictures and b'"poses"' in metadata.read_bytes():
            return metadata, read_record3d
    return None


def _camera_files(folder: Path) -> list[Path]:
    """Return Polycam's camera files in a folder, without the hidden ones that macOS adds to archives."""
    return [file for file in folder.glob("*.json") if not file.name.startswith(".")]


def read_polycam(cameras: Path) -> Layout:
    """Read the keyframes of Polycam's raw data. Raises CameraError when a camera lacks a number."""
    images = cameras.with_name(cameras.name.replace("cameras", "images"))
    files = sorted(_camera_files(cameras), key=lambda file: natural_key(file.name))
    pictures = []
    for file in files:
        row = read_json(file)
        try:
            pose = np.array([[float(row[f"t_{i}{j}"]) for j in range(4)] for i in range(3)])
            params = tuple(float(row[key]) for key in ("fx", "fy", "cx", "cy"))
            lens = Lens(model=PINHOLE, params=params, width=int(row["width"]), height=int(row["height"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CameraError(
                f"Polycam's camera cannot be used: {type(error).__name__} {error} ({file})", hint="export it again"
            ) from error
        world_from_cam = world_from_opengl(check_pose(pose, file.name), Y_UP_FROM_WORLD)
        pictures.append(PosedPicture(name=file.stem + ".jpg", world_from_cam=world_from_cam, lens=lens))
    require_pictures(pictures, cameras)
    root = cameras.parent.parent if cameras.parent.name == "keyframes" else cameras.parent
    return Layout(root=root, tool="Polycam", camera_files=tuple(files), pictures=pictures, folders=(images,))


def read_record3d(metadata: Path) -> Layout:
    """Read Record3D's export as pictures with metadata.json, or its .r3d file when unpacked.

    Raises CameraError when it lacks a number, or has an impossible one.
    """
    table, root = read_json(metadata), metadata.parent
    try:
        # Column-major.
        matrix = np.array(table["K"], np.float64).reshape(3, 3).T
        width, height = int(table["w"]), int(table["h"])
        poses = np.array(table["poses"], np.float64).reshape(-1, 7)
        per_frame = np.array(table.get("perFrameIntrinsicCoeffs") or np.zeros((0, 4)), np.float64)[:, :4]
    except (KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise CameraError(
            f"Record3D's metadata cannot be used: {type(error).__name__} {error} ({metadata})",
            hint="needs K, w, h and poses; export it again",
        ) from error
    shared = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    pictures = []
    for i, numbers in enumerate(poses):
        if not np.isclose(np.linalg.norm(numbers[:4]), 1, atol=ROTATION_TOLERANCE):
            raise CameraError(f"the pose of frame {i} is not a rotation and a translation", hint="export it again")
        pose = np.eye(4)
        # The quaternion is xyzw.
        pose[:3, :3], pose[:3, 3] = matrix_from_quat(numbers[[3, 0, 1, 2]]), numbers[4:]
        params = tuple(map(float, per_frame[i] if len(per_frame) == len(poses) else shared))
        pictures.append(
            PosedPicture(
                name=f"{i}.jpg",
                world_from_cam=world_from_opengl(check_pose(pose, f"frame {i}"), Y_UP_FROM_WORLD),
                lens=Lens(model=PINHOLE, params=params, width=width, height=height),
            )
        )
    require_pictures(pictures, metadata)
    folders = tuple(folder for name in RECORD3D if (folder := root / name).is_dir())
    return Layout(root=root, tool="Record3D", camera_files=(metadata,), pictures=pictures, folders=folders)
