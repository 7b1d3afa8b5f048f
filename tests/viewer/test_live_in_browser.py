"""A training that is watched in a real browser, and stopped from there."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import numpy as np
import pytest

from img2world.core.scene import Scene
from img2world.viewer.live import LivePage
from img2world.viewer.live_server import live_server

pytestmark = pytest.mark.browser

TIMEOUT = 60.0
"""Seconds to wait for an event on a busy machine."""


@pytest.fixture
def page(browser):
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert problems == []


def wait_for(page, what, look):
    """Poll what `look` reads in the page until it is true, and return it."""
    limit = time.monotonic() + TIMEOUT
    while not (found := page.evaluate(look)):
        assert time.monotonic() < limit, f"{what} did not happen: {page.evaluate('img2world.live.state')}"
        page.wait_for_timeout(30)
    return found


def pixels(page) -> np.ndarray:
    """Return a thumbnail of what the page shows."""
    rows = page.evaluate(
        """() => {
            const { width, height, data } = img2world.readPixels();
            const at = (x, y) => [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)];
            const numbers = [];
            // As many for any size: the picture grows and shrinks with the panel.
            for (let i = 0.5; i < 32; i++) for (let j = 0.5; j < 32; j++)
                numbers.push(...at(Math.floor((j / 32) * width), Math.floor((i / 32) * height)));
            return numbers;
        }"""
    )
    return np.array(rows, np.float32)


def test_a_training_is_watched_and_stopped_from_the_page(page, picture, tiny, tmp_path):
    out = tmp_path / "run"
    sets = [word for change in [*tiny, "splat.steps=6000"] for word in ("--set", change)]
    words = ["run", str(picture), "--out", str(out), *sets, "--live", "--no-browser", "--json"]
    program = [sys.executable, "-m", "img2world.cli", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            event = json.loads(process.stdout.readline())
            assert event["event"] == "live"
            page.goto(event["url"])
            wait_for(page, "cameras", "() => img2world.live.world.kind === 'cameras' && img2world.live.splats.count")
            assert page.title() != ""
            wait_for(page, "a scene", "() => document.body.dataset.drawn === 'scene'")
            page.wait_for_timeout(700)  # The view has come to the first camera.
            first, revision = pixels(page), page.evaluate("img2world.live.revision")
            wait_for(page, "a better scene", f"() => img2world.live.revision > {revision}")
            assert np.abs(pixels(page) - first).mean() > 0.2
            assert "dB" in page.inner_text("#figures")
            # By keyboard: the second press is the one that counts.
            page.focus("#stop")
            page.keyboard.press("Enter")
            assert "again" in page.inner_text("#stop")
            page.keyboard.press("Enter")
            wait_for(page, "the end", "() => img2world.live.state.state === 'finished'")
            output, errors = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    # The program has ended, and the page shows what it has.
    assert page.inner_text("#stage") == "Finished"
    assert "exports/world.html" in page.text_content("#files")
    assert "report.html" in page.inner_text("#report")
    assert "img2world view" in page.inner_text("#command").replace("\n", " ")
    assert "Stopped at step" in page.inner_text("#note")
    assert pixels(page).std() > 5
    page.click("#close")
    assert not page.is_visible("#panel")
    report = json.loads((out / "report.json").read_text())
    stopped_at = report["metrics"]["stopped_at"]
    assert 0 < stopped_at < 6000
    assert json.loads(output.splitlines()[-1])["metrics"]["stopped_at"] == stopped_at
    scene = Scene.load(out / "scene" / "scene.safetensors")
    # What the page drew last is the scene that was saved.
    assert page.evaluate("img2world.live.world.drawn") == len(scene.gaussians)


@contextmanager
def forwarded(target: int, port: int = 0):
    """Forward a port to another, as ssh -L does; yields its number. At the end all connections break."""
    listener = socket.create_server(("127.0.0.1", port))
    ends = [listener]

    def pump(source, sink):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept():
        with suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", target))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def test_a_forwarded_connection_that_breaks_comes_back_and_an_end_is_told(page, scenes):
    state = LivePage("photo")
    scene = scenes.scene_of(scenes.cloud(200, 1))
    with live_server(state, title="photo") as url:
        target = urlsplit(url).port
        state.show(lambda: scene.cameras)
        with forwarded(target) as port:
            page.goto(url.replace(f"127.0.0.1:{target}", f"localhost:{port}"))
            wait_for(page, "cameras", "() => img2world.live.revision === 1")
            page.keyboard.press("c")
            wait_for(page, "a view without cameras", "() => document.querySelector('#cameras').ariaPressed === 'false'")
        wait_for(page, "a notice", "() => document.querySelector('#mode').textContent.startsWith('No connection')")
        state.show(lambda: scene)
        with forwarded(target, port):
            wait_for(page, "a scene", "() => img2world.live.revision === 2")
            wait_for(page, "the state", "() => document.querySelector('#mode').textContent === ''")
            state.end("rejected", message="the cameras cannot be trusted", hint="film again")
            wait_for(page, "the end", "() => document.body.dataset.over === 'rejected'")
    page.wait_for_timeout(200)
    assert page.inner_text("#figures") == "the cameras cannot be trusted"
    assert page.inner_text("#note") == "film again"
    assert page.inner_text("#mode") == ""
    assert pixels(page).std() > 5
