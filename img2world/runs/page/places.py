"""Where the cameras of a run stood, and what they saw, as data for the 3D view of the page."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from img2world.core.cameras import Cameras, cameras_from_transforms
from img2world.core.conventions import Z_UP_FROM_WORLD
from img2world.core.errors import FormatError
from img2world.core.ply import read_ply
from img2world.core.scene import Scene
from img2world.core.sh import rgb_from_dc
from img2world.runs.page.pictures import WHOLE, Extent
from img2world.runs.page.reading import reading

MAX_POINTS, MIN_OPACITY = 8_000, 0.8
"""Points of each kind in the 3D view, and opacity of the Gaussians that may be among them."""

FAR = 4.0
"""Points that are farther away from the cameras' middle than this many times the median are left out: sky, mostly."""

LEVELS = 32767
"""Largest whole number that stands for a coordinate."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Cameras of some frames, and coloured points, in the upright world: +Y down."""

    cameras: Cameras
    frames: tuple[int, ...]
    """Index of the frame that each camera took."""
    covered: Float[np.ndarray, "V 2"]
    """Fractions of the width and height of each frame that its picture covers."""
    points: Float[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]

    def as_json(self) -> dict[str, Any]:
        """Return them as a JSON object; coordinates of points are 16-bit integers, little-endian, times `scale`."""
        scale = float(np.abs(self.points).max(initial=1e-9)) / LEVELS
        size = np.array([self.cameras.width, self.cameras.height])
        corners = np.stack([np.zeros_like(self.covered), self.covered * size], axis=1)  # [V, 2, 2]
        # The corners of the picture at a distance of 1.
        focal, center = self.cameras.intrinsics[:, [0, 1], [0, 1]], self.cameras.intrinsics[:, :2, 2]
        bounds = ((corners - center[:, None]) / focal[:, None]).reshape(-1, 4)
        poses = self.cameras.world_from_cam
        rows = np.concatenate([poses[:, :3, 3], poses[:, :3, :3].transpose(0, 2, 1).reshape(-1, 9), bounds], axis=1)
        return {
            "scale": scale,
            "points": _base64((self.points / scale).round().astype("<i2")),
            "colors": _base64(self.colors),
            # Position; the axes to the right, down and forward; left, top, right and bottom of the picture.
            "cameras": [[round(float(value), 5) for value in row] for row in rows],
            "frames": list(self.frames),
        }


def read_places(views: Path, scene: Path | None, report: dict[str, Any], extents: list[Extent]) -> Places:
    """Return the cameras of the views in a folder, with their points and, if there is a scene, some of that.

    `extents` has the part of each frame that its picture covers; it may be empty.

    Raises an Img2WorldError when a file is missing or damaged.
    """
    with reading("transforms.json"):
        cameras = cameras_from_transforms(json.loads((views / "transforms.json").read_text(encoding="utf-8")))
    frames = placed_frames(report, len(cameras))
    points, colors = _of_solver(views / "points.ply")
    if scene is not None:
        # Gaussians are many where there is detail, and few on the walls, on which points of depth maps lie, too.
        more, their_colors = _of_scene(scene)
        points, colors = np.concatenate([points, more]), np.concatenate([colors, their_colors])
    keep = _near(points, cameras)
    covered = np.array([extents[frame] if extents else WHOLE for frame in frames])
    return Places(cameras=cameras, frames=frames, covered=covered, points=points[keep], colors=colors[keep])


def placed_frames(report: dict[str, Any], count: int) -> tuple[int, ...]:
    """Return the indices of the frames that the views of a run show, of which there are `count`."""
    placed = (report["cameras"] or {}).get("frames") or range(count)
    left_out = set((report["subject"] or {}).get("left_out", ()))
    frames = [frame for i, frame in enumerate(placed) if i not in left_out]
    if len(frames) != count:
        raise FormatError(f"{count} cameras do not fit {len(frames)} frames", hint="run the same command again")
    return tuple(frames)


def _of_scene(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres and colours of some Gaussians that one can see."""
    with reading("the scene"):
        gaussians = Scene.load(path).gaussians
    visible = np.flatnonzero(gaussians.opacities > MIN_OPACITY)
    chosen = np.random.default_rng(0).permutation(visible)[:MAX_POINTS]
    colors = rgb_from_dc(gaussians.sh[chosen, 0]).clip(0, 1)
    return gaussians.means[chosen].astype(np.float64), (colors * 255).round().astype(np.uint8)


def _of_solver(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that were found together with the cameras."""
    with reading(path.name):
        columns = read_ply(path)
        points = np.stack([columns[axis] for axis in "xyz"], -1).astype(np.float64) @ Z_UP_FROM_WORLD[:3, :3]
        colors = np.stack([columns[name] for name in ("red", "green", "blue")], -1).astype(np.uint8)
    chosen = np.random.default_rng(0).permutation(len(points))[:MAX_POINTS]
    return points[chosen], colors[chosen]


def _near(points: Float[np.ndarray, "N 3"], cameras: Cameras) -> np.ndarray:
    """Return the indices of the points to show, which are not too far from the cameras."""
    distance = np.linalg.norm(points - cameras.centers_in_world.mean(0), axis=1)
    return np.flatnonzero(distance <= FAR * np.median(distance)) if len(points) else np.zeros(0, int)


def _base64(array: np.ndarray) -> str:
    """Return the bytes of an array as text."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
