"""Many inputs, one run folder each. Every run is a process of its own, so that a crash cannot affect the others."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from img2world.core.errors import Img2WorldError, RunFolderError
from img2world.core.threads import usable_cores
from img2world.runs.batch_list import Entry
from img2world.runs.batch_summary import PAGE, TABLE, Result, write_summary
from img2world.runs.files import NO_ACCESS, clear_disk_errors, locked, write_text
from img2world.runs.folder import Event, Listener, ignore_events
from img2world.runs.source import find_source, source_of_run

NAMES, LOGS = "batch.json", "logs"
RESERVED = {NAMES, LOGS, PAGE, TABLE}
"""Names that the batch itself uses beside the run folders."""

THREAD_VARIABLES = ("IMG2WORLD_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that limit the threads of a run."""


@dataclass(kw_only=True)
class Job:
    """A run in progress."""

    entry: Entry
    process: subprocess.Popen[bytes]
    log: Path
    start: float
    unread: bytes = b""
    error: str = ""
    report: dict[str, Any] = field(default_factory=dict)


def run_batch(
    entries: Sequence[Entry],
    out: Path,
    *,
    jobs: int = 1,
    recipe: str = "",
    changes: Sequence[str] = (),
    listen: Listener = ignore_events,
) -> list[Result]:
    """Run every input, `jobs` at a time, write summary.csv and summary.html, and return one result per input.

    Without a recipe each input gets the default one of its kind. Runs that are done and up to date are only checked;
    an input that has changed is run again in its folder. A failed input does not stop the others. Raises
    RunFolderError when the folder cannot be written or another batch is using it.
    """
    with clear_disk_errors(out, also=NO_ACCESS):
        (out / LOGS).mkdir(parents=True, exist_ok=True)
    with locked(out):
        entries = name_entries(entries, out)
        options = [word for change in changes for word in ("--set", change)]
        results = {entry.name: _refused(entry) for entry in entries if entry.error}
        usable = [entry for entry in entries if not entry.error]
        start = time.perf_counter()
        try:
            for job in _run_all(usable, out, jobs, ["--recipe", recipe, *options] if recipe else options, listen):
                results[job.entry.name] = _finish(job, listen)
                quality = {"failed": float(sum(result.state != "done" for result in results.values()))}
                seconds, done = time.perf_counter() - start, len(results)
                listen(
                    Event(kind="step", stage="batch", done=done, total=len(entries), seconds=seconds, quality=quality)
                )
        finally:
            ordered = [results[entry.name] for entry in entries if entry.name in results]
            write_summary(ordered, out)
        return ordered


def name_entries(entries: Sequence[Entry], out: Path) -> list[Entry]:
    """Return the entries with unique names, which stay the same when the batch is run again."""
    path = out / NAMES
    try:
        taken: dict[str, str] = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        names = {entry: name for name, entry in taken.items()}
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(f"the batch's list of names is broken: {path}", hint="remove the file") from error
    named = []
    for entry in entries:
        key = f"{entry.input} {entry.name} {entry.recipe}".strip()
        if key not in names:
            wanted = _folder_name(entry.name or entry.input.stem)
            candidates = [wanted, *(f"{wanted}-{i}" for i in range(2, len(entries) + len(taken) + 3))]
            names[key] = next(name for name in candidates if name not in taken and name.lower() not in RESERVED)
            taken[names[key]] = key
        named.append(replace(entry, name=names[key]))
    # Escaped to ASCII, since a file name need not be UTF-8.
    write_text(path, json.dumps(taken, indent=1) + "\n")
    # An input that is listed twice is one run.
    return list({entry.name: entry for entry in named}.values())


