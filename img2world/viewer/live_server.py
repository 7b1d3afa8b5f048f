"""The server of the page of a run: for browsers on this computer, also through a forwarded port.

Everything lies below a random name, so that no other page in the browser can find or stop the run; all addresses in the
page are relative. The page (`/`), its state as server-sent events (`/events`), the latest scene (`/scene?after=N`,
which is answered when there is a newer one than N), and `/stop`, which only a POST reaches.

Source: HTML Living Standard, section 9.2, "Server-sent events".
"""

import html
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from socket import socket
from threading import BoundedSemaphore, Thread
from urllib.parse import parse_qs, urlsplit

from img2world.viewer.live import FAREWELL_SECONDS, LivePage
from img2world.viewer.page import json_in_html, page_html, static_text
from img2world.viewer.serve import HTML, QuietHandler, bound_server

LOOPBACK = "127.0.0.1"

HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Names under which a browser reaches this computer or a forwarded port. Under any other it was led here."""

MAX_CONNECTIONS = 32

IDLE_SECONDS = 30.0
"""Time after which a silent connection is closed."""

BLOCK = 1 << 16
"""Bytes that are sent at once."""

WAIT_SECONDS = 10.0
"""Longest time without an answer, after which there is none, or a comment, so that broken connections are noticed."""

EVENT_SECONDS = 0.25
"""Shortest time between two states that are sent."""


@contextmanager
def live_server(page: LivePage, *, title: str, port: int = 0) -> Iterator[str]:
    """Serve the page of a run in threads of its own; yields its URL. Port 0 takes any free port.

    Raises Img2WorldError when the port cannot be used.
    """
    name = secrets.token_urlsafe(12)
    handler = partial(_LiveHandler, page, name, live_html(title).encode("utf-8", "replace"))
    with bound_server(_LiveServer, handler, host=LOOPBACK, port=port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_address[1]}/{name}/"
        finally:
            server.shutdown()
            thread.join()


def live_html(title: str) -> str:
    """Return the page of a run, which asks the server for all else."""
    parts = {
        "title": html.escape(title),
        "count": "0",
        "idle": "Move slowly",
        "keys": "Arrow keys to move",
        "tone": "dark",
        "background": "#0e1014",
        "style": "\n".join(static_text(name) for name in ("page.css", "live.css")),
        "sources": "; connect-src 'self'",
        "panel": static_text("live.html"),
        "world": json_in_html(None),
        "splats": "",
    }
    return page_html(parts, start="live")


class _LiveServer(ThreadingHTTPServer):
    """Serves a limited number of connections at a time."""

    daemon_threads = True

    def __init__(self, *args, **kwargs) -> None:  # noqa: ANN002, ANN003 - the standard library's own
        super().__init__(*args, **kwargs)
        self._free = BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: socket, client_address: tuple) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Serve a connection in a thread, or close it when there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket, client_address: tuple) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore what goes wrong with a connection, mostly that it breaks: the browser connects anew."""


class _LiveHandler(QuietHandler):
    """Answers what the page of a run asks for, and nothing else."""

    timeout = IDLE_SECONDS

    def __init__(self, page: LivePage, name: str, content: bytes, *args, **kwargs) -> None:  # noqa: ANN002, ANN003 - as above
        self.page, self.name, self.content = page, name, content
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:  # noqa: N802 - named by http.server
        """Send the page, its state or the latest scene."""
        match self._place():
            case "":
                self._send(self.content, HTML)
            case "events":
                self._send_events()
            case "scene":
                self._send_scene()
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:  # noqa: N802 - as above
        """Ask the training to stop."""
        # Nothing is read of a request but its headers.
        self.close_connection = True
        if self._place() != "stop":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif self.page.ask_to_stop():
            self._send_nothing()
        else:
            self.send_error(HTTPStatus.CONFLICT, "There is no training to stop")

    def _place(self) -> str | None:
        """Return the path below the random name; None for all others, and if the host is not this computer."""
        host = self.headers.get("Host", "")
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        start, _, place = urlsplit(self.path).path.removeprefix("/").partition("/")
        is_here = (name or port) in HOSTS and secrets.compare_digest(start.encode(), self.name.encode())
        return place if is_here else None

    def _send(self, content: bytes, content_type: str) -> None:
        """Send an answer."""
        self.send_head(len(content), content_type)
        self.wfile.write(content)

    def _send_nothing(self) -> None:
        """Send an answer without content."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def _send_scene(self) -> None:
        """Send what is shown, once it is newer than what the browser has."""
        after = parse_qs(urlsplit(self.path).query).get("after", ["0"])[0]
        found = self.page.wait_for_scene(int(after) if after.isdecimal() and len(after) < 10 else 0, WAIT_SECONDS)
        if found is None:
            self._send_nothing()
            return
        revision, content = found
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Revision", str(revision))
        self.end_headers()
        # In parts, each of which may take as long as a connection may be silent.
        for start in range(0, len(content), BLOCK):
            self.wfile.write(content[start : start + BLOCK])

    def _send_events(self) -> None:
        """Send the state whenever it changes, to the end of the run."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with self.page.stream():
            seen = 0
            while True:
                version, state = self.page.wait_for_state(seen, WAIT_SECONDS)
                # A comment shows whether the browser is still there.
                text = f"retry: 1000\ndata: {json.dumps(state)}\n\n" if version != seen else ": \n\n"
                self.wfile.write(text.encode())
                if state["state"] != "running":
                    break
                seen = version
                time.sleep(EVENT_SECONDS)
            # The browser closes the connection when it has drawn the last scene.
            self.connection.settimeout(FAREWELL_SECONDS)
            self.connection.recv(1)
