import gc
import os
import subprocess
import sys
import warnings
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import chromium
import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import rotation_about
from img2world.core.scene import Scene

pytest_plugins = ["tests.balls"]

TINY = [
    "subject.kind=object", "subject.model=none", "trajectory.name=orbit", "trajectory.size=64",
    "trajectory.num_views=6", "video.name=synthetic", "video.supersample=1",
    "splat.steps=20", "splat.max_gaussians=500", "export.formats=ply,html",
]  # fmt: skip
"""Changes to the recipe `auto` that make a whole run take seconds."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Give each worker one thread: threads of several workers on the same cores mostly wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Spare the garbage collector what is imported here: packages and tests are there to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def save_picture(path: Path) -> Path:
    """Write a small picture of seeded blots."""
    rng = np.random.default_rng(0)
    PillowImage.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120)).save(path)
    return path


@pytest.fixture
def picture(tmp_path) -> Path:
    """A small picture of seeded blots."""
    return save_picture(tmp_path / "photo.png")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The run folder of a tiny run; to be copied, never to be changed."""
    from img2world.pipeline import run
    from img2world.runs.recipe import load_recipe
    from img2world.runs.source import find_source

    folder = tmp_path_factory.mktemp("finished")
    save_picture(folder / "photo.png")
    run(find_source(folder / "photo.png"), load_recipe("auto", TINY), folder / "run")
    return folder / "run"


@pytest.fixture
def tiny() -> list[str]:
    """Changes to a recipe that make a whole run take seconds."""
    return list(TINY)


@pytest.fixture
def command():
    """Runs the program as a user does, in a process of its own."""

    def call(*words, **kwargs) -> subprocess.CompletedProcess:
        program = [sys.executable, "-m", "img2world.cli", *map(str, words)]
        return subprocess.run(program, capture_output=True, text=True, timeout=300, check=False, **kwargs)

    return call


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that calls the program in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    def call(*words):
        from img2world.cli import main

        monkeypatch.setattr(sys, "argv", ["img2world", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def tiny_run(command, picture, tmp_path):
    """Calls `img2world run` on the small picture with the tiny recipe."""

    def call(*words, out="run", **kwargs) -> subprocess.CompletedProcess:
        sets = [word for change in TINY for word in ("--set", change)]
        return command("run", picture, "--out", tmp_path / out, *sets, *words, **kwargs)

    return call


def cameras(yaws: list[float], *, distance: float = 1.0) -> Cameras:
    """Cameras on an arc about the origin, with unequal focal lengths and a centre that is off the middle."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(yaws), 1, 1))
    for pose, yaw in zip(poses, yaws, strict=True):
        pose[:3, :3] = rotation_about(np.array([0.0, 1, 0]), yaw)
        pose[:3, 3] = -pose[:3, :3] @ np.array([0, 0, distance], np.float32)
    intrinsics = np.array([[180, 0, 96], [0, 190, 80], [0, 0, 1]], np.float32)
    return Cameras(world_from_cam=poses, intrinsics=np.tile(intrinsics, (len(yaws), 1, 1)), width=200, height=150)


def three_blobs() -> Gaussians:
    """A red, a green and a blue one, long in different directions, whose colours depend on the view."""
    rng = np.random.default_rng(3)
    sh = rng.normal(0, 0.25, (3, 4, 3))
    sh[:, 0] = [[1.4, -1.2, -1.0], [-1.1, 1.3, -0.9], [-1.0, -0.8, 1.5]]
    arrays = {
        "means": [[-0.2, -0.12, 0.1], [0.16, 0.02, -0.05], [0.02, 0.17, 0.2]],
        "quats": [[0.9, 0.1, 0.3, 0.3], [0.7, -0.5, 0.1, 0.6], [0.5, 0.4, 0.8, -0.2]],
        "log_scales": np.log([[0.16, 0.03, 0.06], [0.03, 0.12, 0.05], [0.14, 0.04, 0.02]]),
        "logit_opacities": [3.0, 1.0, 6.0],
        "sh": sh,
    }
    return Gaussians(**{name: np.array(array, np.float32) for name, array in arrays.items()})


def cloud(count: int, degree: int) -> Gaussians:
    """Many overlapping Gaussians of all shapes, some behind the cameras or right before them."""
    rng = np.random.default_rng(degree)
    arrays = {
        "means": rng.normal(0, 0.45, (count, 3)),
        "quats": rng.normal(0, 1, (count, 4)),
        "log_scales": rng.uniform(-5.5, -2, (count, 3)),
        "logit_opacities": rng.normal(0.5, 2.5, count),
        "sh": np.concatenate(
            [rng.normal(0, 1.2, (count, 1, 3)), rng.normal(0, 0.2, (count, (degree + 1) ** 2 - 1, 3))], 1
        ),
    }
    return Gaussians(**{name: array.astype(np.float32) for name, array in arrays.items()})


def scene_of(gaussians: Gaussians, *, is_object: bool = False) -> Scene:
    background = (1.0, 1.0, 1.0) if is_object else (0.1, 0.25, 0.4)
    views = cameras([0.0, -0.25, 0.15])
    return Scene(gaussians=gaussians, cameras=views, background=background, is_object=is_object)


@pytest.fixture(scope="session")
def scenes() -> SimpleNamespace:
    """Small scenes that no mirrored or rotated image can pass for: `scenes.scene_of(scenes.three_blobs())`."""
    return SimpleNamespace(cameras=cameras, three_blobs=three_blobs, cloud=cloud, scene_of=scene_of)


@pytest.fixture(scope="session")
def photo_subject():
    """Return a function from the name of a sample photo to what is found in it, to be read, never to be changed."""
    from skimage import data

    from img2world.core.image import Image
    from img2world.layered.subject import AutoSubject

    return cache(lambda name: AutoSubject().find(Image(rgb=getattr(data, name)())))


@pytest.fixture(scope="session")
def launch():
    """Opens a browser with a profile folder of its own: `with launch(folder) as context`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    if chromium.CHROMIUM is None:
        pytest.skip(chromium.NO_CHROMIUM)
    # Playwright allows one in a process, so that all folders of tests share it.
    with sync_api.sync_playwright() as api:
        yield partial(chromium.open_chromium, api)
