"""Other programs, run so that nothing of them is left behind: neither processes nor files.

A keeper stands between us and the program: `python -m img2world.core.external_program FOLDER COMMAND…`. It holds the
end of a pipe whose other end is ours. When we end, however that comes about, the pipe closes, and the keeper ends the
program with all that it has started and deletes the folder.
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
"""Linux, prctl(2): the signal a process gets when its parent ends."""

TAIL = 5
"""Last lines of a program's output that an error tells."""


def run_program(
    command: list[str],
    *,
    folder: Path,
    time_limit: float,
    error: type[Img2WorldError],
    hear: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end; `hear` gets each line that it prints. `folder` is deleted if we are killed.

    Raises `error` with the program's last words when it fails or takes longer than `time_limit` seconds. It is
    ended, with all that it has started, on any exception that `hear` raises.
    """
    keeper = [sys.executable, "-P", "-m", __name__, str(folder), *command]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    timed_out = threading.Event()
    said: list[str] = []
    with subprocess.Popen(
        keeper,
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
                said = [*said[1 - TAIL :], " ".join(line.split())] if line.strip() else said
                hear(line)
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
        last = " | ".join(said)[-400:] or "it said nothing"
        raise error(
            f"{name} failed (exit code {code}): {last}", hint=f"check that `{name} --help` works in its own environment"
        )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a program's files, deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="img2world-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def keep(folder: Path, command: list[str]) -> int:
    """The keeper's work; gives the program's exit code."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent, env=environment
    )

    def end_all(*_: object) -> None:
        # The program leads a group of its own, in which its workers are.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    deserted = threading.Event()

    def watch() -> None:
        os.read(0, 1)
        deserted.set()
        end_all()

    signal.signal(signal.SIGTERM, end_all)
    # Ctrl-C reaches us too; the pipe says when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    end_all()
    if deserted.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def _die_with_parent() -> None:
    """Runs in the program before it is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:]))
