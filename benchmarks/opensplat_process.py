"""OpenSplat as a program: train it with a clock beside it, and have it draw views that it has never seen.

It is a program of its own (github.com/pierotofy/OpenSplat, AGPL-3.0); nothing of it is in this project.
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
from img2world.core.splat_ply import read_gaussians
from img2world.core.views import Views
from img2world.splat.metrics import psnr, unit_rgb

STEP = re.compile(r"Step (\d+): (\S+)")
NEIGHBOURS = 15
"""Steps whose median duration stands for a step in which it also wrote a file."""

FAR_AWAY = 20.0
"""Where the blind camera stands, in units of the scene's size."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was seen of one training."""

    durations: list[float]
    """Seconds of each step, without the time to write files."""
    snapshots: dict[int, Path]
    """Its own PLY files by the number of steps done."""

    def seconds(self, steps: int) -> float:
        """Of training until so many steps were done; reading the pictures before is not counted."""
        return float(np.sum(self.durations[:steps]))


def train(
    binary: str, dataset: Path, out: Path, *, threads: int, seconds: float, save_every: int, options: tuple[str, ...]
) -> Training:
    """Let it train for so many seconds. Raises RuntimeError with what it said when it stops by itself."""
    out.mkdir(parents=True)
    command = [binary, str(dataset), "--keep-crs", "--save-every", str(save_every), "-o", str(out / "splat.ply")]
    marks, said, saved = [], "", set()
    with _start([*command, *options], threads) as process:
        assert process.stdout is not None  # It is a pipe.
        for line in process.stdout:
            said = line
            if STEP.match(line):
                marks.append(perf_counter())
            elif line.startswith("Wrote "):
                saved.add(len(marks))
            if marks and marks[-1] - marks[0] > seconds:
                break
        else:
            raise RuntimeError(f"OpenSplat stopped after {len(marks)} steps: {said.strip()}")
        process.kill()
    snapshots = {step: out / f"splat_{step}.ply" for step in sorted(saved)}
    return Training(durations=_durations(marks, saved), snapshots=snapshots)


def _start(command: list[str], threads: int) -> subprocess.Popen[str]:
    """The program with its output as lines."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def _durations(marks: list[float], saved: set[int]) -> list[float]:
    """Seconds of each step; those in which a file was written get the median of the steps around them."""
    between = np.diff(marks)  # Entry k lies between steps k + 1 and k + 2.
    wrote = np.array([k + 1 in saved for k in range(len(between))], bool)
    clean = between.copy()
    for k in np.flatnonzero(wrote):
        near = slice(max(0, k - NEIGHBOURS), k + NEIGHBOURS)
        clean[k] = np.median(between[near][~wrote[near]])
    # The first step began before anything was printed.
    return [float(np.median(clean[:NEIGHBOURS])), *clean.tolist()]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Has OpenSplat draw held-out views of its snapshots, at full size and over its own background.

    It draws one view for validation, after a step of training, and all other views are trained on. So it is
    given a dataset of two: the held-out view, and a camera so far off the scene that the step changes nothing.
    """

    binary: str
    views: Views
    """The held-out ones."""
    points: Views
    """Any views whose points it may read; they play no part."""
    folder: Path
    threads: int

    def psnr(self, snapshot: Path) -> float:
        """Mean over the views, in dB. Raises RuntimeError when the step in between changed the Gaussians."""
        return float(np.mean([self._psnr(snapshot, i) for i in range(len(self.views))]))

    def _psnr(self, snapshot: Path, i: int) -> float:
        """Of one view."""
        dataset = self.folder / f"view-{i}"
        if not dataset.exists():
            _with_blind_view(self.views.select(np.array([i])), self.points).save(dataset)
        step, work = _steps_of(snapshot), Path(tempfile.mkdtemp(dir=self.folder))
        # It draws after every tenth step: one more shall make a multiple of ten.
        start, drawn = work / "start.ply", 10 * (step // 10)
        data = snapshot.read_bytes()
        header = f"iteration {step}\n".encode()
        start.write_bytes(data.replace(header, f"iteration {drawn - 1}\n".encode(), 1))
        command = [self.binary, str(dataset), "--resume", str(start), "-n", str(drawn), "--keep-crs"]
        command += ["--num-downscales", "0", "--val-image", "0000.png", "--val-render", str(work)]
        with _start([*command, "-o", str(work / "end.ply")], self.threads) as process:
            said, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"OpenSplat could not draw {snapshot.name}: {said.strip()[-200:]}")
        _check_unchanged(snapshot, work / "end.ply")
        with Image.open(work / f"{drawn}.png") as picture:
            return psnr(unit_rgb(np.asarray(picture.convert("RGB"))), unit_rgb(self.views.rgb[i]))


def _steps_of(snapshot: Path) -> int:
    """From the file's name."""
    return int(snapshot.stem.rpartition("_")[2])


def _with_blind_view(view: Views, source: Views) -> Views:
    """The view, and a second camera with the scene behind it and to its left."""
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
    """Raise RuntimeError when two files hold other Gaussians."""
    old, new = read_gaussians(before), read_gaussians(after)
    size = float(np.abs(old.means).max())
    # The positions were moved and scaled to its own world and back.
    same = len(old) == len(new) and np.abs(old.means - new.means).max() < 1e-4 * size
    if not same or not np.allclose(old.logit_opacities, new.logit_opacities, atol=1e-4):
        raise RuntimeError(f"OpenSplat changed {before.name} while drawing it, so the picture is of something else")
