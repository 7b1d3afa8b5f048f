"""The dialects of transforms.json: nerfstudio, instant-ngp and Blender (NeRF-synthetic).

Sources: docs.nerf.studio, "Data conventions", and nerfstudio's dataparser; instant-ngp, "Tips for training NeRF models"
and its `nerf_loader.cu`; Mildenhall et al. 2020 (github.com/bmild/nerf, `load_blender.py`). In all, cameras have
OpenGL's axes and the world is +Z up. `applied_transform` and `applied_scale` are already contained in the poses.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from img2world.core.conventions import OPENCV_FROM_OPENGL, Z_UP_FROM_WORLD
from img2world.core.errors import CameraError, reason
from img2world.core.lens import PINHOLE, Lens
from img2world.core.natural_order import natural_key
from img2world.core.text_file import read_text

ROTATION_TOLERANCE = 1e-3

HINT = "needs fl_x or camera_angle_x, w, h and frames with a 4x4 transform_matrix, as nerfstudio writes them"

PERSPECTIVE_MODELS = ("", "PERSPECTIVE", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
FISHEYE_MODELS = ("FISHEYE", "OPENCV_FISHEYE")
"""nerfstudio's camera models, which all share the names of the coefficients, in capitals; older versions wrote
`perspective` and `fisheye`."""

SIZE_KEYS = ("w", "h")

FOCAL_LENGTHS = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
"""Keys of focal lengths in pixels and of fields of view in radians, of which one is needed."""

COEFFICIENTS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Coefficients of distortion in the order in which nerfstudio's `distortion_params` lists them."""

MAX_NUMBER = 1e30
"""Larger numbers in a pose are none, since float32 does not hold their squares."""

FindSize = Callable[[str], tuple[int, int] | None]


@dataclass(frozen=True, kw_only=True)
class PosedPicture:
    """A picture of a dataset, with its pose and its lens."""

    name: str
    """Path relative to the dataset as its file has it, with slashes; the suffix may be missing."""
    world_from_cam: Float64[np.ndarray, "4 4"]
    """In our conventions."""
    lens: Lens
    mask: str = ""
    """Path of its mask relative to the dataset; empty where there is none."""
    time: float | None = None
    """When it was taken, in the file's unit, which is the second or the duration of the whole; None where not told."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object in any encoding of `read_text`. Raises CameraError when there is none."""
    try:
        table = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise CameraError(f"the camera file cannot be read ({reason(error)}): {path}", hint=HINT) from error
    if not isinstance(table, dict):
        raise CameraError(f"the camera file holds no JSON object: {path}", hint=HINT)
    return table


def no_size(name: str) -> None:
    """Know the size of no picture."""


def posed_pictures(transforms: dict[str, Any], find_size: FindSize = no_size) -> list[PosedPicture]:
    """Return the pictures of a transforms.json in the natural order of their names.

    `find_size` returns the width and height of a named picture, where the file does not tell; None where there is no
    such picture, which is then left out. Raises CameraError when a key is missing or has a wrong value, when a camera
    model is no lens, or when a pose is not a rotation and a translation.
    """
    rows = transforms.get("frames")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise CameraError("the camera file has no frames", hint=HINT)
    shared = {key: value for key, value in transforms.items() if key != "frames"}
    pictures = [_posed_picture(_known({**shared, **row}), i, find_size) for i, row in enumerate(rows)]
    found = [picture for picture in pictures if picture is not None]
    # Files in the order in which they happened to be written are common. Frames without names keep their order.
    return sorted(found, key=lambda picture: natural_key(picture.name))


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that have a value: null is as good as none."""
    return {key: value for key, value in row.items() if value is not None}


def _posed_picture(row: dict[str, Any], index: int, find_size: FindSize) -> PosedPicture | None:
    """Return one picture from the keys of its frame and those that all frames share; None if it cannot be measured."""
    name = picture_name(row, "file_path")
    where = f"frame {index} ({name})" if name else f"frame {index}"
    try:
        size = tuple(int(float(row[key])) for key in SIZE_KEYS) if all(key in row for key in SIZE_KEYS) else None
        if size is None and (size := find_size(name)) is None:
            return None
        pose = np.array(row["transform_matrix"], np.float64)
        return PosedPicture(
            name=name,
            world_from_cam=world_from_opengl(check_pose(pose, where), Z_UP_FROM_WORLD),
            lens=_lens(row, size[0], size[1], where),
            mask=picture_name(row, "mask_path"),
            time=_time(row, where),
        )
    except KeyError as error:
        raise CameraError(f"{where} of the camera file lacks {error.args[0]}", hint=HINT) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise CameraError(
            f"the camera file cannot be used, {where}: {type(error).__name__} {error}", hint=HINT
        ) from error


def _time(row: dict[str, Any], where: str) -> float | None:
    """Return the time of a frame; None where it has none. Raises CameraError when it is no number."""
    if "time" not in row:
        return None
    time = float(row["time"])
    if not abs(time) < MAX_NUMBER:
        raise CameraError(f"{where} has the time {time}", hint="times are numbers, from 0 to 1 or in seconds")
    return time


def picture_name(row: dict[str, Any], key: str) -> str:
    """Return a path in the row of a frame with slashes, empty where there is none; programs of Windows write others."""
    value = row.get(key)
    return "" if value is None else str(value).replace("\\", "/").removeprefix("./")


def world_from_opengl(
    pose: Float64[np.ndarray, "4 4"], other_from_world: Float64[np.ndarray, "4 4"]
) -> Float64[np.ndarray, "4 4"]:
    """Return the pose in our axes of a camera with OpenGL's axes in another world."""
    # The axes are only swapped and negated, so reading what was written is exact.
    return np.linalg.inv(other_from_world) @ pose @ OPENCV_FROM_OPENGL


