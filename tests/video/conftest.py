from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import MAKERS

from img2world.core.camera_paths import on_sphere
from img2world.core.image import Image
from img2world.core.subject import Subject
from img2world.layered.subject import AutoSubject


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Return a function that returns the folder of a tiny checkpoint; each is made once and must not be changed."""
    torch = pytest.importorskip("torch")
    made = {}

    def get(name) -> Path:
        if name not in made:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                made[name] = tmp_path_factory.mktemp("checkpoints") / name
                MAKERS[name]().save_pretrained(made[name])
        return made[name]

    return get


@pytest.fixture
def decoded_here(monkeypatch):
    """Decode videos in this process: the start of another takes far longer than those of tests."""
    from img2world.core.progress import silent
    from img2world.video import file
    from img2world.video.decode import decode

    monkeypatch.setattr(file, "run_child", lambda module, options, **_: decode(options, silent))


@pytest.fixture(scope="session")
def scene_subject() -> Subject:
    """Return a landscape picture of seeded blots, without a plain background."""
    from PIL import Image as PillowImage

    blots = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
    rgb = np.asarray(PillowImage.fromarray(blots).resize((112, 80), PillowImage.Resampling.BICUBIC))
    return AutoSubject().find(Image(rgb=rgb))


@pytest.fixture(scope="session")
def object_subject() -> Subject:
    """Return a cut-out ball with a highlight at the upper left."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    inside = x * x + y * y < 0.5
    shade = 200 - 90 * np.hypot(x + 0.3, y + 0.3)
    rgb = np.where(inside[..., None], np.stack([shade, 0.6 * shade, 0.3 * shade], -1), 255)
    alpha = np.where(inside, 255, 0).astype(np.uint8)
    return AutoSubject().find(Image(rgb=rgb.clip(0, 255).astype(np.uint8), alpha=alpha))


@pytest.fixture(scope="session")
def path_for():
    """Return a function that returns an asymmetric path for a picture: to the right, up and nearer."""

    def make(subject, num_views=3):
        from img2world.trajectory.paths import along

        azimuths = np.linspace(0, np.radians(6), num_views)
        return along(subject, 96, on_sphere(azimuths, 0.5 * azimuths))

    return make
