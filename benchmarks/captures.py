"""Benchmark whole runs of photo sets and videos: what was used and placed, errors of poses, time, memory, quality.

    python benchmarks/captures.py SET [SET ...] --runs FOLDER [--write]

A set is a video, a folder of photos or of a dataset, or a folder with images/ or one .mp4 and, where the cameras are
known, truth.npz (world_from_cam [V, 4, 4] of each photo or video frame), as `capture_sets.py` and `walk_video.py` make
them. Each set becomes a run in FOLDER, with a contact sheet SET.png beside it: photos that were not trained on, above
what the scene shows there. Runs that are complete or were refused are kept, so that the table can grow.
"""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from matching import errors, load_truth
from PIL import Image
from report import machine, write_section

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.render import render
from img2world.runs.recipe import load_recipe
from img2world.splat.optimize import GaussianSplat

COLUMNS = ("set", "used", "placed", "cameras", "rotation °", "position %", "grade", "steps", "s / step", "poses s")
COLUMNS += ("splat s", "all s", "GB", "held-out dB", "matched dB", "SSIM")
HELD_OUT = {"heldout_psnr": 1, "heldout_psnr_matched": 1, "heldout_ssim": 3}
"""Metrics of the views that were held out, and their digits."""

VIDEO_RATE = 30
"""Frames per second of `walk_video.py`."""

SHOWN, SIDE = 6, 400
"""Pictures of a contact sheet, and pixels of the longer side of each."""


def main() -> None:
    """Run the sets, print the table, and write it on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the runs and contact sheets")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for folder in options.sets:
        lines.append(f"| {' | '.join(measure(folder, options.runs))} |")
        print(lines[-1], flush=True)
    if options.write:
        write_section("captures", "\n".join([f"{datetime.date.today()}, {machine()}.", "", *lines]))


def measure(folder: Path, runs: Path) -> list[str]:
    """Run a set and return its row."""
    out, log = runs / folder.stem, runs / f"{folder.stem}.log"
    if not (out / "scene").exists() and not log.exists():
        words = [sys.executable, "-m", "img2world.cli", "run", str(source_of(folder)), "--out", str(out)]
        ended = subprocess.run([*words, "--json"], capture_output=True, text=True)
        if ended.returncode:
            log.write_text(ended.stdout)
    if log.exists():
        events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        why = next((event["message"] for event in events if event["event"] == "error"), "crashed")
        return [folder.stem, f"refused: {why}", *[""] * (len(COLUMNS) - 2)]
    report = json.loads((out / "report.json").read_text())
    views, scene = Views.load(out / "views"), Scene.load(out / "scene" / "scene.safetensors")
    splat = load_recipe(str(out / "recipe.toml")).splat
    assert isinstance(splat, GaussianSplat)
    splat = splat.with_budget(views)
    contact_sheet(views, scene, splat.held_out(len(views))).save(runs / f"{folder.stem}.png")
    cameras, metrics = report["cameras"], report["metrics"]
    used, inventory = f"{cameras['total']}", report.get("inventory")
    if inventory:
        used = f"{len(inventory['used'])} of {len(inventory['used']) + len(inventory['left_out'])}"
    return [
        folder.stem,
        used,
        f"{len(cameras['frames'])} of {cameras['total']}",
        cameras["grade"],
        *errors_of(folder, views.cameras, np.array(cameras["frames"]), out),
        report["quality"].get("grade", ""),
        str(splat.steps),
        f"{metrics['seconds_splat'] / splat.steps:.3f}",
        f"{metrics['seconds_poses']:.0f}",
        f"{metrics['seconds_splat']:.0f}",
        f"{metrics['seconds']:.0f}",
        f"{metrics['peak_rss_gb']:.2f}",
        *(f"{metrics[name]:.{digits}f}" if name in metrics else "" for name, digits in HELD_OUT.items()),
    ]


def source_of(folder: Path) -> Path:
    """Return what of a set is given to the program."""
    if (folder / "images").is_dir() and (folder / "truth.npz").exists():
        return folder / "images"
    videos = sorted(folder.glob("*.mp4")) if folder.is_dir() else []
    return videos[0] if videos else folder


def errors_of(folder: Path, found: Cameras, placed: np.ndarray, out: Path) -> list[str]:
    """Return the median and the largest error of relative rotations in degrees, and of places in percent."""
    truth = load_truth(folder) if folder.is_dir() else None
    if truth is None:
        return ["", ""]
    if source_of(folder).suffix == ".mp4":
        # The frames that were chosen are known by their times.
        frames = Frames.load(out / "frames")
        indices = np.round(frames.times * VIDEO_RATE).astype(int)
        truth = truth[np.clip(indices, 0, len(truth) - 1)]
    rotation, position = errors(found.world_from_cam.astype(np.float64), truth[placed])
    return [f"{rotation[0]:.2f} / {rotation[1]:.2f}", f"{100 * position[0]:.2f} / {100 * position[1]:.2f}"]


def contact_sheet(views: Views, scene: Scene, held_out: np.ndarray) -> Image.Image:
    """Return photos that were held out, or any of a few, side by side, and below them what the scene shows."""
    indices = np.flatnonzero(held_out) if held_out.any() else np.arange(len(views))
    chosen = indices[np.linspace(0, len(indices) - 1, min(SHOWN, len(indices))).astype(int)]
    scale = SIDE / max(views.cameras.width, views.cameras.height)
    width, height = round(views.cameras.width * scale), round(views.cameras.height * scale)
    seen = render(scene.gaussians, scene.cameras.select(chosen).resized(width, height), background=scene.background).rgb
    photos = [cv2.resize(views.rgb[i], (width, height), interpolation=cv2.INTER_AREA) for i in chosen]
    rows = np.hstack(photos), np.hstack(list(np.round(255 * seen).astype(np.uint8)))
    return Image.fromarray(np.vstack(rows))


if __name__ == "__main__":
    main()
