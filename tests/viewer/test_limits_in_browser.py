"""The page in a real browser: the limits of the supported region, the start view in any window, and access by keys."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.supported_region import SupportedRegion

pytestmark = pytest.mark.browser

AZIMUTH = (-0.2, 0.3)
ELEVATION = (-0.1, 0.15)
DISTANCE = (0.7, 1.2)
TURN = 0.1
GIVE = 0.15
"""How far the camera can be pushed beyond an edge, relative to the width of the region."""


def region_of(scene, *, azimuth=AZIMUTH, outline=None) -> SupportedRegion:
    (fx, _, cx), (_, fy, cy), _ = scene.cameras.intrinsics[0].tolist()
    edges = (-cx / fx, -cy / fy, (scene.cameras.width - cx) / fx, (scene.cameras.height - cy) / fy)
    return SupportedRegion(
        pivot=(0.0, 0.0, 0.0),
        azimuth=azimuth,
        elevation=ELEVATION,
        distance=DISTANCE,
        turn_yaw=(-TURN, TURN),
        turn_pitch=(-TURN, TURN),
        outline=outline or edges,
    )


@pytest.fixture
def scene(scenes):
    scene = scenes.scene_of(scenes.three_blobs())
    return replace(scene, supported=region_of(scene))


@pytest.fixture
def thing(scenes):
    """An object whose outline is narrower than its picture."""
    scene = scenes.scene_of(scenes.three_blobs(), is_object=True)
    return replace(scene, supported=region_of(scene, azimuth=(-np.pi, np.pi), outline=(-0.3, -0.2, 0.3, 0.1)))


def place_of(page) -> dict[str, float]:
    """Return where the camera is about the origin, and where it looks relative to the origin."""
    pose = np.array(page.evaluate("window.img2world.getCamera().worldFromCam")).reshape(4, 4)
    center, forward = pose[:3, 3], pose[:3, 2]
    distance = np.linalg.norm(center)
    azimuth, elevation = np.arctan2(center[0], -center[2]), np.arcsin(-center[1] / distance)
    yaw = np.arctan2(forward[0], forward[2]) + azimuth
    place = {
        "azimuth": azimuth,
        "elevation": elevation,
        "distance": distance,
        "yaw": (yaw + np.pi) % (2 * np.pi) - np.pi,
        "pitch": np.arcsin(-forward[1]) + elevation,
    }
    return {name: float(value) for name, value in place.items()}


def at_rest(page) -> dict[str, float]:
    for _ in range(600):
        page.wait_for_timeout(30)
        if not page.evaluate("window.img2world.isMoving()"):
            return place_of(page)
    raise AssertionError("the view does not come to rest")


def wait_for(page, condition):
    """Wait until a condition on the place of the camera holds."""
    for _ in range(600):
        if condition(place_of(page)):
            return
        page.wait_for_timeout(30)
    raise AssertionError("the camera does not get there")


def drag(page, dx, dy, button="left"):
    """Drag from the centre of the window and keep the button down."""
    x, y = page.viewport_size["width"] / 2, page.viewport_size["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx, y + dy, steps=4)


def is_inside(place, *, give: float = 0.0, tolerance: float = 1e-4) -> bool:
    limits = {"azimuth": AZIMUTH, "elevation": ELEVATION, "yaw": (-TURN, TURN), "pitch": (-TURN, TURN)}
    limits = limits | {"distance": DISTANCE}
    for name, (low, high) in limits.items():
        # Distances give way by ratio.
        widened = [low - give * (high - low), high + give * (high - low)]
        if name == "distance":
            widened = [low * (high / low) ** -give, high * (high / low) ** give]
        if not widened[0] - tolerance <= place[name] <= widened[1] + tolerance:
            return False
    return True


@pytest.mark.parametrize(
    ("move", "name", "edge"),
    [
        ((200, 0), "azimuth", AZIMUTH[0]),
        ((-200, 0), "azimuth", AZIMUTH[1]),
        ((0, 200), "elevation", ELEVATION[1]),
        ((0, -200), "elevation", ELEVATION[0]),
        ((2500, 0), "azimuth", AZIMUTH[0]),
    ],
)
def test_a_drag_gives_way_at_the_edge_and_springs_back(open_scene, scene, move, name, edge):
    page = open_scene(scene)
    drag(page, *move)
    held = at_rest(page)
    outward = np.sign(edge)
    assert outward * (held[name] - edge) > 0.01
    assert is_inside(held, give=GIVE)
    assert held["distance"] == pytest.approx(1, abs=1e-3)  # no slipping along the edge
    page.mouse.up()
    beyond = [outward * (held[name] - edge)]
    while page.evaluate("window.img2world.isMoving()") or len(beyond) < 3:
        beyond.append(outward * (place_of(page)[name] - edge))
    # Critically damped: straight back, without swinging through.
    assert np.diff(beyond).max() < 1e-6
    assert min(beyond) > -1e-4
    rest = at_rest(page)
    assert rest[name] == pytest.approx(edge, abs=1e-4)
    assert is_inside(rest)


def test_resistance_grows(open_scene, scene):
    page = open_scene(scene)
    reached = []
    for pixels in (40, 80, 120, 160):
        drag(page, -pixels, 0)
        reached.append(at_rest(page)["azimuth"])
        page.mouse.up()
        page.keyboard.press("r")
        at_rest(page)
    steps = np.diff([0, *reached])
    assert reached[0] == pytest.approx(40 * 0.0055, abs=1e-3)  # free inside the region
    assert steps[1] > 2 * steps[2] > 2 * steps[3] > 0


@pytest.mark.parametrize(
    "key", ["w", "s", "a", "d", "q", "e", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "-", "="]
)
def test_a_held_key_pushes_steadily_and_springs_back(open_scene, scene, key):
    page = open_scene(scene)
    page.keyboard.down(key)
    wait_for(page, lambda place: not is_inside(place))
    page.wait_for_timeout(300)
    values = []
    for _ in range(6):
        values.append(list(place_of(page).values()))
        page.wait_for_timeout(40)
    assert is_inside(place_of(page), give=GIVE)
    # Still pushed outwards or at rest, never to and fro.
    steps = np.diff(np.array(values), axis=0)
    assert (np.greater(steps, -1e-4).all(0) | np.less(steps, 1e-4).all(0)).all()
    page.keyboard.up(key)
    place = at_rest(page)
    assert is_inside(place)
    # It has moved, and is at an edge.
    assert not is_inside({name: value + 1e-3 for name, value in place.items()}) or not is_inside(
        {name: value - 1e-3 for name, value in place.items()}
    )


def test_the_wheel_a_pan_and_a_pinch_stay_inside(open_scene, scene):
    page = open_scene(scene)
    page.mouse.move(160, 120)
    for pixels, edge in ((-3000, DISTANCE[0]), (3000, DISTANCE[1])):
        for _ in range(12):
            page.mouse.wheel(0, pixels)
        page.wait_for_timeout(250)
        assert at_rest(page)["distance"] == pytest.approx(edge, abs=1e-4)
    drag(page, 150, 60, "right")
    page.mouse.up(button="right")
    assert is_inside(at_rest(page))
    session = page.context.new_cdp_session(page)
    for kind, *spreads in (("touchStart", 10), ("touchMove", 60, 110), ("touchEnd",)):
        for spread in spreads or [None]:
            points = [] if spread is None else [{"x": 160 + side * spread, "y": 120, "id": side} for side in (0, 1)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert is_inside(at_rest(page))
    page.mouse.dblclick(310, 10)
    assert is_inside(at_rest(page))


def test_the_switch_frees_the_movement_and_shows_it(open_scene, scene):
    page = open_scene(scene)
    switch = page.get_by_role("button", name="Free movement")
    assert switch.get_attribute("aria-pressed") == "false"
    switch.click()
    assert switch.get_attribute("aria-pressed") == "true"
    assert page.inner_text("#mode") == "Free movement: no limits"
    drag(page, 150, 0)
    page.mouse.up()
    assert at_rest(page)["azimuth"] == pytest.approx(-150 * 0.0055, abs=1e-3)
    page.keyboard.press("l")
    assert switch.get_attribute("aria-pressed") == "false"
    assert page.inner_text("#mode") == ""
    assert at_rest(page)["azimuth"] == pytest.approx(AZIMUTH[0], abs=1e-4)


def test_an_object_turns_all_the_way_round_but_not_over(open_scene, thing):
    page = open_scene(thing)
    drag(page, 150, 150)
    page.mouse.up()
    place = at_rest(page)
    assert place["azimuth"] == pytest.approx(-150 * 0.0055, abs=1e-3)
    assert place["elevation"] == pytest.approx(ELEVATION[1], abs=1e-4)
    page.keyboard.down("ArrowRight")
    wait_for(page, lambda place: abs(place["azimuth"]) > 2.9)  # behind the object
    page.keyboard.up("ArrowRight")
    assert abs(at_rest(page)["azimuth"]) > 2.9
    page.keyboard.down("d")
    page.wait_for_timeout(900)
    page.keyboard.up("d")
    assert abs(at_rest(page)["yaw"]) <= TURN + 1e-4  # it stays in sight


WINDOWS = [(320, 640), (640, 320), (480, 205), (300, 300)]


def edges_of(page) -> np.ndarray:
    """Return what the window shows, as x / z and y / z: left, top, right, bottom."""
    c = page.evaluate("window.img2world.getCamera()")
    left, top = -c["cx"] / c["fx"], -c["cy"] / c["fy"]
    return np.array([left, top, (c["width"] - c["cx"]) / c["fx"], (c["height"] - c["cy"]) / c["fy"]])


@pytest.mark.parametrize("is_portrait", [False, True])
def test_the_picture_of_a_scene_fills_any_window(open_scene, scene, is_portrait):
    if is_portrait:
        cameras = scene.cameras
        scene = replace(scene, cameras=replace(cameras, width=cameras.height, height=cameras.width))
    outline = np.array(region_of(scene).outline)
    page = open_scene(replace(scene, supported=region_of(scene)))
    for width, height in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        edges = edges_of(page)
        # Nothing beyond the picture is shown, and in one direction all of it is, but for a pixel.
        assert (np.abs(edges) <= np.abs(outline) + 0.01).all()
        across, down = (edges[2:] - edges[:2]) / (outline[2:] - outline[:2])
        assert max(across, down) == pytest.approx(1, abs=0.01)


def test_an_object_fits_into_any_window(open_scene, thing):
    page = open_scene(thing)
    left, top, right, bottom = thing.supported.outline
    for width, height in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        edges = edges_of(page)
        assert (edges[:2] < [left, top]).all()
        assert (edges[2:] > [right, bottom]).all()
        filled = np.array([right - left, bottom - top]) / (edges[2:] - edges[:2])
        assert filled.max() == pytest.approx(0.8, abs=0.01)
        # In the middle of the window.
        np.testing.assert_allclose(edges[:2] + edges[2:], [left + right, top + bottom], atol=0.01)


def test_a_narrow_window_can_look_at_the_whole_picture_and_no_more(open_scene, scene):
    page = open_scene(scene, size={"width": 160, "height": 240})
    outline = scene.supported.outline
    assert edges_of(page)[0] > outline[0] + 0.2
    page.keyboard.down("ArrowLeft")
    wait_for(page, lambda place: place["yaw"] < -0.23)
    page.keyboard.up("ArrowLeft")
    yaw = at_rest(page)["yaw"]
    assert np.arctan(edges_of(page)[0]) + yaw == pytest.approx(np.arctan(outline[0]), abs=0.01)
    page.set_viewport_size({"width": 320, "height": 240})
    # The page sees its new size in the next frame.
    wait_for(page, lambda place: abs(place["yaw"] + TURN) < 1e-3)
    page.set_viewport_size({"width": 160, "height": 240})
    page.keyboard.press("r")
    at_rest(page)
    drag(page, 150, 0)
    page.mouse.up()
    # A drag to the right pulls in what is to the left.
    assert at_rest(page)["yaw"] < -0.1


@pytest.mark.parametrize("size", [(320, 568), (1280, 540)])
def test_the_controls_fit_into_the_window(open_scene, thing, size):
    page = open_scene(thing, size={"width": size[0], "height": size[1]})
    page.keyboard.press("l")
    page.evaluate("delete document.body.dataset.used")
    boxes = {
        selector: page.locator(selector).first.bounding_box()
        for selector in ("h1", "#mode", "nav", "footer .hint:visible", "#fullscreen:visible, #free")
    }
    for box in boxes.values():
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    title, nav = boxes["h1"], boxes["nav"]
    assert title["y"] >= nav["y"] + nav["height"] or title["x"] + title["width"] <= nav["x"]
    # Each hint is complete.
    assert page.evaluate(
        "[...document.querySelectorAll('.hint span')].every((hint) => hint.scrollWidth <= hint.clientWidth + 1)"
    )


def test_all_controls_are_reached_by_tab_and_have_names(open_scene, scene):
    page = open_scene(scene)
    names = []
    for _ in range(6):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert names[0] == "3D view of Test"
    assert {"Sway", "Back to the start", "Free movement"} <= set(names)
    page.focus("#free")
    page.keyboard.press("Enter")
    assert page.get_attribute("#free", "aria-pressed") == "true"
