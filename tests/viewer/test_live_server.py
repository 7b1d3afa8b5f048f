"""The server of the page of a run: what it answers, to whom, and that it cannot be stopped by others."""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import pytest

from img2world.core.errors import Img2WorldError
from img2world.viewer import live_server as module
from img2world.viewer.live import LivePage
from img2world.viewer.live_server import live_server


@pytest.fixture
def page():
    return LivePage("photo")


@pytest.fixture
def scene(scenes):
    return scenes.scene_of(scenes.cloud(300, 1))


@pytest.fixture
def url(page):
    with live_server(page, title="a <photo>") as url:
        yield url


def ask(url, method="GET", path="", **headers):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    connection.request(method, parts.path + path, headers=headers)
    reply = connection.getresponse()
    return reply, reply.read() if path != "events" else connection


def next_state(reply) -> dict:
    while not (line := reply.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line[6:])


def test_the_page_is_on_this_computer_only_below_a_random_name(url):
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    assert len(parts.path) > 16
    reply, content = ask(url)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    text = content.decode()
    assert "<title>a &lt;photo&gt;</title>" in text
    assert "connect-src 'self'" in text
    assert "@@" not in text


def test_the_page_names_no_host_and_no_root(url):
    """Behind a forwarded port, the address is another."""
    text = ask(url)[1].decode()
    assert "127.0.0.1" not in text
    assert 'fetch("/' not in text
    assert 'EventSource("/' not in text


@pytest.mark.parametrize("path", ["/", "/index.html", "/wrongname/", "/wrongname/stop", "/events"])
def test_nothing_is_found_without_the_name(url, path):
    parts = urlsplit(url)
    for method in ("GET", "POST"):
        assert ask(f"http://{parts.netloc}", method, path)[0].status == 404


@pytest.mark.parametrize("path", ["run.json", "../", "static/live.js", "stop", "events/", "scene/1"])
def test_nothing_else_is_found(url, path):
    assert ask(url, path=path)[0].status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9999", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("[::1]", 200),
        ("evil.example", 404), ("evil.example:80", 404), ("localhost.evil.example", 404), ("", 404),
    ],
)  # fmt: skip
def test_only_names_of_this_computer_are_answered(url, host, status):
    """A forwarded port may have any number. A name that an attacker has led here is refused (DNS rebinding)."""
    assert ask(url, Host=host)[0].status == status


def test_a_training_is_stopped_by_a_post_alone(url, page):
    assert ask(url, "POST", "stop")[0].status == 409
    page.begin_stage("splat")
    assert not page.stops(1)
    assert ask(url, "GET", "stop")[0].status == 404
    assert not page.stops(2)
    assert ask(url, "POST", "stop")[0].status == 204
    assert page.stops(3)


def test_the_state_follows_the_run_to_its_end(url, page):
    reply, connection = ask(url, path="events")
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert next_state(reply) == {"state": "running", "title": "photo", "stop": ""}
    page.begin_stage("splat")
    page.report_steps("", 10, 100, psnr=21.5)
    state = next_state(reply)
    assert (state["stage"], state["done"], state["total"], state["psnr"]) == ("splat", 10, 100, 21.5)
    ended = threading.Thread(target=page.end, args=("rejected",), kwargs={"message": "grade D", "hint": "film again"})
    ended.start()
    state = next_state(reply)
    assert (state["state"], state["message"], state["hint"]) == ("rejected", "grade D", "film again")
    # The run waits until the browser has what it needs.
    time.sleep(0.05)
    assert ended.is_alive()
    reply.close()
    connection.close()
    ended.join(2)
    assert not ended.is_alive()


def test_a_scene_is_answered_when_there_is_one(url, page, scene, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    assert ask(url, path="scene?after=0")[0].status == 204
    page.show(lambda: scene)
    reply, content = ask(url, path="scene?after=0")
    assert (reply.status, reply.headers["X-Revision"]) == (200, "1")
    assert content == page.wait_for_scene(0, 1.0)[1]
    assert ask(url, path="scene?after=1")[0].status == 204
    for wrong in ("scene?after=-1", "scene?after=x", "scene?after=" + "9" * 5000):
        assert ask(url, path=wrong)[0].status == 200


def test_connections_are_limited_and_come_back(url, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    streams = [ask(url, path="events") for _ in range(module.MAX_CONNECTIONS)]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(url)
    for reply, connection in streams:
        reply.close()
        connection.close()
    limit = time.monotonic() + 15
    while True:
        try:
            assert ask(url)[0].status == 200
            break
        except (http.client.RemoteDisconnected, ConnectionResetError):
            assert time.monotonic() < limit
            time.sleep(0.05)


def test_a_port_in_use_is_an_error(url, page):
    with pytest.raises(Img2WorldError, match="cannot be served"), live_server(page, title="", port=urlsplit(url).port):
        pass


def test_a_name_that_is_not_text_is_shown_as_far_as_it_is(page):
    with live_server(page, title="caf\udce9.png") as url:
        reply, content = ask(url)
    assert reply.status == 200
    assert b"<title>caf?.png</title>" in content
