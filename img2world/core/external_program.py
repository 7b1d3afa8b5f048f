"""Other programs, run such that neither processes nor files of theirs are left behind.

A supervisor runs between this process and the program: `python -m img2world.core.external_program FOLDER COMMAND…`.
The two are connected by a pipe. When this process ends, for whatever reason, the pipe closes, and the supervisor kills
the program with everything that it has started and deletes the folder.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from img2world.core.errors import Img2WorldError

PR_SET_PDEATHSIG = 1
"""prctl(2), Linux: the signal that a process receives when its parent ends."""

NUM_LAST_LINES = 5
"""Lines from the end of a program's output that are in the error message."""


def run_program(
    command: list[str],
    *,
    folder: Path,
    time_limit: float,
    error: type[Img2WorldError],
    on_line: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end; `on_line` is called with each line of its output.

    `folder` is deleted if this process is killed. Raises `error` with the last lines of the output when the program
    fails or takes longer than `time_limit` seconds. On any exception that `on_line` raises, the program and everything
    that it has started are killed.
    """
    supervisor = [sys.executable, "-P", "-m", __name__, str(folder), *command]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    timed_out = threading.Event()
    last_lines: list[str] = []
    with subprocess.Popen(
        supervisor,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {}), "PYTHONPATH": path},
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdin is not None  # Both are pipes.
        assert process.stdout is not None
        timer = threading.Timer(time_limit, lambda: (timed_out.set(), process.terminate()))
        timer.start()
        try:
            for line in process.stdout:
                last_lines = [*last_lines[1 - NUM_LAST_LINES :], " ".join(line.split())] if line.strip() else last_lines
                on_line(line)
        finally:
            timer.cancel()
            process.stdin.close()
        code = process.wait()
    name = Path(command[0]).name
    if timed_out.is_set():
        raise error(
            f"{name} took longer than {time_limit:g} seconds and was stopped", hint="raise the backend's time_limit"
        )
    if code != 0:
        last = " | ".join(last_lines)[-400:] or "it printed nothing"
        raise error(
            f"{name} failed (exit code {code}): {last}", hint=f"check that `{name} --help` works in its own environment"
        )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Provide a temporary folder for the files of a program; it is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="img2world-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def supervise(folder: Path, command: list[str]) -> int:
    """Run a program as its supervisor and return its exit code; see the module's docstring."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent, env=environment
    )

    def kill_group(*_: object) -> None:
        # The program and its workers are a process group of their own.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    orphaned = threading.Event()

    def wait_for_parent() -> None:
        os.read(0, 1)  # Returns when the parent closes the pipe or ends.
        orphaned.set()
        kill_group()

    signal.signal(signal.SIGTERM, kill_group)
    # Ctrl-C reaches this process too, but the pipe decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=wait_for_parent, daemon=True).start()
    code = process.wait()
    kill_group()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2:]))
