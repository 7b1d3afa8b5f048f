"""One protocol for all programs: a file is drawn from a camera of its scene and compared with the picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from img2world.core.cameras import Cameras
from img2world.core.conventions import OPENCV_FROM_OPENGL
from img2world.formats.files import find_suffix
from img2world.formats.frames import engine_from_file, file_from_world

MIN_PSNR = {"splats": 27.0, "vertex colors": 22.0, "texture": 30.0}
"""Decibels that a picture has at least, by what the file holds."""

MIN_MARGIN = 8.0
"""Decibels by which the picture is at least more similar to the reference than to any mirrored or turned copy of it."""

MAX_COLOR_ERROR = 0.03
"""Relative error of the mean of each channel."""

CAMERA_AXES = {"babylon": np.diag([1.0, -1.0, 1.0, 1.0])}
"""From the camera axes of an engine to ours; all others have those of OpenGL."""

NEAR, FAR = 0.01, 100.0
"""Clipping planes."""

SYMMETRIES = {
    "mirrored": lambda image: image[:, ::-1],
    "flipped": lambda image: image[::-1],
    "turned by 180°": lambda image: image[::-1, ::-1],
}


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera in the world of an engine; its principal point is the centre."""

    pose: Float[np.ndarray, "4 4"]
    """World from camera, in the engine's axes of both."""
    fov_y_deg: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How similar a picture is to the reference."""

    psnr: float
    margin: float
    """Decibels above the most similar mirrored or turned copy of the reference."""
    nearest_copy: str
    color_ratio: tuple[float, float, float]
    """Mean of each channel relative to the reference."""

    def problems(self, min_psnr: float) -> list[str]:
        """Return what is wrong with the picture."""
        found = []
        if self.psnr < min_psnr:
            found.append(f"{self.psnr:.1f} dB, needs {min_psnr:g}")
        if self.margin < MIN_MARGIN:
            found.append(f"{self.margin:.1f} dB above the {self.nearest_copy} reference, needs {MIN_MARGIN:g}")
        if max(abs(ratio - 1) for ratio in self.color_ratio) > MAX_COLOR_ERROR:
            found.append(f"mean colour is {', '.join(f'{ratio:.3f}' for ratio in self.color_ratio)} of the reference's")
        return found


def compare(picture: Float[np.ndarray, "H W 3"], reference: Float[np.ndarray, "H W 3"]) -> Comparison:
    """Compare two pictures, sRGB from 0 to 1."""
    psnr = decibels(picture, reference)
    copies = {name: decibels(picture, symmetry(reference)) for name, symmetry in SYMMETRIES.items()}
    nearest = max(copies, key=lambda name: copies[name])
    ratio = picture.mean((0, 1)) / reference.mean((0, 1))
    return Comparison(
        psnr=psnr, margin=psnr - copies[nearest], nearest_copy=nearest, color_ratio=tuple(map(float, ratio))
    )


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    """Return the PSNR of pictures from 0 to 1."""
    return float(-10 * np.log10(np.square(a.astype(np.float64) - b).mean() + 1e-12))


def view_of(camera: Cameras, engine: str, path: Path) -> View:
    """Return one camera of a scene in the world of an engine that has loaded a file."""
    (focal_x, _, x), (_, focal_y, y), _ = camera.intrinsics[0].tolist()
    if abs(focal_x / focal_y - 1) > 1e-3 or abs(x - camera.width / 2) > 0.5 or abs(y - camera.height / 2) > 0.5:
        raise ValueError(f"engines need a centred camera with square pixels, not {camera.intrinsics[0].tolist()}")
    suffix = find_suffix(path)
    world_from_camera = camera.world_from_cam[0].astype(np.float64) @ CAMERA_AXES.get(engine, OPENCV_FROM_OPENGL)
    return View(
        pose=engine_from_file(engine, suffix) @ file_from_world(suffix) @ world_from_camera,
        fov_y_deg=float(np.degrees(2 * np.arctan(camera.height / 2 / focal_y))),
    )
