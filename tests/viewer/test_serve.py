"""The server: one page with correct headers, and nothing else."""

import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from img2world.core.errors import Img2WorldError
from img2world.viewer.serve import page_server, page_url, serve

LOOPBACK_ONLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def running(page):
    with page_server(page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield page_url(server)
        server.shutdown()
        thread.join()


def test_serves_a_file(tmp_path):
    path = tmp_path / "world.html"
    path.write_text("<p>größer</p>", encoding="utf-8")
    with running(path) as url, LOOPBACK_ONLY.open(url) as reply:
        assert url.startswith("http://127.0.0.1:")
        assert reply.read().decode("utf-8") == "<p>größer</p>"
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "no-cache" in reply.headers["Cache-Control"]


def test_serves_text_and_answers_head_requests():
    with running("<p>text</p>") as url:
        with LOOPBACK_ONLY.open(url + "world.html?x=1") as reply:
            assert reply.read() == b"<p>text</p>"
        with LOOPBACK_ONLY.open(urllib.request.Request(url, method="HEAD")) as reply:
            assert reply.headers["Content-Length"] == "11"
            assert reply.read() == b""


@pytest.mark.parametrize("path", ["run.json", "../../etc/passwd", "world.html/..", "static/main.js"])
def test_serves_nothing_else(path):
    with running("<p>text</p>") as url, pytest.raises(urllib.error.HTTPError, match="404"):
        LOOPBACK_ONLY.open(url + path)


def test_a_port_in_use_is_an_error():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(Img2WorldError, match="cannot be served"):
            page_server("<p></p>", port=holder.getsockname()[1])


def test_an_invalid_port_and_a_missing_file_are_errors(tmp_path):
    with pytest.raises(Img2WorldError, match="port 70000"):
        page_server("<p></p>", port=70000)
    with pytest.raises(Img2WorldError, match="cannot be read"):
        serve(tmp_path / "none.html", open_browser=False)


def test_lan_address_is_valid():
    with page_server("<p></p>", host="0.0.0.0") as server:
        url = page_url(server)
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    assert host != "0.0.0.0"
    assert socket.inet_aton(host)
    assert int(port) > 0


def test_ctrl_c_ends_it_cleanly():
    program = (
        "from img2world.viewer.serve import serve\n"
        "serve('<p>here</p>', open_browser=False, on_ready=lambda url: print(url, flush=True))\n"
        "print('ended', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with LOOPBACK_ONLY.open(process.stdout.readline().strip()) as reply:
        assert reply.read() == b"<p>here</p>"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert (output.strip(), errors, process.returncode) == ("ended", "", 0)
