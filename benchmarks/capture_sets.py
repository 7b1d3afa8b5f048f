"""Make photo sets with known cameras: walks through a room, and turns around an object on a table.

    python benchmarks/capture_sets.py FOLDER [--sets room50 room100 object100 room300 object300]

Each set becomes FOLDER/NAME with images/, truth.npz (world_from_cam [V, 4, 4], focal and principal point in pixels)
and, of an object, truth_masks/. The scenes are boxes whose sides show random patterns; photos differ in exposure and
have noise. Nothing is downloaded.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from img2world.core.camera_paths import look_at, orbit_center
from img2world.core.rotation import matrix_from_quat

SETS = {
    "room50": ("room", 50, 900, 1600),
    "room100": ("room", 100, 1600, 1200),
    "object100": ("object", 100, 1600, 1200),
    "room300": ("room", 300, 1600, 1200),
    "object300": ("object", 300, 1600, 1200),
}
"""Kind of scene, number of photos, width and height."""

TABLE_SIDES = 6
"""Sides of the table, which come before those of the object on it."""

TEXTURE = 1024
"""Pixels along each side of a texture."""

NEAR = 0.05
"""Depth in front of which sides are cut off."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A parallelogram with a picture on it."""

    corner: np.ndarray
    """World position of the upper left corner of the picture, [3]."""
    right: np.ndarray
    """From there to the upper right corner, [3]."""
    down: np.ndarray
    """From there to the lower left corner, [3]."""
    texture: np.ndarray
    """RGB, [TEXTURE, TEXTURE, 3]."""


