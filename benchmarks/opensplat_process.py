"""Run OpenSplat: train with timing, and render held-out views.

It is a separate program (github.com/pierotofy/OpenSplat, AGPL-3.0); no part of it is in this project.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from img2world.core.cameras import Cameras
from img2world.core.views import Views
from img2world.formats.files import read_splats
from img2world.splat.metrics import match_colors, psnr, unit_rgb

STEP = re.compile(r"Step (\d+): (\S+)")
NEIGHBOURS = 15
"""Steps on each side whose median duration replaces that of a step that also wrote a file."""

FAR_AWAY = 20.0
"""Distance of the blind camera, in sizes of the scene."""

MAX_CHANGED = 1e-3
"""Fraction of the Gaussians that may change: a few are so large that the far camera sees them, too."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Timing and files of one training."""

    durations: list[float]
    """Seconds of each step, without writing files."""
    snapshots: dict[int, Path]
    """PLY files by the number of steps."""

    def seconds(self, steps: int) -> float:
        """Return the duration of the first steps, without reading the images."""
        return float(np.sum(self.durations[:steps]))


def train(
    binary: str, dataset: Path, out: Path, *, threads: int, seconds: float, save_every: int, options: tuple[str, ...]
) -> Training:
    """Train for a number of seconds. Raises RuntimeError with the last output line if it stops by itself."""
    out.mkdir(parents=True)
    command = [binary, str(dataset), "--keep-crs", "--save-every", str(save_every), "-o", str(out / "splat.ply")]
    marks, last_line, saved = [], "", set()
    with _start([*command, *options], threads) as process:
        assert process.stdout is not None  # It is a pipe.
        for line in process.stdout:
            last_line = line
            if STEP.match(line):
                marks.append(perf_counter())
            elif line.startswith("Wrote "):
                saved.add(len(marks))
            if marks and marks[-1] - marks[0] > seconds:
                break
        else:
            raise RuntimeError(f"OpenSplat stopped after {len(marks)} steps: {last_line.strip()}")
        process.kill()
    snapshots = {step: out / f"splat_{step}.ply" for step in sorted(saved)}
    return Training(durations=_durations(marks, saved), snapshots=snapshots)


def _start(command: list[str], threads: int) -> subprocess.Popen[str]:
    """Start the program with its output as lines."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def _durations(marks: list[float], saved: set[int]) -> list[float]:
    """Return the seconds of each step; steps that wrote a file get the median of the steps around them."""
    between = np.diff(marks)  # Entry k lies between steps k + 1 and k + 2.
    wrote = np.array([k + 1 in saved for k in range(len(between))], bool)
    clean = between.copy()
    for k in np.flatnonzero(wrote):
        near = slice(max(0, k - NEIGHBOURS), k + NEIGHBOURS)
        clean[k] = np.median(between[near][~wrote[near]])
    # The first step started before anything was printed.
    return [float(np.median(clean[:NEIGHBOURS])), *clean.tolist()]


@dataclass(frozen=True, kw_only=True)
class HeldOutRenderer:
    """Has OpenSplat render held-out views of its snapshots, at full size and over its own background.

    OpenSplat renders one view for validation, after a training step on all others. So it is given a dataset of two: the
    held-out view, and a camera so far from the scene that the step changes nothing.
    """

    binary: str
    views: Views
    """The held-out views."""
    points: Views
    """Views whose points OpenSplat reads but does not use."""
    folder: Path
    threads: int

    def psnr(self, snapshot: Path) -> float:
        """Return the mean PSNR in dB. Raises RuntimeError if the training step changed the Gaussians."""
        return float(np.mean([psnr(*self._pair(snapshot, i)) for i in range(len(self.views))]))

    def matched_psnr(self, snapshot: Path) -> float:
        """Return the same after the brightness and tint of each rendering are matched to its view."""
        pairs = [self._pair(snapshot, i) for i in range(len(self.views))]
        return float(np.mean([psnr(match_colors(*pair), pair[1]) for pair in pairs]))

    def _pair(self, snapshot: Path, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rendering and the picture of one view, [H, W, 3], 0 to 1."""
        dataset = self.folder / f"view-{i}"
        if not dataset.exists():
            _with_blind_view(self.views.select(np.array([i])), self.points).save(dataset)
        step, work = _steps_of(snapshot), Path(tempfile.mkdtemp(dir=self.folder))
        # OpenSplat renders after every tenth step: one more has to make a multiple of ten.
        start, last = work / "start.ply", 10 * (step // 10)
        data = snapshot.read_bytes()
        header = f"iteration {step}\n".encode()
        start.write_bytes(data.replace(header, f"iteration {last - 1}\n".encode(), 1))
        command = [self.binary, str(dataset), "--resume", str(start), "-n", str(last), "--keep-crs"]
        command += ["--num-downscales", "0", "--val-image", "0000.png", "--val-render", str(work)]
        with _start([*command, "-o", str(work / "end.ply")], self.threads) as process:
            output, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"OpenSplat could not render {snapshot.name}: {output.strip()[-200:]}")
        _check_unchanged(snapshot, work / "end.ply")
        with Image.open(work / f"{last}.png") as image:
            return unit_rgb(np.asarray(image.convert("RGB"))), unit_rgb(self.views.rgb[i])


def _steps_of(snapshot: Path) -> int:
    """Return the number of steps in a file's name."""
    return int(snapshot.stem.rpartition("_")[2])


def _with_blind_view(view: Views, source: Views) -> Views:
    """Return the view and a second camera with the scene behind it and to its left."""
    center = np.median(source.points, 0)
    size = float(np.percentile(np.linalg.norm(source.points - center, axis=1), 99))
    poses = np.repeat(view.cameras.world_from_cam, 2, 0)
    poses[1] = np.eye(4)
    poses[1, :3, 3] = center + FAR_AWAY * size * np.array([1.0, 0.0, 1.0])
    cameras = Cameras(
        world_from_cam=poses,
        intrinsics=np.repeat(view.cameras.intrinsics, 2, 0),
        width=view.cameras.width,
        height=view.cameras.height,
    )
    return replace(
        view,
        rgb=np.repeat(view.rgb, 2, 0),
        cameras=cameras,
        confidence=np.ones(2, np.float32),
        points=source.points,
        point_colors=source.point_colors,
        depth=None,
        alpha=None,
    )


def _check_unchanged(before: Path, after: Path) -> None:
    """Raise RuntimeError if two files hold different Gaussians."""
    old, new = read_splats(before).gaussians, read_splats(after).gaussians
    size = float(np.abs(old.means).max())
    # Positions were transformed to OpenSplat's world and back.
    same = len(old) == len(new) and np.abs(old.means - new.means).max() < 1e-4 * size
    if not same or (np.abs(old.logit_opacities - new.logit_opacities) > 1e-4).mean() > MAX_CHANGED:
        raise RuntimeError(f"OpenSplat changed {before.name} while rendering it, so the image shows something else")
