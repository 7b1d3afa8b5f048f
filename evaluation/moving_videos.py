"""Videos of a scene that moves, one for each camera around it: input to try `img2world run` with, or to show.

    python -m evaluation.moving_videos cameras/
    python -m evaluation.moving_videos cameras/ --assets Mage.glb --scene "mage cheer"

Its pictures are made from a seed, or of a character with clips, such as the CC0 ones of KayKit.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from evaluation.moving_characters import character_kinds
from evaluation.moving_scenes import KINDS, MovingScene, make_scene, render_scene, ring_of_cameras
from img2world.core.cameras import save_cameras
from img2world.core.errors import Img2WorldError
from img2world.export.mp4 import write_mp4

ELEVATION = 0.25
"""Height of all cameras in radians."""

CRF = 12
"""Constant rate factor of the videos: those of a good camera."""


def write_videos(
    scene: MovingScene, folder: Path, *, cameras: int, frames: int, size: int, fps: float, told: bool = False
) -> None:
    """Write cam_00.mp4 and so on: what cameras in even steps around a scene see at the same times from 0 to 1.

    `told` writes transforms.json, too: where they stand. Raises ExportError when a video cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ring, times = ring_of_cameras(cameras, size, elevations=(ELEVATION, ELEVATION)), np.linspace(0, 1, frames)
    names = [f"cam_{i:02d}" for i in range(cameras)]
    for i, name in enumerate(names):
        seen = render_scene(scene, ring.select(np.full(frames, i)), times)
        write_mp4(seen.views.rgb, folder / f"{name}.mp4", fps, crf=CRF)
    if told:
        save_cameras(ring, folder / "transforms.json", [f"{name}.mp4" for name in names])


def main() -> None:
    """Write the videos that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.moving_videos", description="Write videos of a scene that moves."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scene", default="hinged box", help="as of `python -m evaluation motion`")
    parser.add_argument("--assets", type=Path, help="a GLB file with clips, or a folder of such")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, default=480, help="pixels along each side")
    parser.add_argument("--fps", type=float, default=12.0)
    parser.add_argument("--told", action="store_true", help="write transforms.json, where the cameras stand, too")
    options = parser.parse_args()
    try:
        kinds = KINDS if options.assets is None else character_kinds(options.assets)
        if options.scene not in kinds:
            parser.error(f"there is no scene {options.scene!r}, only {', '.join(kinds)}")
        scene = make_scene(options.scene, options.seed, kinds)
        shape = {name: getattr(options, name) for name in ("cameras", "frames", "size", "fps", "told")}
        write_videos(scene, options.folder, **shape)
    except Img2WorldError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
