"""A scene that moves in a real browser: its pixels compared with our rasterizer, and its player."""

import time
from dataclasses import replace

import numpy as np
import pytest

from img2world.core.scene import Scene
from img2world.render import render
from tests.moving import DURATION, moving_scene
from tests.viewer.conftest import opened
from tests.viewer.test_page_in_browser import TIMEOUT, assert_same_images, camera_of, lose_graphics_card, pixels_of

pytestmark = pytest.mark.browser

DESKTOP = {"width": 640, "height": 400}


@pytest.fixture(scope="module")
def scene() -> Scene:
    scene = moving_scene(60)
    # From the second camera, the arm is before and behind the body in turn.
    return replace(scene, cameras=scene.cameras.select([0, 1]))


@pytest.fixture(scope="module")
def shared(browser, scene, tmp_path_factory):
    with opened(browser, tmp_path_factory.mktemp("player")) as open_scene:
        yield open_scene(scene, size=DESKTOP)


@pytest.fixture
def page(shared):
    """The one page of all tests, paused at the start, at rest, with the focus nowhere."""
    shared.evaluate("document.activeElement.blur(); img2world.setTime(0)")
    wait_for(shared, "rest", lambda now: not shared.evaluate("img2world.isMoving()"))
    return shared


def time_of(page) -> float:
    return page.evaluate("img2world.getTime()")


def wait_for(page, what, condition):
    limit = time.monotonic() + TIMEOUT
    while not condition(time_of(page)):
        assert time.monotonic() < limit, f"{what} did not happen"
        page.wait_for_timeout(20)


def at(scene: Scene, seconds: float) -> Scene:
    return replace(scene, gaussians=scene.at(seconds), motion=None)


@pytest.mark.parametrize("seconds", [0.0, 0.8, 2.0])
def test_pixels_equal_our_rasterizer(page, scene, seconds):
    page.evaluate("seconds => img2world.setTime(seconds)", seconds)
    assert time_of(page) == seconds
    # As much as of pages that do not move.
    assert_same_images(page, at(scene, seconds), largest=6)


def test_plays_and_pauses(page, scene):
    page.keyboard.press("Space")
    assert page.evaluate("img2world.isPlaying()")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    wait_for(page, "playing", lambda now: now > 0.6)
    page.click("#play")
    assert page.get_attribute("#play", "aria-label") == "Play"
    paused = time_of(page)
    for i in range(len(scene.cameras)):
        camera = scene.cameras.select([i])
        expected = render(scene.at(paused), camera, background=scene.background).rgb[0] * 255
        off = np.abs(pixels_of(page, camera) - expected).max(-1)
        # At any time two Gaussians may be as far away and change places, which few pixels show. A sixtieth of a second
        # changes at least one in sixty.
        assert (off > 4).mean() < 0.01
    assert time_of(page) == paused
    assert page.inner_text("#clock") == f"{paused:.2f} / 2.00 s"


def test_a_pause_draws_nothing(page):
    page.evaluate(
        """() => {
            const drawing = WebGL2RenderingContext.prototype;
            const draw = drawing.drawElementsInstanced;
            window.draws = 0;
            drawing.drawElementsInstanced = function (...words) { window.draws++; return draw.apply(this, words); };
        }"""
    )
    page.keyboard.press("Space")
    wait_for(page, "playing", lambda now: now > 0)
    page.keyboard.press("Space")
    assert page.evaluate("window.draws") > 0
    # Full resolution comes back a quarter of a second after a motion.
    page.wait_for_timeout(500)
    page.evaluate("window.draws = 0")
    page.wait_for_timeout(300)
    assert page.evaluate("window.draws") == 0


def test_keys(page):
    assert page.get_attribute("#idle", "aria-pressed") == "false"
    for key, expected in [(".", 0.5), (".", 1), (",", 0.5), ("End", 2), (".", 2), (",", 1.5), ("Home", 0), (",", 0)]:
        page.keyboard.press(key)
        assert time_of(page) == expected
    page.click("#onward")
    page.click("#onward")
    page.click("#back")
    # A clicked button does not take the space key.
    page.keyboard.press("Space")
    assert page.evaluate("img2world.isPlaying()")
    page.keyboard.press("Space")
    assert not page.evaluate("img2world.isPlaying()")
    assert time_of(page) >= 0.5
    # The space key belongs to the player; the idle motion has another one.
    assert page.get_attribute("#idle", "aria-pressed") == "false"
    page.keyboard.press("i")
    assert page.get_attribute("#idle", "aria-pressed") == "true"
    page.keyboard.press("i")


def test_slider(page):
    box = page.locator("#time").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert time_of(page) == pytest.approx(DURATION / 2, abs=0.02)
    assert page.get_attribute("#time", "aria-valuetext") == f"{time_of(page):.2f} seconds"
    before, camera = time_of(page), camera_of(page)
    page.keyboard.press("ArrowRight")
    assert time_of(page) > before
    page.keyboard.press("Home")
    assert time_of(page) == 0
    # The arrow keys of the slider do not move the camera.
    page.wait_for_timeout(100)
    np.testing.assert_array_equal(camera_of(page), camera)


