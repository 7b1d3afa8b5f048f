"""A browser to open pages in, and small scenes that no mirrored or turned picture can pass for."""

import os
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import rotation_about
from img2world.core.scene import Scene
from img2world.export.html import world_html

WIDTH, HEIGHT = 200, 150

CHROMIUM = os.environ.get("IMG2WORLD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# The software renderer draws the same picture on every machine, with or without a graphics card.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WINDOW = {"width": 320, "height": 240}


def cameras(yaws: list[float], *, distance: float = 1.0) -> Cameras:
    """Cameras on an arc about the origin, with unequal focal lengths and a centre that is off the middle."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(yaws), 1, 1))
    for pose, yaw in zip(poses, yaws, strict=True):
        pose[:3, :3] = rotation_about(np.array([0.0, 1, 0]), yaw)
        pose[:3, 3] = -pose[:3, :3] @ np.array([0, 0, distance], np.float32)
    intrinsics = np.array([[180, 0, 96], [0, 190, 80], [0, 0, 1]], np.float32)
    return Cameras(world_from_cam=poses, intrinsics=np.tile(intrinsics, (len(yaws), 1, 1)), width=WIDTH, height=HEIGHT)


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
    """The makers above. A fixture, since test files cannot import each other under every import mode."""
    return SimpleNamespace(cameras=cameras, three_blobs=three_blobs, cloud=cloud, scene_of=scene_of)


@pytest.fixture(scope="module")
def launch():
    """Opens a browser with a profile folder of its own, as a context manager."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the package chromium or set IMG2WORLD_CHROMIUM")

    @contextmanager
    def launched(folder, *, flags=(), **options):
        context = api.chromium.launch_persistent_context(
            str(folder),
            executable_path=CHROMIUM,
            args=[*FLAGS, *flags],
            headless=True,
            ignore_default_args=["--headless", "--headless=old"],
            viewport=WINDOW,
            **options,
        )
        yield context
        context.close()

    with sync_api.sync_playwright() as api:
        yield launched


@pytest.fixture(scope="module")
def browser(launch, tmp_path_factory):
    """With touch, and without motion of its own unless a test asks for it."""
    with launch(tmp_path_factory.mktemp("profile"), has_touch=True, reduced_motion="reduce") as context:
        yield context


@pytest.fixture
def open_scene(browser, tmp_path):
    """Opens a scene as a file; afterwards there must be no error and no request beyond the file."""
    page = browser.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))

    def open_it(scene, *, motion="reduce"):
        path = tmp_path / "world.html"
        path.write_text(world_html(scene, title="Test"), encoding="utf-8")
        page.emulate_media(reduced_motion=motion)
        page.goto(path.as_uri())
        page.evaluate("window.img2world.ready")
        return page

    yield open_it
    page.close()
    assert problems == []
    # The sorter is a blob of the page itself; the icon is empty data.
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
