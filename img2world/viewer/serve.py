"""A small HTTP server for a world page, for this computer or for the local network."""

import socket
import webbrowser
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from img2world.core.errors import Img2WorldError

HTML = "text/html; charset=utf-8"

EVERYWHERE = "0.0.0.0"
"""Host that makes the page available to other computers and phones in the network."""

Server = TypeVar("Server", bound=ThreadingHTTPServer)


def serve(
    page: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = True,
    on_ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve one page, a file or HTML text, until Ctrl-C.

    Port 0 takes any free port. `on_ready` is called with the URL once the page can be opened. Raises Img2WorldError
    when the file cannot be read or is no page, or when the port cannot be used.
    """
    with page_server(page, host=host, port=port) as server:
        url = page_url(server)
        on_ready(url)
        if open_browser:
            webbrowser.open(url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            # Ctrl-C is the normal way to end the command.
            return


def page_server(page: Path | str, *, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """Return a server that is bound but not yet running. Raises Img2WorldError as `serve` does."""
    return bound_server(ThreadingHTTPServer, partial(_PageHandler, _read(page)), host=host, port=port)


def bound_server(kind: type[Server], handler: Callable[..., BaseHTTPRequestHandler], *, host: str, port: int) -> Server:
    """Return a server of a kind that is bound to a port. Raises Img2WorldError when the port cannot be used."""
    try:
        server = kind((host, port), handler)
    except (OSError, OverflowError) as error:
        raise Img2WorldError(
            f"the page cannot be served on {host} port {port}: {error}", hint="choose another --port, or none"
        ) from error
    # A browser that keeps its connection open must not delay Ctrl-C.
    server.daemon_threads = True
    return server


def page_url(server: ThreadingHTTPServer) -> str:
    """Return the URL to open: with this computer's network address when the server listens everywhere."""
    host, port = server.server_address[:2]
    return f"http://{_lan_address() if host == EVERYWHERE else host}:{port}/"


class QuietHandler(BaseHTTPRequestHandler):
    """Answers with whole pages and prints nothing."""

    protocol_version = "HTTP/1.1"

    def send_head(self, size: int, content_type: str) -> None:
        """Send the headers of an answer of so many bytes."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def end_headers(self) -> None:
        """Send the headers that all answers have, and end them."""
        # The next run may serve another world at the same URL.
        self.send_header("Cache-Control", "no-cache, no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Print nothing: only the command line prints."""


class _PageHandler(QuietHandler):
    """Serves the one page and nothing else."""

    def __init__(self, content: bytes, *args, **kwargs) -> None:  # noqa: ANN002, ANN003 - the standard library's own
        self.content = content
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        """Send the page."""
        if self._found():
            self.wfile.write(self.content)

    def do_HEAD(self) -> None:
        """Send the headers of the page."""
        self._found()

    def _found(self) -> bool:
        """Send the headers, or an error for any other path; return True if the page may follow."""
        if urlsplit(self.path).path not in ("/", "/index.html", "/world.html"):
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        self.send_head(len(self.content), HTML)
        return True


def _read(page: Path | str) -> bytes:
    """Return the bytes of the page. Raises Img2WorldError when it cannot be read or is no HTML."""
    if isinstance(page, str):
        return page.encode("utf-8")
    try:
        content = page.read_bytes() if page.is_file() or not page.exists() else b""
    except OSError as error:
        raise Img2WorldError(
            f"the page cannot be read: {error.strerror}, {page}", hint="make it with `img2world export RUN`"
        ) from error
    if not content.lstrip().startswith(b"<"):
        raise Img2WorldError(f"this is not a page: {page}", hint="give a run folder, or the exports/world.html of one")
    return content


def _lan_address() -> str:
    """Return this computer's address in the local network, or the loopback address if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it only selects the network interface.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]
