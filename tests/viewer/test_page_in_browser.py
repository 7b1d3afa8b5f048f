"""The page in a real browser: its pixels compared with our rasterizer, and its controls."""

import base64
import time

import numpy as np
import pytest

from img2world.core.cameras import Cameras
from img2world.export.html import world_html
from img2world.render import render

pytestmark = pytest.mark.browser

TIMEOUT = 30.0
"""Seconds to wait for an event; a busy machine draws slowly."""


def wait_until(page, what, condition):
    """Poll a condition on the page's camera from outside, since the page's security policy forbids eval."""
    limit = time.monotonic() + TIMEOUT
    while not condition(camera_of(page)):
        assert time.monotonic() < limit, f"{what} did not happen"
        page.wait_for_timeout(50)


def camera_of(page) -> np.ndarray:
    return np.array(page.evaluate("window.img2world.getCamera().worldFromCam")).reshape(4, 4)


def moved(page, before: np.ndarray) -> np.ndarray:
    """Return the camera once it has left `before` and come to rest."""
    wait_until(page, "a move", lambda camera: not np.array_equal(camera, before))
    wait_until(page, "rest", lambda camera: not page.evaluate("window.img2world.isMoving()"))
    return camera_of(page)


def lose_graphics_card(page) -> None:
    """Take the graphics card from a page, and give it back."""
    page.evaluate(
        """async () => {
            const canvas = document.getElementById("canvas");
            const switchOff = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
            const happened = (name) => new Promise((resolve) => canvas.addEventListener(name, resolve, { once: true }));
            const lost = happened("webglcontextlost");
            switchOff.loseContext();
            await lost;
            const restored = happened("webglcontextrestored");
            setTimeout(() => switchOff.restoreContext());
            await restored;
        }"""
    )


