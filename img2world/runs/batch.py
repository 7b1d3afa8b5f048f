"""Many inputs, one run folder each. Every run is a process of its own, so none can take the others down."""

import csv
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from img2world.core.errors import Img2WorldError, RunFolderError
from img2world.core.threads import usable_cores
from img2world.runs.batch_summary import PAGE, TABLE, Result, write_summary
from img2world.runs.files import NO_ACCESS, clear_disk_errors, locked, write_text
from img2world.runs.folder import Event, Listener, nobody
from img2world.runs.source import find_source, is_video, source_of_run
from img2world.video.photos import SUFFIXES

NAMES, LOGS = "batch.json", "logs"
RESERVED = {NAMES, LOGS, PAGE, TABLE}
"""What the batch itself writes beside the run folders."""

THREADS = ("IMG2WORLD_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One input of a batch."""

    input: Path
    recipe: str = ""
    """Empty: that of the batch."""
    name: str = ""
    """Of its run folder; empty: the input's own."""


@dataclass(kw_only=True)
class Job:
    """A run that is going on."""

    entry: Entry
    process: subprocess.Popen[bytes]
    log: Path
    start: float
    unread: bytes = b""
    error: str = ""
    report: dict[str, Any] = field(default_factory=dict)


def read_inputs(path: Path) -> list[Entry]:
    """The inputs in a folder (pictures and videos right in it) or in a CSV file.

    The CSV's columns are `input`, and if wanted `name` and `recipe`; a file without such a header is
    read as one input per row, in the first column. Paths are relative to the list. Raises
    Img2WorldError when there is nothing to do.
    """
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        entries = [Entry(input=file.absolute()) for file in files if _looks_usable(file)]
    else:
        entries = [_entry(row, path) for row in _read_rows(path)]
    if not entries:
        raise Img2WorldError(f"there are no inputs in {path}", hint="give a folder of pictures, or a CSV of paths")
    return entries


def run_batch(
    entries: Sequence[Entry],
    out: Path,
    *,
    jobs: int = 1,
    recipe: str = "",
    changes: Sequence[str] = (),
    listen: Listener = nobody,
) -> list[Result]:
    """Run every input, `jobs` at a time, and write summary.csv and summary.html; gives one result per input.

    Without a recipe each input gets the one for what it is. Whatever is done already is only checked,
    and a failed input never stops the others. Raises RunFolderError when the folder cannot be written
    or another batch is writing it.
    """
    with clear_disk_errors(out, also=NO_ACCESS):
        (out / LOGS).mkdir(parents=True, exist_ok=True)
    with locked(out):
        entries = name_entries(entries, out)
        options = [word for change in changes for word in ("--set", change)]
        results: dict[str, Result] = {}
        start = time.perf_counter()
        try:
            for job in _run_all(entries, out, jobs, ["--recipe", recipe, *options] if recipe else options, listen):
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
    """The entries, each with a name of its own that stays the same when the batch is called again."""
    place = out / NAMES
    try:
        taken: dict[str, str] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    except ValueError as error:
        raise RunFolderError(f"the batch's list of names is broken: {place}", hint="remove it") from error
    names = {where: name for name, where in taken.items()}
    named = []
    for entry in entries:
        where = f"{entry.input} {entry.name} {entry.recipe}".strip()
        if where not in names:
            wanted = _folder_name(entry.name or entry.input.stem)
            candidates = [wanted, *(f"{wanted}-{i}" for i in range(2, len(entries) + len(taken) + 3))]
            names[where] = next(name for name in candidates if name not in taken and name.lower() not in RESERVED)
            taken[names[where]] = where
        named.append(Entry(input=entry.input, recipe=entry.recipe, name=names[where]))
    # Escapes, since a file name need not be UTF-8.
    write_text(place, json.dumps(taken, indent=1) + "\n")
    # The same input listed twice is one run.
    return list({entry.name: entry for entry in named}.values())


def _looks_usable(path: Path) -> bool:
    """Whether a file in a folder is meant: a picture by its name, broken or not, or a video by its content."""
    return path.suffix.lower() in (*SUFFIXES, ".gif", ".jfif", ".heic") or is_video(path)


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Img2WorldError(
            f"the list cannot be read: {error}", hint="give a folder, or a CSV file with a column `input`"
        ) from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "input" not in header:
        return [{"input": row[0]} for row in rows]
    return [dict(zip(header, row, strict=False)) for row in rows[1:]]


def _entry(row: dict[str, str], path: Path) -> Entry:
    """A row of a list as an entry."""
    given = {name: row.get(name, "").strip() for name in ("input", "name", "recipe")}
    if not given["input"]:
        raise Img2WorldError(f"a row of the list has no input, only {row}: {path}", hint="fill it in, or remove it")
    place = (path.parent / Path(given["input"]).expanduser()).absolute()
    return Entry(input=place, name=given["name"], recipe=given["recipe"])


def _folder_name(text: str) -> str:
    """Text as a file name that is safe everywhere."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text).lstrip(".")
    return kept.encode()[:100].decode(errors="ignore") or "run"


def _run_all(entries: Sequence[Entry], out: Path, jobs: int, options: Sequence[str], listen: Listener) -> Iterator[Job]:
    """Run the entries, some at a time; gives each job when it has ended. Whoever stops early stops them all."""
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
    """Start one run."""
    command = [sys.executable, "-P", "-m", "img2world.cli", "run", str(entry.input), "--json"]
    command += ["--out", str(out / entry.name), *options, *(["--recipe", entry.recipe] if entry.recipe else [])]
    command += ["--fresh"] if _has_changed(entry.input, out / entry.name) else []
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    if jobs > 1:
        share = str(max(1, usable_cores() // jobs))
        environment = {**dict.fromkeys(THREADS, share), **environment}
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
    """Wait for something to happen, pass it on, and give the jobs that ended."""
    ended = []
    for key, _ in selector.select():
        job: Job = key.data
        data = os.read(key.fd, 1 << 16)
        if not data:
            selector.unregister(key.fileobj)
            ended.append(job)
        *lines, job.unread = (job.unread + data).split(b"\n")
        for line in lines:
            _take(json.loads(line), job, listen)
    return ended


def _take(line: dict[str, Any], job: Job, listen: Listener) -> None:
    """Keep or pass on what a run tells."""
    if line["event"] == "finished":
        job.report = line
    elif line["event"] == "error":
        job.error = f"{line['message']} ({line['hint']})"
    elif line["event"] == "step":
        seconds = time.perf_counter() - job.start
        listen(Event(kind="step", stage=job.entry.name, done=line["done"], total=line["total"], seconds=seconds))


def _finish(job: Job, listen: Listener) -> Result:
    """What has become of a run that ended."""
    code = job.process.wait()
    if job.process.stdout:
        job.process.stdout.close()
    seconds = time.perf_counter() - job.start
    metrics = job.report.get("metrics", {}) if code == 0 else {}
    quality = {name: metrics[name] for name in ("heldout_psnr",) if name in metrics}
    listen(Event(kind="done", stage=job.entry.name, seconds=seconds, quality=quality))
    state, error = "done" if code == 0 else "failed", ""
    if code == 0:
        job.log.unlink(missing_ok=True)
    else:
        error = job.error or _cause(code, job.log)
    return Result(
        input=str(job.entry.input), name=job.entry.name, state=state, error=error, seconds=seconds, metrics=metrics
    )


def _cause(code: int, log: Path) -> str:
    """Why a run ended that told no reason."""
    if code == -signal.SIGKILL:
        return "it was killed, most likely for want of memory (try fewer --jobs)"
    if code < 0:
        return f"it crashed: {signal.Signals(-code).name} (see {log})"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1].strip() if lines else f'exit code {code}'} (see {log})"


def _stop(running: Sequence[Job]) -> None:
    """Interrupt what still runs, so that it can be resumed, and wait for it."""
    for job in running:
        job.process.send_signal(signal.SIGINT)
    for job in running:
        try:
            job.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            job.process.kill()
            job.process.wait()
