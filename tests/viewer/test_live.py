"""The state of a run between the run and the server: who looks, when to stop, how much time is left."""

import threading
import time

import pytest

from img2world.core.live import UNWATCHED, Live
from img2world.viewer import live
from img2world.viewer.live import LivePage


@pytest.fixture
def page():
    return LivePage("photo")


@pytest.fixture
def scene(scenes):
    return scenes.scene_of(scenes.cloud(300, 1))


@pytest.fixture
def waiting(page):
    """Waits for scenes newer than a revision, as a browser does; collects what comes."""
    got, threads = [], []

    def wait(revision=0, seconds=5.0):
        thread = threading.Thread(target=lambda: got.append(page.wait_for_scene(revision, seconds)))
        thread.start()
        threads.append(thread)
        limit = time.monotonic() + 5
        while page._waiting == 0 and time.monotonic() < limit:
            time.sleep(0.001)
        return got

    yield wait
    for thread in threads:
        thread.join()


def test_both_are_what_stages_expect(page):
    assert isinstance(page, Live)
    assert isinstance(UNWATCHED, Live)


def test_nobody_looks_unless_a_browser_waits(page, waiting, scene, monkeypatch):
    monkeypatch.setattr(live, "SECONDS_BETWEEN", 0.05)
    assert not page.is_looking()
    got = waiting()
    assert page.is_looking()
    page.show(lambda: scene)
    while not got:
        time.sleep(0.001)
    revision, content = got[0]
    assert revision == 1
    assert len(content) > 1000
    # It has got the scene, and does not wait any more.
    assert not page.is_looking()


def test_scenes_do_not_follow_too_fast(page, waiting, scene, monkeypatch):
    monkeypatch.setattr(live, "SECONDS_BETWEEN", 0.2)
    page.show(lambda: scene)
    waiting(revision=1, seconds=0.4)
    shown = time.monotonic()
    assert not page.is_looking()
    while not page.is_looking():
        assert time.monotonic() < shown + 5
        time.sleep(0.005)
    assert time.monotonic() - shown > 0.15


def test_a_costly_copy_makes_pauses_longer(page, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    page._waiting = 1
    clock[0] = 10.0
    assert page.is_looking()
    clock[0] = 11.0
    page.show(lambda: None)
    # At most a twentieth of the time goes into copies: one second in twenty.
    clock[0] = 30.0
    assert not page.is_looking()
    clock[0] = 31.1
    assert page.is_looking()


def test_a_scene_is_made_once_for_all_browsers_and_only_if_one_asks(page, scene):
    calls = []
    page.show(lambda: calls.append(1) or scene)
    assert calls == []
    assert page.wait_for_scene(0, 1.0) == page.wait_for_scene(0, 1.0)
    assert calls == [1]
    assert page.wait_for_scene(1, 0.01) is None


def test_it_stops_when_it_was_asked_to_and_only_while_there_is_a_training(page):
    assert not page.ask_to_stop()
    page.begin_stage("splat")
    assert not page.stops(1)
    assert page.ask_to_stop()
    assert page.stopped_at is None
    assert page.stops(7)
    assert page.stops(8)
    assert page.stopped_at == 7
    _, state = page.wait_for_state(0, 0.1)
    assert (state["stop"], state["stopped_at"]) == ("done", 7)
    page.begin_stage("measure")
    assert page.wait_for_state(0, 0.1)[1]["stop"] == ""


def test_the_time_left_is_that_of_the_present_speed(page, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    page.begin_stage("splat")
    page.report_steps("", 10, 1000)
    assert page.wait_for_state(0, 0.0)[1]["left"] is None
    # A hundred steps per second at first, ten later: what was fast at first does not count any more.
    for seconds, done in [(1, 110), (2, 210), (3, 310), *((3 + i, 310 + 10 * i) for i in range(1, 41))]:
        clock[0] = float(seconds)
        page.report_steps("", done, 1000, psnr=20.0 + done / 100)
    state = page.wait_for_state(0, 0.0)[1]
    assert state["done"] == 710
    assert state["left"] == pytest.approx(29, rel=0.02)
    assert state["psnr"] == pytest.approx(27.1)


def test_figures_that_are_not_finite_are_left_out(page):
    page.report_steps("", 1, 2, psnr=float("inf"))
    assert "psnr" not in page.wait_for_state(0, 0.0)[1]


def test_what_cannot_be_shown_is_told(page):
    with pytest.warns(UserWarning, match="nerfstudio shows nothing"):
        page.decline("nerfstudio shows nothing")
    assert page.wait_for_state(0, 0.0)[1]["note"] == "nerfstudio shows nothing"


def test_the_end_waits_for_browsers_that_look_on_but_not_for_long(page, monkeypatch):
    start = time.monotonic()
    page.end("finished")
    assert time.monotonic() - start < 0.1
    monkeypatch.setattr(live, "FAREWELL_SECONDS", 0.2)
    with page.stream():
        page.end("finished")
    assert 0.2 <= time.monotonic() - start < 2