def _folder_name(text: str) -> str:
    """Return text as a file name that is valid on every system."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text).lstrip(".")
    return kept.encode()[:100].decode(errors="ignore") or "run"


def _run_all(entries: Sequence[Entry], out: Path, jobs: int, options: Sequence[str], listen: Listener) -> Iterator[Job]:
    """Run the entries, `jobs` at a time, and yield each job when it has ended; closing the iterator stops them all."""
    waiting, running = list(reversed(entries)), []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.pop(), out, jobs, options))
                    selector.register(running[-1].process.stdout, selectors.EVENT_READ, running[-1])
                    listen(Event(kind="start", stage=running[-1].entry.name))
                for job in _read_events(selector, listen):
                    running.remove(job)
                    yield job
        finally:
            _stop(running)


def _start(entry: Entry, out: Path, jobs: int, options: Sequence[str]) -> Job:
    """Start the run of an entry as a process."""
    command = [sys.executable, "-P", "-m", "img2world.cli", "run", str(entry.input), "--json"]
    command += ["--out", str(out / entry.name), *options, *(["--recipe", entry.recipe] if entry.recipe else [])]
    command += ["--fresh"] if _has_changed(entry.input, out / entry.name) else []
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    if jobs > 1:
        threads = str(max(1, usable_cores() // jobs))
        environment = {**dict.fromkeys(THREAD_VARIABLES, threads), **environment}
    log = out / LOGS / f"{entry.name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, env=environment
        )
    return Job(entry=entry, process=process, log=log, start=time.perf_counter())


def _has_changed(path: Path, run: Path) -> bool:
    """Tell whether an input has another content than when its run was made."""
    try:
        now, before = find_source(path), source_of_run(run)
        return now.path == before.path and now.digest != before.digest
    except Img2WorldError:
        # There is no run yet, or the input or the run cannot be read, which the run itself will report.
        return False


def _read_events(selector: selectors.BaseSelector, listen: Listener) -> list[Job]:
    """Wait for output of the runs, handle it, and return the jobs that have ended."""
    ended = []
    for key, _ in selector.select():
        job: Job = key.data
        data = os.read(key.fd, 1 << 16)
        if not data:
            selector.unregister(key.fileobj)
            ended.append(job)
        *lines, job.unread = (job.unread + data).split(b"\n")
        for line in lines:
            _handle_event(json.loads(line), job, listen)
    return ended


def _handle_event(event: dict[str, Any], job: Job, listen: Listener) -> None:
    """Keep the report or the error of a run; pass its progress on."""
    if event["event"] == "finished":
        job.report = event
    elif event["event"] == "error":
        job.error = f"{event['message']} ({event['hint']})"
    elif event["event"] == "step":
        figures = {name: event[name] for name in ("done", "total", "seconds")}
        listen(Event(kind="step", stage=job.entry.name, part=event["stage"], **figures))


def _refused(entry: Entry) -> Result:
    """Return the result of an entry that cannot be run."""
    return Result(input=str(entry.input), name=entry.name, state="failed", error=entry.error, seconds=0.0)


def _finish(job: Job, listen: Listener) -> Result:
    """Return the result of a run that has ended."""
    code = job.process.wait()
    if job.process.stdout:
        job.process.stdout.close()
    seconds = time.perf_counter() - job.start
    metrics = job.report.get("metrics", {}) if code == 0 else {}
    quality = job.report.get("quality", {}) if code == 0 else {}
    score = {name: quality[name] for name in ("score",) if name in quality}
    listen(Event(kind="done", stage=job.entry.name, seconds=seconds, quality=score))
    state, error = "done" if code == 0 else "failed", ""
    if code == 0:
        job.log.unlink(missing_ok=True)
    else:
        error = job.error or _failure_reason(code, job.log)
    return Result(
        input=str(job.entry.input),
        name=job.entry.name,
        state=state,
        error=error,
        seconds=seconds,
        grade=quality.get("grade", ""),
        reason=quality.get("reason", ""),
        metrics=metrics,
    )


def _failure_reason(code: int, log: Path) -> str:
    """Return why a run failed that reported no error."""
    if code == -signal.SIGKILL:
        return "it was killed, most likely because memory ran out (try fewer --jobs)"
    if code < 0:
        return f"it crashed: {signal.Signals(-code).name} (see {log})"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1].strip() if lines else f'exit code {code}'} (see {log})"


def _stop(running: Sequence[Job]) -> None:
    """Interrupt the jobs that are still running, so that they can be resumed, and wait until they have ended."""
    for job in running:
        job.process.send_signal(signal.SIGINT)
    for job in running:
        try:
            job.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            job.process.kill()
            job.process.wait()
