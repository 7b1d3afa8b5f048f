"""Isolation of the subject on orbits with known outlines: models on a patterned ground in a room, or sets on the disk.

    python benchmarks/object_captures.py FOLDER --assets manifest.csv --names ambulance pan-stew [--write]
    python benchmarks/object_captures.py FOLDER --sets object100 [--write]

Models are those that a manifest holds out, see `evaluation/README.md`; renders and cameras are kept in FOLDER/NAME.
Sets are those of `capture_sets.py` in FOLDER.
"""

import argparse
import datetime
import time
from pathlib import Path

import capture_sets
import cv2
import numpy as np
from PIL import Image
from report import machine, write_section
from scipy.ndimage import distance_transform_edt

from evaluation.assets import find_assets, load_asset, normalize_mesh
from evaluation.rendering import render_asset
from img2world.core.camera_paths import look_at, orbit_center
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.frames import Frames
from img2world.core.metric import upright
from img2world.core.pictures import load_arrays, save_arrays
from img2world.core.views import Views
from img2world.isolation.aim import find_aim
from img2world.isolation.hull import first_grid, main_part, silhouette, vote
from img2world.isolation.isolate import isolate_subject
from img2world.layered.saliency import find_saliency
from img2world.poses.given import GivenPoses

COUNT, WIDTH, HEIGHT = 30, 640, 480
"""Views of a model, and their size."""

EVERY, SIDE = 3, 800
"""One in so many photos of a set on the disk is used, scaled to this width in pixels."""

RADIUS = 0.5
"""Radius of a model in world units, to which each is scaled."""

HEAD = "set | views | IoU | worst | outline | network | worst | outline | hull | worst | s"


