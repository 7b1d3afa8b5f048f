"""Programs without a browser: f3d, Blender and Godot, each in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from engine_protocol import FAR, NEAR, View, view_of
from jaxtyping import Float32
from PIL import Image

from img2world.core.cameras import Cameras

FOLDER = Path(__file__).parent
BLENDER = FOLDER.parents[1] / ".venv-blender" / "bin" / "python"
"""Python with the package bpy, which allows one version of NumPy only and so has an environment of its own."""

TIMEOUT = 120.0

Color = tuple[float, float, float]


class ProgramMissingError(Exception):
    """A program is not installed; the message says how to get it."""


def draw_with_f3d(path: Path, camera: Cameras, background: Color) -> Float32[np.ndarray, "H W 3"]:
    """Return a mesh or splats as f3d draws them, of splats the harmonics of degree 0 only."""
    if find_spec("f3d") is None:
        raise ProgramMissingError("no f3d: .venv/bin/pip install f3d")
    if sys.platform == "linux" and find_library("EGL") is None:
        raise ProgramMissingError("f3d has no OpenGL: apt-get install libegl1 libgl1-mesa-dri")
    with tempfile.TemporaryDirectory() as folder:
        job = _job(view_of(camera, "f3d", path), camera, background, Path(folder) / "picture.png")
        return _run([sys.executable, FOLDER / "f3d_scene.py"], {**job, "file": str(path)})


def draw_with_blender(
    path: Path, camera: Cameras, background: Color, time: float | None = None
) -> Float32[np.ndarray, "H W 3"]:
    """Return a mesh as Blender's Cycles draws it, of an animated one the pose at a time."""
    _check_blender()
    with tempfile.TemporaryDirectory() as folder:
        job = _job(view_of(camera, "blender", path), camera, background, Path(folder) / "picture.png")
        return _run([BLENDER, FOLDER / "blender_scene.py"], {**job, "file": str(path), "time": time})


def places_in_blender(splats: Path, mesh: Path, turn: dict) -> dict[str, list]:
    """Return the boxes around the points of a PLY file, turned, and of a GLB file, in Blender."""
    _check_blender()
    with tempfile.TemporaryDirectory() as folder:
        job = {"splats": str(splats), "mesh": str(mesh), "turn": turn, "out": str(Path(folder) / "places.json")}
        _call([BLENDER, FOLDER / "blender_places.py"], job)
        return json.loads(Path(job["out"]).read_text())


def _check_blender() -> None:
    """Raise ProgramMissingError where Blender is not installed."""
    if not BLENDER.exists():
        raise ProgramMissingError("no Blender: make .venv-blender/ready")


def draw_with_godot(
    path: Path, camera: Cameras, background: Color, time: float | None = None
) -> Float32[np.ndarray, "H W 3"]:
    """Return a mesh as Godot 3 draws it in white light, after its editor has imported it, animated at a time."""
    if shutil.which("godot3") is None or shutil.which("xvfb-run") is None:
        raise ProgramMissingError("no Godot: apt-get install godot3 xvfb xauth")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(FOLDER / "godot", project)
        shutil.copy(path, project / "asset.glb")
        job = _job(view_of(camera, "godot", path), camera, background, Path(folder) / "picture.png")
        words = ["xvfb-run", "--auto-servernum", "godot3", "--path", project, "--audio-driver", "Dummy"]
        size = ["--resolution", f"{camera.width}x{camera.height}"]
        # Home is where the editor keeps its settings.
        environment = {"HOME": folder, "LIBGL_ALWAYS_SOFTWARE": "1"}
        _wait([*words, "--editor", "--quit"], environment)
        return _run([*words, *size], {**job, "time": time}, **environment)


def _job(view: View, camera: Cameras, background: Color, out: Path) -> dict:
    """Return what a program is to draw."""
    return {
        "out": str(out),
        "pose": view.pose.tolist(),
        "fov_y_deg": view.fov_y_deg,
        "near": NEAR,
        "far": FAR,
        "width": camera.width,
        "height": camera.height,
        "background": list(background),
    }


def _run(words: list, job: dict, **environment: str) -> Float32[np.ndarray, "H W 3"]:
    """Run a program and return the picture that it writes."""
    _call(words, job, **environment)
    pixels = np.asarray(Image.open(job["out"]).convert("RGBA"), np.float32) / 255
    return pixels[..., :3] * pixels[..., 3:] + np.array(job["background"], np.float32) * (1 - pixels[..., 3:])


def _call(words: list, job: dict, **environment: str) -> None:
    """Run a program, which reads its job from the environment and writes a file."""
    code, text = _wait(words, environment | {"ENGINE_JOB": json.dumps(job)})
    if code or not Path(job["out"]).exists():
        raise RuntimeError(f"{words[0]} has written nothing: {text[-2000:]}")


def _wait(words: list, environment: dict[str, str]) -> tuple[int, str]:
    """Run a program to its end, or stop it after TIMEOUT, and return its exit code and output."""
    process = subprocess.Popen(
        words,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=TIMEOUT)
    finally:
        # What it started, such as a program in a virtual display, ends with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, text