def main() -> None:
    """Make the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments = parser.parse_args()
    for name in arguments.sets:
        make_set(arguments.folder / name, *SETS[name])


def make_set(folder: Path, kind: str, count: int, width: int, height: int) -> None:
    """Render one set with seeded scene, cameras and noise."""
    random = np.random.default_rng(count)
    sides, poses = (room(random), walk(random, count)) if kind == "room" else (table(random), turns(random, count))
    first = len(sides) if kind == "room" else TABLE_SIDES
    focal = 0.8 * max(width, height)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i, pose in enumerate(poses):
        rgb, shown = render(sides, np.linalg.inv(pose), intrinsics, width, height)
        rgb = rgb.astype(np.float32) * random.uniform(0.85, 1.15) + random.normal(0, 3, rgb.shape)
        # Numbers in unequal steps, as those of photos, not of the frames of a video.
        path = folder / "images" / f"{i * (i + 1):06d}.jpg"
        Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(path, quality=92)
        if first < len(sides):
            # Not beside the photos, where a run would take them for masks of what is to be ignored.
            truth = folder / "truth_masks" / f"{path.stem}.png"
            truth.parent.mkdir(exist_ok=True)
            Image.fromarray(np.where(shown >= first, 255, 0).astype(np.uint8)).save(truth)
    np.savez(folder / "truth.npz", world_from_cam=poses, focal=focal, principal_point=[width / 2, height / 2])


def render(
    sides: list[Side], cam_from_world: np.ndarray, intrinsics: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture [H, W, 3] of the sides, and the index of the nearest one at each pixel [H, W], -1 for none."""
    picture = np.full((height, width, 3), 128, np.uint8)
    nearest = np.full((height, width), -1)
    inverse_depth = np.zeros((height, width), np.float32)
    rotation, translation = cam_from_world[:3, :3], cam_from_world[:3, 3]
    for index, side in enumerate(sides):
        corner = rotation @ side.corner + translation
        right, down = rotation @ side.right, rotation @ side.down
        outline = clip(np.stack([corner, corner + right, corner + right + down, corner + down]))
        if len(outline) < 3:
            continue
        flat = outline @ intrinsics.T
        flat = flat[:, :2] / flat[:, 2:]
        left, top = np.maximum(np.floor(flat.min(0)).astype(int), 0)
        end_x, end_y = np.minimum(np.ceil(flat.max(0)).astype(int) + 1, [width, height])
        if left >= end_x or top >= end_y:
            continue
        column, row = np.meshgrid(np.arange(left, end_x) + 0.5, np.arange(top, end_y) + 0.5)
        pixels = np.stack([column, row, np.ones_like(row)], -1)
        # Pixel = K (corner + u right + v down) up to scale: solved for u, v and the inverse depth.
        solved = pixels @ np.linalg.inv(intrinsics @ np.stack([right, down, corner], -1)).T
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (solved[..., :2] / solved[..., 2:]).transpose(2, 0, 1).astype(np.float32)
        nearness = solved[..., 2].astype(np.float32)
        area = (slice(top, end_y), slice(left, end_x))
        shown = (u >= 0) & (u < 1) & (v >= 0) & (v < 1) & (nearness > inverse_depth[area]) & (nearness < 1 / NEAR)
        if shown.any():
            levels = pyramid_level(side.texture, u, v, shown)
            size = len(levels)
            drawn = cv2.remap(levels, u * size - 0.5, v * size - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            picture[area][shown] = drawn[shown]
            inverse_depth[area][shown] = nearness[shown]
            nearest[area][shown] = index
    return picture, nearest


def pyramid_level(texture: np.ndarray, u: np.ndarray, v: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the texture at about the size at which it is shown, so that it does not alias."""
    covered = np.count_nonzero(shown) / max((np.ptp(u[shown]) * np.ptp(v[shown])), 1e-6)
    while len(texture) > 16 and len(texture) ** 2 > 1.5 * covered:
        texture = cv2.resize(texture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return texture


def clip(outline: np.ndarray) -> np.ndarray:
    """Return the part of a polygon [N, 3] that lies beyond the near plane."""
    kept = []
    for start, end in zip(outline, np.roll(outline, -1, 0), strict=True):
        if start[2] > NEAR:
            kept.append(start)
        if (start[2] > NEAR) != (end[2] > NEAR):
            kept.append(start + (NEAR - start[2]) / (end[2] - start[2]) * (end - start))
    return np.array(kept).reshape(-1, 3)


def pattern(random: np.random.Generator) -> np.ndarray:
    """Return a random texture: noise in many octaves between two colours, with shapes on it."""
    mix = np.zeros((TEXTURE, TEXTURE), np.float32)
    for cells in (4, 12, 37, 110, 330):
        layer = cv2.resize(random.random((cells, cells), np.float32), (TEXTURE, TEXTURE), interpolation=cv2.INTER_CUBIC)
        mix += layer * random.uniform(0.5, 1.5)
    mix = np.clip((mix - mix.mean()) / mix.std() * 0.3 + 0.5, 0, 1)[..., None]
    first, second = random.uniform(20, 235, (2, 3))
    texture = np.ascontiguousarray(mix * first + (1 - mix) * second, np.uint8)
    for _ in range(40):
        center, size = random.integers(0, TEXTURE, 2).tolist(), int(random.integers(8, 60))
        color = random.integers(0, 255, 3).tolist()
        if random.random() < 0.5:
            cv2.circle(texture, center, size, color, int(random.choice([-1, 4])), cv2.LINE_AA)
        else:
            box = cv2.boxPoints((center, (2.0 * size, float(size)), random.uniform(0, 90)))
            cv2.fillPoly(texture, [box.astype(np.int32)], color, cv2.LINE_AA)
    return texture


def box(random: np.random.Generator, center: np.ndarray, size: np.ndarray, rotation: np.ndarray) -> list[Side]:
    """Return the six sides of a box [3] about a centre."""
    sides = []
    for axis in range(3):
        for sign in (-1, 1):
            normal, right, down = np.zeros((3, 3))
            normal[axis], right[(axis + 1) % 3], down[(axis + 2) % 3] = sign, 1, 1
            corner = (normal - right - down) / 2 * size
            turned = [rotation @ vector for vector in (corner, right * size, down * size)]
            sides.append(Side(corner=center + turned[0], right=turned[1], down=turned[2], texture=pattern(random)))
    return sides


def room(random: np.random.Generator) -> list[Side]:
    """Return a room of 8 by 3 by 6 metres with furniture; +Y is down."""
    sides = box(random, np.zeros(3), np.array([8.0, 3.0, 6.0]), np.eye(3))
    for _ in range(14):
        size = random.uniform(0.3, 1.2, 3)
        angle = random.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        # Along the walls, so that the middle is free to walk.
        place = random.uniform([-3.6, 0, -2.6], [3.6, 0, 2.6])
        axis = 0 if random.random() < 0.4 else 2
        place[axis] = np.sign(place[axis]) * (3.3 if axis == 0 else 2.3)
        place[1] = 1.5 - size[1] / 2
        sides += box(random, place, size, turn)
    return sides


def table(random: np.random.Generator) -> list[Side]:
    """Return an object of many blocks on a table in a large, plain room."""
    sides = box(random, np.array([0, 0.45, 0]), np.array([1.6, 0.1, 1.6]), np.eye(3))
    for _ in range(16):
        size, place = random.uniform(0.08, 0.35, 3), random.normal(0, 0.14, 3)
        sides += box(random, np.minimum(place, [9, 0.25, 9]), size, matrix_from_quat(random.normal(size=4)))
    return sides


def walk(random: np.random.Generator, count: int) -> np.ndarray:
    """Return poses [V, 4, 4] along an ellipse through the room, three looks at different things at each place."""
    poses = []
    for i in range(count):
        angle = 2 * np.pi * (i // 3) / np.ceil(count / 3)
        center = np.array([1.9 * np.cos(angle), -0.1, 1.1 * np.sin(angle)]) + random.normal(0, 0.12, 3)
        ahead = angle + (0.0, 0.7, -0.7)[i % 3] + random.normal(0, 0.1)
        aim = np.array([4 * np.cos(ahead), random.normal(0.2, 0.3), 3 * np.sin(ahead)])
        poses.append(look_at(center, aim))
    return np.stack(poses)


def turns(random: np.random.Generator, count: int) -> np.ndarray:
    """Return poses [V, 4, 4] on three circles of different height around the object."""
    poses = []
    for i in range(count):
        ring, step = i * 3 // count, i - (i * 3 // count) * count / 3
        azimuth = 2 * np.pi * step / (count / 3) + random.normal(0, 0.02)
        center = orbit_center(azimuth, (0.15, 0.45, 0.8)[ring] + random.normal(0, 0.03), 1.6 + random.normal(0, 0.08))
        poses.append(look_at(center, random.normal(0, 0.04, 3)))
    return np.stack(poses)


if __name__ == "__main__":
    main()
