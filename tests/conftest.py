import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

TINY = [
    "trajectory.name=orbit", "trajectory.size=64", "trajectory.num_views=8", "video.name=synthetic",
    "video.supersample=1", "splat.steps=30", "splat.max_gaussians=600", "export.formats=ply,html",
]  # fmt: skip
"""Changes to the recipe `auto` that make a whole run take seconds."""


@pytest.fixture
def picture(tmp_path) -> Path:
    """A small picture of seeded blots."""
    rng = np.random.default_rng(0)
    blots = PillowImage.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120))
    blots.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


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
