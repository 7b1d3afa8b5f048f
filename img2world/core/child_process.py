"""Work in a child process, for libraries that may crash, hang or exhaust the memory on bad input.

The parent calls `run_child`; the module that it runs in the child calls `answer`. The child reports progress, and
errors that the user can act on, as lines of JSON on its standard output.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from img2world.core.errors import Img2WorldError
from img2world.core.external_program import die_with_parent
from img2world.core.progress import Progress, silent

MAX_MEMORY = 16 << 30
"""Bytes of address space a child may take."""


def run_child(
    module: str, options: dict, *, error: type[Img2WorldError], time_limit: float = 0.0, progress: Progress = silent
) -> None:
    """Run `python -m module` with options that JSON can represent, and wait for its end.

    Raises `error` when the child reports one, crashes, or takes longer than `time_limit` seconds; 0 is no limit. The
    child does not outlive its parent: it ends on Ctrl-C, on any exception that `progress` raises, and when the parent
    is killed.
    """
    command = [sys.executable, "-P", "-m", module, json.dumps(options)]
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # One thread per linear algebra call: with more, the order of sums and so the last bits depend on the machine.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    timed_out = threading.Event()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **threads, "PYTHONPATH": path},
        ) as process,
    ):
        timer = threading.Timer(time_limit, lambda: (timed_out.set(), process.kill()))
        if time_limit:
            timer.start()
        try:
            reported = _listen(process.stdout, error, progress)
        finally:
            timer.cancel()
            if sys.exc_info()[0] is not None:
                process.kill()
        code = process.wait()
        if reported is not None:
            raise reported
        if timed_out.is_set():
            raise error(
                f"{module} took longer than {time_limit:g} seconds and was stopped",
                hint="use fewer or smaller pictures, or raise the backend's time_limit",
            )
        if code != 0:
            log.seek(0)
            output = log.read().decode("utf-8", "replace")
            raise error(
                f"{module} {_describe_end(code, output)}", hint="the input may be damaged; try a part or a copy of it"
            )


def _listen(lines: Iterable[str] | None, error: type[Img2WorldError], progress: Progress) -> Img2WorldError | None:
    """Pass on the progress that the child reports; return the error that it reports, if any."""
    for line in lines or ():
        # Libraries may print to standard output too.
        if not line.startswith('{"child"'):
            continue
        event = json.loads(line)
        if event["child"] == "error":
            return error(event["message"], hint=event["hint"])
        progress(event["done"], event["total"], **event["step"], **event["quality"])
    return None


def _describe_end(code: int, output: str) -> str:
    """Say how the child ended, with the last line of its standard error."""
    # Stack traces of native code mean nothing to a user.
    lines = [
        " ".join(line.split())[:200] for line in output.split("\n") if not line.lstrip().startswith(("@", "***", "PC:"))
    ]
    last = next((line for line in reversed(lines) if line), "it printed nothing")
    how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"failed (exit code {code})"
    return f"{how}: {last}"


def answer(work: Callable[[dict, Progress], None]) -> None:
    """Do the work of a child with the options given to `run_child`; report its progress and its Img2WorldError."""
    die_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))

    def report(done: int, total: int, *, step: str = "", **quality: float) -> None:
        named = {"step": step} if step else {}
        event = {"child": "progress", "done": done, "total": total, "step": named, "quality": quality}
        print(json.dumps(event), flush=True)  # noqa: T201

    try:
        work(json.loads(sys.argv[1]), report)
    except Img2WorldError as error:
        print(json.dumps({"child": "error", "message": str(error), "hint": error.hint}), flush=True)  # noqa: T201
