"""report.html in a real browser: the cameras in 3D, on a wide and on a narrow screen."""

import pytest

pytestmark = pytest.mark.browser

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
DRAWN = """() => {
  const canvas = document.getElementById("space");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0, painted = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (31 * hash + data[i] + 3 * data[i + 1] + 7 * data[i + 3]) | 0;
    painted += data[i + 3] > 0;
  }
  return [hash, painted];
}"""
"""A hash of the picture that the 3D view shows, and the number of its pixels that are not empty."""


@pytest.fixture(scope="module")
def browser(launch, tmp_path_factory):
    with launch(tmp_path_factory.mktemp("profile"), has_touch=True) as context:
        yield context


@pytest.fixture
def page(browser, finished):
    """The report of a finished run; it must cause no message and no request."""
    page = browser.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.set_viewport_size(WIDE)
    page.goto((finished / "report.html").as_uri())
    drawn(page)
    yield page
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith("data:")] == [(finished / "report.html").as_uri()]


def drawn(page, before: int | None = None) -> int:
    """Return the hash of the 3D view once it shows something else than before."""
    for _ in range(200):
        page.wait_for_timeout(50)
        picture, painted = page.evaluate(DRAWN)
        if painted > 200 and picture != before:
            return picture
    raise AssertionError("the 3D view does not change")


def test_the_cameras_turn_and_zoom(page):
    picture = drawn(page)
    box = page.locator("#space").bounding_box()
    page.locator("#space").scroll_into_view_if_needed()
    box = page.locator("#space").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 40)
    page.mouse.up()
    picture = drawn(page, picture)
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.locator("#space").press(key)
        picture = drawn(page, picture)
    page.mouse.wheel(0, 200)
    drawn(page, picture)


def test_a_camera_shows_its_frame_and_the_start_comes_back(page):
    first = drawn(page)
    assert page.locator("#shot-name").text_content() == "Frame 0, camera 1 of 6"
    page.locator("#pick").fill("3")
    assert page.locator("#shot-name").text_content() == "Frame 3, camera 4 of 6"
    assert page.locator("#shot").get_attribute("src") == page.locator("#frame-3").get_attribute("src")
    page.locator("#pick").fill("0")
    page.locator("#space").press("ArrowLeft")
    drawn(page, first)
    page.locator("#home").click()
    for _ in range(200):
        page.mouse.move(0, 0)
        if drawn(page) == first:
            return
    raise AssertionError("the view does not come back")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(NARROW)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(light) > 128) == (scheme == "light")


def test_videos_play(page):
    page.evaluate("document.querySelector('video').play()")
    assert page.evaluate("document.querySelector('video').videoWidth") == 64
