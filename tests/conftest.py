import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

TINY = [
    "subject.kind=object", "trajectory.name=orbit", "trajectory.size=64", "trajectory.num_views=6",
    "video.name=synthetic",
    "video.supersample=1", "splat.steps=20", "splat.max_gaussians=500", "export.formats=ply,html",
]  # fmt: skip
"""Changes to the recipe `auto` that make a whole run take seconds."""


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
def tiny_run(command, picture, tmp_path):
    """Calls `img2world run` on the small picture with the tiny recipe."""

    def call(*words, out="run", **kwargs) -> subprocess.CompletedProcess:
        sets = [word for change in TINY for word in ("--set", change)]
        return command("run", picture, "--out", tmp_path / out, *sets, *words, **kwargs)

    return call