def main() -> None:
    """Measure the isolation on each set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--names", nargs="+", default=[], help="models by the name of their file")
    parser.add_argument("--sets", nargs="+", default=[])
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    arguments = parser.parse_args()
    lines = [f"| {HEAD} |", "|---" * (HEAD.count("|") + 1) + "|"]
    found = {path.stem: path for path in find_assets(arguments.assets)} if arguments.assets else {}
    for name in [*arguments.names, *arguments.sets]:
        folder = arguments.folder / name / "isolation"
        if not folder.is_dir():
            make = photographed(folder.parent) if name in arguments.sets else orbit_of(found[name])
            save(folder, *make)
        lines.append(
            f"| {name} | {measure(Views.load(folder), load_arrays(folder / 'truth.safetensors')['alpha'] > 127)} |"
        )
        print(lines[-1], flush=True)
    if arguments.write:
        write_section("object_captures", f"{datetime.date.today()}, {machine()}.\n\n" + "\n".join(lines))


def save(folder: Path, frames: Frames, alpha: np.ndarray) -> None:
    """Write the views with triangulated points, and where they show the object."""
    views = upright(GivenPoses().estimate(frames, None))
    if len(views) != len(alpha):
        raise SystemExit(f"{len(alpha) - len(views)} views of {folder} have lost their camera")
    views.save(folder)
    save_arrays({"alpha": alpha}, folder / "truth.safetensors")


def orbit_of(path: Path) -> tuple[Frames, np.ndarray]:
    """Return photos of a model on the ground of a room, its surroundings seeded by its name, and its alpha."""
    random = np.random.default_rng(sum(map(ord, path.stem)))
    mesh = normalize_mesh(load_asset(path, z_up="ycb" in path.parts), RADIUS)
    sides = surroundings(random, float(mesh.vertices[:, 1].max()))
    poses = []
    for i in range(COUNT):
        elevation = (0.25, 0.55)[i % 2] + random.normal(0, 0.05)
        azimuth = 2 * np.pi * i / COUNT + random.normal(0, 0.03)
        center = orbit_center(azimuth, elevation, 2.0 + random.normal(0, 0.1))
        poses.append(look_at(center, random.normal(0, 0.05, 3)))
    intrinsics = intrinsics_from_fov(np.radians(50), WIDTH, HEIGHT)
    cameras = Cameras(
        world_from_cam=np.stack(poses).astype(np.float32),
        intrinsics=np.tile(intrinsics, (COUNT, 1, 1)),
        width=WIDTH,
        height=HEIGHT,
    )
    drawn = render_asset(mesh, cameras, background=(0.0, 0.0, 0.0))
    rgb = np.empty_like(drawn.rgb)
    for i, pose in enumerate(poses):
        behind, _ = capture_sets.render(sides, np.linalg.inv(pose), intrinsics.astype(float), WIDTH, HEIGHT)
        photo = drawn.rgb[i] + behind * (1 - drawn.alpha[i][..., None] / 255)
        photo = photo * random.uniform(0.9, 1.1) + random.normal(0, 3, photo.shape)
        rgb[i] = np.clip(photo, 0, 255)
    return Frames(rgb=rgb, times=np.arange(COUNT) * 1.0, cameras=cameras, ordered=False), drawn.alpha


def surroundings(random: np.random.Generator, ground: float) -> list[capture_sets.Side]:
    """Return a table or floor at a height, a room with furniture, and small boxes beside the object."""
    contrast = random.choice([0.25, 0.6, 1.0])
    texture = capture_sets.pattern(random).astype(np.float32)
    mean = texture.mean((0, 1))
    texture = np.clip(mean + (texture - mean) * contrast, 0, 255).astype(np.uint8)
    half = random.choice([0.9, 3.0])
    corner, right, down = np.array([[-half, ground, -half], [2 * half, 0, 0], [0, 0, 2 * half]])
    floor = ground + (0.9 if half < 1 else 0.0)
    sides = [capture_sets.Side(corner=corner, right=right, down=down, texture=texture)]
    sides += capture_sets.box(random, np.array([0, floor - 1.6, 0]), np.array([8, 3.2, 8]), np.eye(3))
    for count, largest, near, far, level in ((10, 1.2, 2.6, 3.6, floor), (3, 0.2, 0.75, 0.75, ground)):
        for _ in range(count):
            size, angle = random.uniform(largest / 4, largest, 3), random.uniform(0, 2 * np.pi)
            reach = random.uniform(near, far)
            center = np.array([reach * np.cos(angle), level - size[1] / 2, reach * np.sin(angle)])
            sides += capture_sets.box(random, center, size, np.eye(3))
    return sides


def photographed(folder: Path) -> tuple[Frames, np.ndarray]:
    """Return photos of a set of `capture_sets.py`, and the alpha of its object."""
    truth = np.load(folder / "truth.npz")
    paths = sorted((folder / "images").iterdir())[::EVERY]
    scale = SIDE / Image.open(paths[0]).width

    def read(path: Path) -> np.ndarray:
        return cv2.resize(np.asarray(Image.open(path)), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

    rgb = np.stack([read(path) for path in paths])
    alpha = np.stack([read(folder / "truth_masks" / f"{path.stem}.png") for path in paths])
    (center_x, center_y), focal = truth["principal_point"] * scale, float(truth["focal"]) * scale
    intrinsics = np.array([[focal, 0, center_x], [0, focal, center_y], [0, 0, 1]], np.float32)
    cameras = Cameras(
        world_from_cam=truth["world_from_cam"][::EVERY].astype(np.float32),
        intrinsics=np.tile(intrinsics, (len(rgb), 1, 1)),
        width=rgb.shape[2],
        height=rgb.shape[1],
    )
    return Frames(rgb=rgb, times=np.arange(len(rgb)) * 1.0, cameras=cameras, ordered=False), alpha


def measure(views: Views, truth: np.ndarray) -> str:
    """Return the figures of the isolation, of the network alone, and of its visual hull, as cells of the table."""
    start = time.perf_counter()
    found = isolate_subject(views)
    seconds = time.perf_counter() - start
    assert found.views.alpha is not None  # Isolated views have one.
    size = views.rgb.shape[2], views.rgb.shape[1]
    salient = [cv2.resize(find_saliency(picture, "builtin"), size) for picture in views.rgb]
    hull = vote(
        salient, np.ones(len(views)), views.cameras, first_grid(aim := find_aim(views.cameras), 96), agreement=0.7
    )
    surface = main_part(hull, aim).surface()
    rows = {
        "isolated": list(zip(found.views.alpha > 127, truth[found.kept], strict=True)),
        "network": list(zip([values > 0.5 for values in salient], truth, strict=True)),
        "hull": [(silhouette(surface, views.cameras.select([i])), truth[i]) for i in range(len(views))],
    }
    overlaps = {name: [overlap(*pair) for pair in pairs] for name, pairs in rows.items()}
    cells = [f"{len(found.kept)} of {len(views)}"]
    for name in rows:
        cells += [f"{np.mean(overlaps[name]):.3f}", f"{np.min(overlaps[name]):.3f}"]
        if name != "hull":
            cells.append(f"{np.nanmean([outline_distance(*pair) for pair in rows[name]]):.1f}")
    return " | ".join([*cells, f"{seconds:.0f}"])


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the intersection over union of two masks."""
    return np.count_nonzero(mask & truth) / max(np.count_nonzero(mask | truth), 1)


def outline_distance(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean distance in pixels between the outlines of two masks, both ways; NaN if one is empty."""
    rims = [part & (cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0) for part in (mask, truth)]
    if not all(rim.any() for rim in rims):
        return float("nan")
    ways = [np.asarray(distance_transform_edt(~rims[i]))[rims[1 - i]].mean() for i in (0, 1)]
    return float(np.mean(ways))


if __name__ == "__main__":
    main()