def check_pose(pose: Float64[np.ndarray, "R C"], where: str) -> Float64[np.ndarray, "4 4"]:
    """Return a pose of 3 or 4 rows as a matrix of 4. Raises CameraError unless it is a rotation and a translation."""
    if pose.shape not in ((3, 4), (4, 4)):
        raise CameraError(f"the pose of {where} has shape {pose.shape}, needs 4x4 or 3x4", hint=HINT)
    if not (np.abs(pose) < MAX_NUMBER).all():
        raise CameraError(f"the pose of {where} is not finite", hint="remove this frame from the file")
    rotation, last = pose[:3, :3], np.array([0.0, 0, 0, 1])
    if pose.shape[0] == 4 and not np.allclose(pose[3], last, atol=ROTATION_TOLERANCE):
        raise CameraError(
            f"the pose of {where} ends with the row {pose[3].tolist()}, needs 0 0 0 1", hint="transpose the matrices"
        )
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=ROTATION_TOLERANCE):
        raise CameraError(
            f"the pose of {where} is not a rotation and a translation", hint="remove scale and shear from the poses"
        )
    if np.linalg.det(rotation) < 0:
        raise CameraError(
            f"the pose of {where} is mirrored (its determinant is -1), so the world would be a mirror image",
            hint="negate one axis of the camera, as its tool's documentation describes",
        )
    return np.vstack([pose[:3], last])


def _lens(row: dict[str, Any], width: int, height: int, where: str) -> Lens:
    """Return the lens of a frame. Raises CameraError when it is not one of the models that are known."""
    model = str(row.get("camera_model", "")).upper()
    is_fisheye = model in FISHEYE_MODELS or str(row.get("is_fisheye", False)).lower() in ("true", "1")
    if model not in (*PERSPECTIVE_MODELS, *FISHEYE_MODELS):
        raise CameraError(
            f"the camera model of {where} is {model}, needs PINHOLE, OPENCV or OPENCV_FISHEYE",
            hint="cut perspective pictures out of panoramas first, or give the pictures alone",
        )
    if not any(key in row for key in FOCAL_LENGTHS):
        raise CameraError(f"{where} has none of {' '.join(FOCAL_LENGTHS)}", hint=HINT)
    known = [_focal(row, axis, size) for axis, size in (("x", width), ("y", height))]
    focal_x, focal_y = (next(focal for focal in (own, *known) if focal is not None) for own in known)
    if not (0 < focal_x < np.inf and 0 < focal_y < np.inf):
        raise CameraError(
            f"{where} has the focal lengths {focal_x:g} and {focal_y:g}",
            hint="they must be positive; camera_angle_x and camera_angle_y are in radians",
        )
    center = (float(row.get("cx", width / 2)), float(row.get("cy", height / 2)))
    k1, k2, k3, k4, p1, p2 = _distortion(row, where)
    head = (focal_x, focal_y, *center)
    if is_fisheye:
        return Lens(model="OPENCV_FISHEYE", params=(*head, k1, k2, k3, k4), width=width, height=height)
    if k4 != 0:
        raise CameraError(f"{where} has a fourth radial coefficient k4={k4:g}", hint="fit the lens with k1 to k3")
    if k3 != 0:
        return Lens(model="FULL_OPENCV", params=(*head, k1, k2, p1, p2, k3, 0, 0, 0), width=width, height=height)
    if any((k1, k2, p1, p2)):
        return Lens(model="OPENCV", params=(*head, k1, k2, p1, p2), width=width, height=height)
    return Lens(model=PINHOLE, params=head, width=width, height=height)


def _focal(row: dict[str, Any], axis: str, size: int) -> float | None:
    """Return the focal length in pixels along an axis, None where neither it nor the field of view is known."""
    if f"fl_{axis}" in row:
        return float(row[f"fl_{axis}"])
    if f"camera_angle_{axis}" not in row:
        return None
    slope = float(np.tan(0.5 * float(row[f"camera_angle_{axis}"])))
    return 0.5 * size / slope if slope else np.inf


def _distortion(row: dict[str, Any], where: str) -> list[float]:
    """Return the `COEFFICIENTS` of a frame. Raises CameraError when it has others, which are not undone here."""
    if (listed := row.get("distortion_params")) is not None:
        if len(listed) != len(COEFFICIENTS):
            raise CameraError(
                f"{where} has {len(listed)} distortion_params, needs {len(COEFFICIENTS)}",
                hint=f"they are {' '.join(COEFFICIENTS)}",
            )
        row = {**row, **dict(zip(COEFFICIENTS, listed, strict=True))}
    others = [key for key in ("k5", "k6", "s1", "s2", "s3", "s4") if float(row.get(key, 0)) != 0]
    if others:
        raise CameraError(f"{where} has the coefficient {others[0]}", hint="fit the lens with k1 to k3, p1 and p2")
    return [float(row.get(key, 0)) for key in COEFFICIENTS]