def pixels_of(page, camera: Cameras) -> np.ndarray:
    """Return the page's image of one camera, [H, W, 3] uint8."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics[0].tolist()
    arguments = [camera.world_from_cam[0].ravel().tolist(), fx, fy, cx, cy, camera.width, camera.height]
    # Passing a list of numbers takes a second, text takes none.
    text = page.evaluate(
        """async (camera) => {
            await window.img2world.setCamera(...camera);
            let characters = "";
            for (const byte of window.img2world.readPixels().data) characters += String.fromCharCode(byte);
            return btoa(characters);
        }""",
        arguments,
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(camera.height, camera.width, 4)[..., :3]


def assert_same_images(page, scene, *, largest):
    for i in range(len(scene.cameras)):
        camera = scene.cameras.select([i])
        drawn = pixels_of(page, camera).astype(np.float32)
        expected = render(scene.gaussians, camera, background=scene.background, backend="reference").rgb[0] * 255
        assert expected.std() > 10
        off = np.abs(drawn - expected)
        # Rounding to 8 bits is 0.25 on average; quantization and half-float blending add the rest.
        assert off.mean() < 1
        assert off.max() < largest


def test_three_blobs_match_our_rasterizer(open_scene, scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    assert_same_images(open_scene(scene), scene, largest=3)


@pytest.mark.parametrize("degree", [0, 3])
def test_many_gaussians_match_our_rasterizer(open_scene, scenes, degree):
    scene = scenes.scene_of(scenes.cloud(300, degree), is_object=degree == 0)
    # Quantization decides whether contributions of about 1/255 are drawn.
    assert_same_images(open_scene(scene), scene, largest=6)


def test_start_is_the_first_camera_and_reset_comes_back(open_scene, scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    page = open_scene(scene)
    home = camera_of(page)
    np.testing.assert_allclose(home, scene.cameras.world_from_cam[0], atol=1e-6)
    page.mouse.move(160, 120)
    page.mouse.down()
    page.mouse.move(220, 100, steps=4)
    page.mouse.up()
    dragged = moved(page, home)
    assert not np.allclose(dragged, home, atol=0.05)
    page.keyboard.press("r")
    np.testing.assert_allclose(moved(page, dragged), home, atol=1e-6)
    page.mouse.wheel(0, -300)
    zoomed = moved(page, home)
    assert not np.allclose(zoomed, home, atol=0.05)
    page.click("#reset")
    np.testing.assert_allclose(moved(page, zoomed), home, atol=1e-6)


def test_drag_orbits_and_keeps_the_distance(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.three_blobs()), free=True)
    home = camera_of(page)
    page.mouse.move(160, 120)
    page.mouse.down()
    page.mouse.move(240, 120, steps=4)
    page.mouse.up()
    camera = moved(page, home)
    assert np.linalg.norm(camera[:3, 3]) == pytest.approx(1, abs=1e-5)
    # Dragging to the right moves the near side to the right, so the camera moves left and looks right.
    assert camera[0, 3] < -0.2
    assert camera[0, 2] > 0.2
    assert camera[1, 3] == pytest.approx(0, abs=1e-5)
    page.mouse.down()
    page.mouse.move(240, 180, steps=4)
    page.mouse.up()
    # Dragging down moves the near side down, so the camera moves up, and +Y is down.
    assert moved(page, camera)[1, 3] < -0.2


def test_wheel_and_right_drag(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.three_blobs()), free=True)
    home = camera_of(page)
    page.mouse.move(160, 120)
    page.mouse.wheel(0, 200)
    far = moved(page, home)
    assert np.linalg.norm(far[:3, 3]) > 1.15
    page.mouse.wheel(0, -240)
    near = moved(page, far)
    assert np.linalg.norm(near[:3, 3]) < 1
    page.mouse.down(button="right")
    page.mouse.move(120, 120, steps=3)
    page.mouse.up(button="right")
    panned = moved(page, near)
    np.testing.assert_allclose(panned[:3, :3], near[:3, :3], atol=1e-6)
    assert panned[0, 3] > near[0, 3] + 0.05


def test_walking_keys(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.three_blobs()), free=True)
    before = camera_of(page)
    for key, axis, sign in [("w", 2, 1), ("s", 2, -1), ("d", 0, 1), ("a", 0, -1), ("e", 1, -1), ("q", 1, 1)]:
        page.keyboard.down(key)
        wait_until(page, f"walking with {key}", lambda camera: sign * (camera - before)[axis, 3] > 0.05)  # noqa: B023 - called within this round
        page.keyboard.up(key)
        after = moved(page, before)
        step = after - before
        step[axis, 3] = 0
        np.testing.assert_allclose(step, 0, atol=1e-6)
        before = after


def test_arrow_keys_walk_and_turn_in_place(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.three_blobs()), free=True)
    home = camera_of(page)
    page.keyboard.down("ArrowUp")
    wait_until(page, "walking", lambda camera: camera[2, 3] > home[2, 3] + 0.05)
    page.keyboard.up("ArrowUp")
    before = moved(page, home)
    page.keyboard.down("ArrowRight")
    wait_until(page, "turning", lambda camera: camera[0, 2] > 0.1)
    page.keyboard.up("ArrowRight")
    np.testing.assert_allclose(moved(page, before)[:3, 3], before[:3, 3], atol=1e-4)


def test_touch_orbits_and_pinch_zooms(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.three_blobs()), free=True)
    home = camera_of(page)
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (160, 120))
    for x in (150, 130, 110):
        touch("touchMove", (x, 120))
    touch("touchEnd")
    turned = moved(page, home)
    assert turned[0, 3] > 0.1
    assert np.linalg.norm(turned[:3, 3]) == pytest.approx(1, abs=1e-5)
    touch("touchStart", (140, 120), (180, 120))
    for spread in (30, 40, 60):
        touch("touchMove", (160 - spread, 120), (160 + spread, 120))
    touch("touchEnd")
    pinched = moved(page, turned)
    np.testing.assert_allclose(pinched[:3, :3], turned[:3, :3], atol=1e-6)
    assert np.linalg.norm(pinched[:3, 3]) == pytest.approx(1 / 3, abs=0.05)


def test_double_click_looks_at_what_is_there(open_scene, scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    page = open_scene(scene, free=True)
    home = camera_of(page)
    camera = page.evaluate("window.img2world.getCamera()")
    x, y, z = (scene.gaussians.means[1] - home[:3, 3]).tolist()
    ratio = page.viewport_size["width"] / camera["width"]
    page.mouse.dblclick((camera["fx"] * x / z + camera["cx"]) * ratio, (camera["fy"] * y / z + camera["cy"]) * ratio)
    after = moved(page, home)
    np.testing.assert_allclose(after[:3, 3], home[:3, 3], atol=1e-5)
    # One pixel is a two-hundredth of a radian.
    np.testing.assert_allclose(after[:3, 2], np.array([x, y, z]) / np.linalg.norm([x, y, z]), atol=0.01)
    page.mouse.wheel(0, 5000)
    np.testing.assert_allclose(moved(page, after)[:3, 2], after[:3, 2], atol=1e-6)


def test_object_rotates_until_the_first_touch(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.three_blobs(), is_object=True), motion="no-preference")
    home = camera_of(page)
    wait_until(page, "rotation", lambda camera: np.abs(camera - home).max() > 0.03)
    assert page.get_attribute("#idle", "aria-pressed") == "true"
    page.mouse.click(160, 120)
    wait_until(page, "rest", lambda camera: not page.evaluate("window.img2world.isMoving()"))
    assert page.get_attribute("#idle", "aria-pressed") == "false"
    rest = camera_of(page)
    page.click("#idle")
    wait_until(page, "rotation", lambda camera: np.abs(camera - rest).max() > 0.03)


def test_scene_sways_only_where_it_is_known(open_scene, scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    page = open_scene(scene, motion="no-preference")
    low, high = -0.6 * 0.25, 0.6 * 0.15
    yaws = []

    def swayed(camera):
        yaws.append(np.arctan2(camera[0, 2], camera[2, 2]))
        return max(yaws) - min(yaws) > 0.01

    wait_until(page, "swaying", swayed)
    assert low - 1e-6 <= min(yaws) < max(yaws) <= high + 1e-6


def test_lost_graphics_card_comes_back(open_scene, scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    page = open_scene(scene)
    before = pixels_of(page, scene.cameras.select([1]))
    lose_graphics_card(page)
    np.testing.assert_array_equal(pixels_of(page, scene.cameras.select([1])), before)


def test_overlay_shows_title_and_number(open_scene, scenes):
    page = open_scene(scenes.scene_of(scenes.cloud(1234, 0)))
    assert page.inner_text("h1") == "Test"
    assert page.inner_text("#count") == "1,234 Gaussians"
    assert page.title() == "Test"
    assert page.get_attribute("body", "data-state") == "ready"


def test_missing_webgl_is_reported(launch, scenes, tmp_path):
    path = tmp_path / "world.html"
    path.write_text(world_html(scenes.scene_of(scenes.three_blobs()), title="Test"), encoding="utf-8")
    with launch(tmp_path / "profile", flags=["--disable-3d-apis"]) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-state=failed]", timeout=TIMEOUT * 1000)
        assert page.inner_text("#headline") == "This page needs WebGL 2"
        assert "hardware acceleration" in page.inner_text("#detail")


def test_damaged_data_is_reported(browser, scenes, tmp_path):
    text = world_html(scenes.scene_of(scenes.three_blobs()), title="Test")
    start = text.index('id="splats"')
    path = tmp_path / "world.html"
    path.write_text(text[:start] + text[start:].replace(">", ">AAAA", 1), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-state=failed]", timeout=TIMEOUT * 1000)
    assert page.inner_text("#headline") == "The world could not be shown"
    page.close()
