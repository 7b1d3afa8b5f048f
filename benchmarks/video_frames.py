"""Measure how frames of a 4K video are chosen and decoded: `python benchmarks/video_frames.py FOLDER [--write]`.

The video is that of benchmarks/walk_video.py, which is made first if FOLDER does not hold it (half an hour). Blur is
the true length in pixels of the paths of points while the shutter was open.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from report import machine, write_section

from img2world.video.file import FileVideo
from img2world.video.frame_selection import NEEDED_STEP

COLUMNS = ("video", "frames", "chosen", "s", "CPU s", "peak GB", "blur", "90 %", "blur if even in time", "90 %")


def measure(video: Path, blur: np.ndarray, rate: int = 30) -> str:
    """Return the row of a video."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    frames = FileVideo(path=video).generate(None, None)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    chosen = blur[np.round(frames.times * rate).astype(int)]
    even = blur[np.linspace(0, len(blur) - 1, len(frames)).round().astype(int)]
    figures = [f"{np.median(b):.0f} | {np.percentile(b, 90):.0f}" for b in (chosen, even)]
    cost = f"{seconds:.0f} | {cpu:.0f} | {after.ru_maxrss / 1e6:.2f}"
    return f"| {video.name} | {len(blur)} | {len(frames)} | {cost} | {' | '.join(figures)} |"


def main() -> None:
    """Measure the videos of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/README.md")
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    truth = args.folder / "truth.npz"
    if not truth.exists():
        maker = Path(__file__).with_name("walk_video.py")
        subprocess.run([sys.executable, maker, args.folder, "--seconds", str(args.seconds)], check=True)
    if args.row:
        import av

        with av.open(str(args.row)) as container:
            count = container.streams.video[0].frames
        print(measure(args.row, np.load(truth)["blur"][:count]))
        return
    rows = []
    for video in sorted(args.folder.glob("*.mp4")):
        command = [sys.executable, __file__, str(args.folder), "--row", str(video)]
        rows.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
        print(rows[-1], flush=True)
    text = f"{machine()}; a frame for each {NEEDED_STEP} diagonals of motion.\n\n" + "\n".join(
        [" | ".join(("", *COLUMNS, "")).strip(), "|---" * len(COLUMNS) + "|", *rows]
    )
    if args.write:
        write_section("video_frames", text)


if __name__ == "__main__":
    main()
