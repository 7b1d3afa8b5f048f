"""The moving picture of the README: what four of the cameras saw, and beside it the scene from one that goes around.

    python -m evaluation.moving_videos cameras/ --assets Mage.glb --scene "mage cheer" --frames 48 --fps 24
    img2world run cameras/
    python benchmarks/moving_picture.py runs/cameras assets/pictures/moving.webp

Takes a finished run of several videos.
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from img2world.core.frames import Frames
from img2world.core.scene import Scene
from img2world.export.turntable import TurntableExport, find_cycle, render_frames

SHOWN = 4
"""Cameras whose videos are shown, two by two."""

MARGIN = 0.06
"""Around what moves, as a fraction of its larger side."""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="python benchmarks/moving_picture.py", description="Write a moving picture.")
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="a .webp file")
    parser.add_argument("--size", type=int, default=256, help="pixels along each side of both halves")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--quality", type=int, default=45)
    options = parser.parse_args()
    scene = Scene.load(options.run / "scene" / "scene.safetensors")
    frames = Frames.load(options.run / "frames")
    cycle = find_cycle(scene, TurntableExport.seconds)
    if frames.viewpoints is None or cycle is None:
        parser.error(f"this is no run of several videos in which something moves: {options.run}")
    turns = max(1, round(TurntableExport.seconds / cycle.period))
    count = round(turns * cycle.period * options.fps)
    path = TurntableExport(size=2 * options.size).path(scene, count)
    turned = fitted(render_frames(scene, path, options.fps), options.size)
    seen = [
        fitted(seen_by(frames, int(camera), [cycle.time_at(i / options.fps) for i in range(count)]), options.size // 2)
        for camera in np.linspace(0, frames.viewpoints.max() + 1, SHOWN, endpoint=False)
    ]
    left = np.concatenate([np.concatenate(seen[i : i + 2], 2) for i in range(0, SHOWN, 2)], 1)
    pictures = [Image.fromarray(rgb) for rgb in np.concatenate([left, turned], 2)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        options.out,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / options.fps),
        loop=0,
        quality=options.quality,
        method=6,
    )
    print(f"{options.out}: {count} pictures, {options.out.stat().st_size / 1000:.0f} kB")


def seen_by(frames: Frames, camera: int, times: list[float]) -> UInt8[np.ndarray, "T H W 3"]:
    """Return what a camera saw nearest to each time."""
    own = np.flatnonzero(frames.viewpoints == camera)
    return frames.rgb[own[np.abs(frames.times[own] - np.array(times)[:, None]).argmin(1)]]


def fitted(rgb: UInt8[np.ndarray, "T H W 3"], size: int) -> UInt8[np.ndarray, "T S S 3"]:
    """Return pictures in a square around all that is not background at some time."""
    away = np.abs(rgb.astype(np.int16) - rgb[:, :1, :1]).max((0, 3)) > 24
    top, bottom = span(away.any(1))
    left, right = span(away.any(0))
    half = (0.5 + MARGIN) * max(bottom - top, right - left)
    y, x = (top + bottom) / 2, (left + right) / 2
    box = tuple(round(value) for value in (x - half, y - half, x + half, y + half))
    background = tuple(rgb[0, 0, 0].tolist())
    squares = []
    for picture in rgb:
        canvas = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), background)
        canvas.paste(Image.fromarray(picture), (-box[0], -box[1]))
        squares.append(np.asarray(canvas.resize((size, size), Image.Resampling.LANCZOS)))
    return np.stack(squares)


def span(there: Bool[np.ndarray, "K"]) -> tuple[int, int]:
    """Return the first index that is true, and the one after the last."""
    index = np.flatnonzero(there)
    return int(index[0]), int(index[-1]) + 1


if __name__ == "__main__":
    main()
