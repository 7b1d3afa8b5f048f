"""A browser that opens world pages."""

import os
import shutil
from contextlib import contextmanager

import pytest

from img2world.export.html import world_html

CHROMIUM = os.environ.get("IMG2WORLD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# The software renderer gives the same image on every machine, with or without a graphics card.
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


@pytest.fixture(scope="session")
def launch():
    """Opens a browser with a profile folder of its own: `with launch(folder) as context`."""
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


@pytest.fixture(scope="session")
def browser(launch, tmp_path_factory):
    """A browser with touch input that prefers reduced motion."""
    with launch(tmp_path_factory.mktemp("profile"), has_touch=True, reduced_motion="reduce") as context:
        yield context


@pytest.fixture
def open_scene(browser, tmp_path):
    """Opens the page of a scene as a file; it must cause no error and no request for anything else."""
    page = browser.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))

    def open_it(scene, *, motion="reduce", free=False, size=WINDOW):
        page.set_viewport_size(size)
        path = tmp_path / "world.html"
        path.write_text(world_html(scene, title="Test"), encoding="utf-8")
        page.emulate_media(reduced_motion=motion)
        page.goto(path.as_uri())
        page.evaluate("window.img2world.ready")
        if free:
            page.keyboard.press("l")
        return page

    yield open_it
    page.close()
    assert problems == []
    # The sort worker is a blob of the page, the icon an empty data URL.
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
