"""The page of a run: opened at its start, told of each event, and of the end."""

import getpass
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from img2world.cli.output import listening, say, say_json
from img2world.core.errors import Img2WorldError, RejectedError

if TYPE_CHECKING:
    from img2world.runs.folder import Event, Listener
    from img2world.runs.source import Source
    from img2world.viewer.live import LivePage


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Where the page of a run is served, and whether a browser is opened."""

    port: int
    browser: bool


def live_options(live: bool, port: int | None, *, browser: bool) -> LiveOptions | None:
    """Return how to serve the page of a run; None without one."""
    if live:
        return LiveOptions(port=port or 0, browser=browser)
    if port is not None or not browser:
        raise typer.BadParameter("--port and --no-browser are for the page of --live")
    return None


def followed(
    run: Callable[..., dict[str, Any]], source: "Source", out: Path, live: LiveOptions | None, *, as_json: bool
) -> dict[str, Any]:
    """Run a pipeline, which takes `listen` and `live`, with its progress in the terminal and perhaps on a page."""
    if live is None:
        with listening(as_json) as listen:
            return run(listen=listen)
    with page_of_run(source.name, out, live, as_json=as_json) as page:
        # The address comes before the bars, which stay at the end of the terminal.
        with listening(as_json) as listen:
            report = run(listen=_heard_by(page, listen, source.kind), live=page)
        _show_results(page, out, report)
    return report


@contextmanager
def page_of_run(title: str, out: Path, options: LiveOptions, *, as_json: bool) -> "Iterator[LivePage]":
    """Serve the page of a run, say where it is, and show there how the run ends.

    Raises Img2WorldError when the port cannot be used.
    """
    import webbrowser

    from img2world.runs.files import quoted
    from img2world.runs.report import REPORT_PAGE, launcher
    from img2world.viewer.live import LivePage
    from img2world.viewer.live_server import live_server

    page = LivePage(title)
    again = "run the same command again to resume"
    with live_server(page, title=title, port=options.port) as url:
        if as_json:
            say_json({"event": "live", "url": url})
        else:
            for line in address_lines(url, os.environ):
                say(line)
        if options.browser and has_display(os.environ):
            webbrowser.open(url)
        try:
            yield page
        except KeyboardInterrupt:
            page.end("interrupted", hint=again)
            raise
        except RejectedError as error:
            page.end("rejected", message=str(error), hint=error.hint)
            raise
        except Img2WorldError as error:
            page.end("failed", message=str(error), hint=error.hint)
            raise
        except BaseException as error:
            page.end("failed", message=type(error).__name__, hint=again)
            raise
        command = f"{shlex.quote(launcher())} view {quoted(out)}"
        report = quoted(out / REPORT_PAGE)
        hint = f"The files are in {quoted(out)}. This shows the world again:"
        page.end("finished", hint=hint, command=command, report=report)


def _heard_by(page: "LivePage", listen: "Listener", kind: str) -> "Listener":
    """Return a listener that hands each event on, and shows it on the page."""
    from img2world.runs.page.words import stage_name

    def hear(event: "Event") -> None:
        listen(event)
        if event.kind == "start":
            page.begin_stage(event.stage, stage_name(event.stage, kind))
        elif event.kind == "step":
            page.report_steps(event.part, event.done, event.total, **event.quality)

    return hear


def _show_results(page: "LivePage", out: Path, report: Mapping[str, Any]) -> None:
    """Show on the page how good the world is, and its files."""
    quality = report["quality"]
    grade = f"Quality {quality['grade']}: {quality['reason']}" if quality else ""
    places = [(name, out / name) for name in report["files"] if (out / name).exists()]
    page.report(
        message=grade, files=[(name, place.stat().st_size if place.is_file() else None) for name, place in places]
    )


def address_lines(url: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that say where the page is and, without a display, how to see it on another computer."""
    yield f"live: {url}"
    if has_display(environment):
        return
    port, space = urlsplit(url).port, " " * len("live: ")
    # Addresses and ports of the client and of this computer, as the client reached it.
    parts = environment.get("SSH_CONNECTION", "").split()
    host, ssh_port = (parts[2], parts[3]) if len(parts) == 4 else (socket.gethostname(), "22")
    other_port = "" if ssh_port == "22" else f"-p {ssh_port} "
    target = shlex.quote(f"{getpass.getuser()}@{host}")
    yield f"{space}to see it on your own computer, forward the port there, then open the same address:"
    yield f"{space}ssh {other_port}-L {port}:127.0.0.1:{port} {target}"


def has_display(environment: Mapping[str, str]) -> bool:
    """Tell whether a browser window can be opened where the user is."""
    if "SSH_CONNECTION" in environment:
        return False
    return sys.platform in ("darwin", "win32") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
