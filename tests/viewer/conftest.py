"""A browser that opens world pages."""

from contextlib import contextmanager

import pytest
from chromium import WINDOW

from img2world.export.html import world_html


@pytest.fixture(scope="session")
def browser(launch, tmp_path_factory):
    """A browser with touch input that prefers reduced motion."""
    with launch(tmp_path_factory.mktemp("profile"), has_touch=True, reduced_motion="reduce") as context:
        yield context


@pytest.fixture
def open_scene(browser, tmp_path):
    """Opens the page of a scene as a file; it must cause no error and no request for anything else."""
    with opened(browser, tmp_path) as open_it:
        yield open_it


@contextmanager
def opened(browser, folder):
    """Yield the function that opens scenes in a page of its own, and check it at the end."""
    page = browser.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))

    def open_it(scene, *, motion="reduce", free=False, size=WINDOW):
        page.set_viewport_size(size)
        path = folder / "world.html"
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