def test_touch_on_the_slider(page):
    box = page.locator("#time").bounding_box()
    session = page.context.new_cdp_session(page)
    for kind, part in [("touchStart", 0.25), ("touchMove", 0.5), ("touchMove", 0.75), ("touchEnd", None)]:
        place = [] if part is None else [{"x": box["x"] + part * box["width"], "y": box["y"] + box["height"] / 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": place})
    wait_for(page, "seeking", lambda now: abs(now - 0.75 * DURATION) < 0.05)


def test_speed_and_repeat(page):
    assert page.inner_text("#speed") == "1×"
    for key, text in [("]", "2×"), ("]", "2×"), ("[", "1×"), ("[", "0.5×"), ("[", "0.25×")]:
        page.keyboard.press(key)
        assert page.inner_text("#speed") == text
    way, seconds = page.evaluate(
        """async () => {
            const frame = () => new Promise(requestAnimationFrame);
            document.getElementById("play").click();
            await frame();
            const begin = [await frame(), img2world.getTime()];
            let now;
            do now = await frame(); while (now < begin[0] + 400);
            return [img2world.getTime() - begin[1], (now - begin[0]) / 1000];
        }"""
    )
    assert way == pytest.approx(0.25 * seconds, rel=0.05)
    for _ in range(3):
        page.click("#speed")
    assert page.inner_text("#speed") == "2×"

    # From near the end: from the start again, or back, or no further.
    page.evaluate("img2world.setTime(1.9)")
    page.keyboard.press("Space")
    wait_for(page, "the start", lambda now: now < 1)
    page.click("#repeat")
    assert "back and forth" in page.get_attribute("#repeat", "aria-label")
    page.evaluate("img2world.setTime(1.9)")
    page.keyboard.press("Space")
    wait_for(page, "the way back", lambda now: 1 < now < 1.9)
    page.click("#repeat")
    page.evaluate("img2world.setTime(1.9)")
    page.keyboard.press("Space")
    wait_for(page, "the end", lambda now: not page.evaluate("img2world.isPlaying()"))
    assert time_of(page) == DURATION
    page.keyboard.press("Space")
    wait_for(page, "once more", lambda now: 0 < now < 1.9)
    page.click("#repeat")
    page.keyboard.press("[")


def test_time_in_the_address(page):
    plain = page.url.partition("#")[0]
    page.goto(f"{plain}#t=0.5")
    wait_for(page, "the time", lambda now: now == 0.5)
    page.goto(f"{plain}#t=99")
    wait_for(page, "the end", lambda now: now == DURATION)
    page.goto(f"{plain}#t=never")
    page.goto(f"{plain}#t=1.25")
    wait_for(page, "the time", lambda now: now == 1.25)
    page.emulate_media(reduced_motion="no-preference")
    page.reload()
    page.evaluate("img2world.ready")
    assert time_of(page) == 1.25
    assert not page.evaluate("img2world.isPlaying()")
    page.goto(f"{plain}#")
    page.reload()
    page.evaluate("img2world.ready")
    assert page.evaluate("img2world.isPlaying()")
    wait_for(page, "playing", lambda now: now > 0)
    # The fixture of all tests is for those who prefer no motion: then nothing plays by itself.
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    page.evaluate("img2world.ready")
    assert (time_of(page), page.evaluate("img2world.isPlaying()")) == (0, False)


# This browser has touch input; in the narrowest windows it takes smaller buttons.
@pytest.mark.parametrize(("width", "smallest"), [(320, 38), (360, 42), (640, 42)])
def test_bar_fits(page, width, smallest):
    size = {"width": width, "height": 480}
    page.set_viewport_size(size)
    # The widest text of the speed.
    page.keyboard.press("[")
    page.keyboard.press("[")
    boxes = {
        name: page.locator(f"#{name}").bounding_box()
        for name in ("play", "back", "onward", "time", "clock", "speed", "repeat")
    }
    page.set_viewport_size(DESKTOP)
    page.keyboard.press("]")
    page.keyboard.press("]")
    for name, box in boxes.items():
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"]
        assert box["y"] + box["height"] <= size["height"]
        assert name == "clock" or min(box["width"], box["height"]) >= smallest
    assert boxes["time"]["width"] > 150
    names = list(boxes)
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            a, b = boxes[name], boxes[other]
            apart = [
                a[x] + a[w] <= b[x] + 0.1 or b[x] + b[w] <= a[x] + 0.1 for x, w in (("x", "width"), ("y", "height"))
            ]
            assert any(apart), (name, other)


def test_bones_come_back_with_a_lost_graphics_card(page, scene):
    page.evaluate("img2world.setTime(1.3)")
    before = pixels_of(page, scene.cameras.select([0]))
    lose_graphics_card(page)
    np.testing.assert_array_equal(pixels_of(page, scene.cameras.select([0])), before)
