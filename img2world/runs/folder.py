"""The folder of a run: finished stages stay finished, whatever happens.

Each stage has a key: the hash of its code, its options and what it reads. A stage writes into a hidden folder; when
everything is on the disk, its products are renamed to their final names, and only then does the manifest `run.json`
say that the stage is done. A kill at any moment therefore loses at most the stage that was running, and no file with a
final name is ever incomplete.
"""

import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from img2world.captures.listing import RUN_MANIFEST
from img2world.core.errors import Img2WorldError, RejectedError, RunFolderError
from img2world.core.progress import Progress
from img2world.runs.files import (
    LOCK,
    NO_ACCESS,
    PARTIAL,
    clear_disk_errors,
    digest_of,
    flush,
    flush_tree,
    has_digest,
    locked,
    remove,
    write_text,
)

MANIFEST, RECIPE, OLD = RUN_MANIFEST, "recipe.toml", ".old-"
WORK = ".work-"
"""Start of the name of a folder in which a stage keeps what it has found until it is done, so that it can go on there
after a kill. The backend checks itself that what is there belongs to its input and options."""

SHARED = "exports"
"""The only folder into which several stages write; any other belongs to one stage and is replaced as a whole."""

MIN_LINKED = 4096
"""Bytes. A smaller file takes no more room on the disk than a link."""

Make = Callable[[Path, Progress], Mapping[str, float | str]]
"""Writes the products of a stage into an empty folder, under their final relative paths, and returns its metrics.

Text among them is for the report, such as what checked the products."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A change in the state of a stage."""

    kind: Literal["start", "step", "done", "skip"]
    stage: str
    """Name of the stage, or of a run of a batch."""
    part: str = ""
    """Current kind of work of a stage, or current stage of a run of a batch."""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    """Duration of the stage, or of its current kind of work."""
    quality: Mapping[str, float] = field(default_factory=dict)
    """Figures of the result so far, such as psnr."""


Listener = Callable[[Event], None]


def ignore_events(event: Event) -> None:
    """Do nothing: the listener of runs that nobody watches."""


def report_steps(stage: str, listen: Listener) -> Progress:
    """Return a function that reports the progress of a stage, whose time begins now."""
    start, current, last = time.perf_counter(), "", 0

    def report(done: int, total: int, *, step: str = "", **quality: float) -> None:
        nonlocal start, current, last
        now = time.perf_counter()
        if step != current or (step and done < last):
            start = now
        current, last = step, done
        listen(Event(kind="step", stage=stage, part=step, done=done, total=total, seconds=now - start, quality=quality))

    return report


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """The entry of the manifest for a stage that is done."""

    key: str
    reads: str
    """Digest of what the stage read; products made from something else are out of date."""
    seconds: float
    peak_rss_gb: float
    files: dict[str, str]
    """SHA-256 of each product by path in the run folder."""
    metrics: dict[str, float | str]

    @property
    def figures(self) -> dict[str, float]:
        """The metrics that are numbers."""
        return {name: value for name, value in self.metrics.items() if not isinstance(value, str)}

    @property
    def digest(self) -> str:
        """One digest of all products, for the key of stages that read them."""
        return digest_of(self.files)


class RunFolder:
    """A run folder that is locked by this process."""

    def __init__(self, path: Path, manifest: dict[str, Any], listen: Listener) -> None:
        self.path = path
        self.manifest = manifest
        self.listen = listen

    @classmethod
    @contextmanager
    def open(cls, path: Path, listen: Listener = ignore_events) -> Iterator[Self]:
        """Lock the folder, which is created if it is missing, and clean up after a run that was killed.

        A new run that fails before its first stage is done leaves nothing behind. Raises RunFolderError when the folder
        cannot be written, is not a run folder, or is in use.
        """
        with clear_disk_errors(path, also=NO_ACCESS):
            is_new_folder = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            if not (path / MANIFEST).exists() and _holds_foreign(path):
                raise RunFolderError(
                    f"the folder is not empty and not a run folder: {path}",
                    hint="choose a new folder with --out, or empty this one",
                )
            check_inside(path, SHARED)
        with locked(path):
            with clear_disk_errors(path, also=NO_ACCESS):
                for item in path.iterdir():
                    if item.name.startswith((PARTIAL, OLD)):
                        remove(item)
            is_new = not (path / MANIFEST).exists()
            folder = cls(path, {"stages": {}} if is_new else read_manifest(path), listen)
            try:
                yield folder
            except BaseException:
                if is_new and not any(folder.record(stage) for stage in folder.manifest["stages"]):
                    folder._undo(remove_folder=is_new_folder)
                raise

    def save(self) -> None:
        """Write the manifest."""
        write_text(self.path / MANIFEST, json.dumps(self.manifest, indent=1) + "\n")

    def _undo(self, *, remove_folder: bool) -> None:
        """Restore the folder to its state before a new run that has failed.

        The manifest is kept if there are products, as after an interrupt just before they were recorded: without it
        the folder would not be recognised as a run folder. It is removed last for the same reason.
        """
        own = (RECIPE, MANIFEST, LOCK)
        with suppress(OSError):
            if any(item.name not in own and not item.name.startswith((PARTIAL, OLD)) for item in self.path.iterdir()):
                return
            for name in own:
                (self.path / name).unlink(missing_ok=True)
            if remove_folder:
                self.path.rmdir()

    def record(self, stage: str) -> StageRecord | None:
        """Return the record of a stage, or None if it is not done."""
        entry = self.manifest["stages"].get(stage, {})
        if entry.get("state") != "done" or set(entry) != {"state", *(item.name for item in fields(StageRecord))}:
            return None
        return StageRecord(**{name: value for name, value in entry.items() if name != "state"})

    def forget(self, stages: Collection[str] | None = None) -> None:
        """Mark stages (all if None) as out of date; a name includes what is below it, as export does export.ply."""
        for name, entry in self.manifest["stages"].items():
            if stages is None or name in stages or name.partition(".")[0] in stages:
                entry["state"] = "stale"
                remove(self.work(name))
        self.save()

    def work(self, stage: str) -> Path:
        """Return the folder for what a stage has found before it is done; it need not exist."""
        return self.path / f"{WORK}{stage}"

    def discard(self, stage: str) -> None:
        """Remove a stage and its products."""
        entry = self.manifest["stages"].pop(stage)
        for product in _products(entry.get("files", {})):
            remove(self.path / product)
        remove(self.work(stage))
        self.save()

    def discard_outdated(self, prefix: str, reads: Mapping[str, str]) -> None:
        """Remove the stages of this prefix whose products were made from something else than `reads`."""
        for name in [name for name in self.manifest["stages"] if name.startswith(prefix)]:
            record = self.record(name)
            if record is None or record.reads != digest_of(dict(reads)):
                self.discard(name)

    def stage(self, name: str, *, options: Mapping[str, Any], reads: Mapping[str, str], make: Make) -> StageRecord:
        """Run a stage, unless its products are intact and nothing that it depends on has changed.

        `options` holds everything that determines the result except for the files whose digests are in `reads`.
        """
        key = digest_of({"stage": name, "options": dict(options), "reads": dict(reads)})
        record = self.record(name)
        if record is not None and record.key == key and self._is_intact(record):
            self.listen(Event(kind="skip", stage=name, seconds=record.seconds, quality=record.figures))
            return record
        # Recorded until they are replaced, so that products which the stage no longer makes can be removed.
        old_files = self.manifest["stages"].get(name, {}).get("files", {})
        self._set_entry(name, {"state": "running", "files": old_files})
        self.listen(Event(kind="start", stage=name))
        try:
            record = self._make(name, key, digest_of(dict(reads)), make)
        except BaseException as error:
            # The state is only for readers, and the disk may be full: what matters is that it is not "done".
            with suppress(RunFolderError):
                self._set_entry(name, {**_failure(error), "files": old_files})
            raise
        self._set_entry(name, {"state": "done", **vars(record)})
        remove(self.work(name))
        self.listen(Event(kind="done", stage=name, seconds=record.seconds, quality=record.figures))
        return record

    def _set_entry(self, stage: str, entry: dict[str, Any]) -> None:
        """Set the entry of a stage and write the manifest."""
        self.manifest["stages"][stage] = entry
        self.save()

    def _is_intact(self, record: StageRecord) -> bool:
        """Tell whether the products of a stage are unchanged."""
        return all(has_digest(self.path / name, digest) for name, digest in record.files.items())

    def _make(self, name: str, key: str, reads: str, make: Make) -> StageRecord:
        """Make the products of a stage in a hidden folder and, when they are complete, put them in place."""
        start = time.perf_counter()
        hidden = self.path / f"{PARTIAL}{name}"
        try:
            with clear_disk_errors(self.path):
                hidden.mkdir()
                metrics = make(hidden, report_steps(name, self.listen))
                files = flush_tree(hidden)
                self._link_duplicates(hidden, files)
            with clear_disk_errors(self.path, also=NO_ACCESS):
                self._put_in_place(hidden)
                for product in _products(self.manifest["stages"][name]["files"]) - _products(files):
                    remove(self.path / product)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        return StageRecord(
            key=key,
            reads=reads,
            seconds=round(time.perf_counter() - start, 3),
            peak_rss_gb=round(peak_rss_gb(), 3),
            files=files,
            metrics={name: value if isinstance(value, str) else float(value) for name, value in metrics.items()},
        )

    def _link_duplicates(self, hidden: Path, files: Mapping[str, str]) -> None:
        """Replace new files by hard links to equal files of other stages, as the frames in a dataset are equal."""
        known = {
            digest: self.path / name
            for entry in self.manifest["stages"].values()
            for name, digest in (entry["files"] if entry.get("state") == "done" else {}).items()
        }
        for name, digest in files.items():
            original, link = known.get(digest), hidden / f"{PARTIAL}link"
            # The user may have changed or removed the file since.
            if not original or (hidden / name).stat().st_size < MIN_LINKED or not has_digest(original, digest):
                continue
            try:
                os.link(original, link)
            except OSError:
                # This file system has no hard links, or no room for one more; a copy is as good.
                return
            os.replace(link, hidden / name)

    def _put_in_place(self, hidden: Path) -> None:
        """Rename complete products from a hidden folder to their final names."""
        for item in sorted(hidden.iterdir()):
            for product in sorted(item.iterdir()) if item.name == SHARED else [item]:
                target, old = self.path / product.relative_to(hidden), self.path / f"{OLD}{product.name}"
                target.parent.mkdir(exist_ok=True)
                # A folder cannot replace anything in one step: for a moment there is none, but never a part of one.
                if target.exists() and (target.is_dir() or product.is_dir()):
                    os.replace(target, old)
                os.replace(product, target)
                flush(target.parent)
                remove(old)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a run folder.

    Raises RunFolderError when there is none, when it cannot be read, or when it names files outside the folder.
    """
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"this is a file, not a run folder: {path}", hint="give a folder made by `img2world run`")
    check_inside(path, MANIFEST)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        for entry in manifest["stages"].values():
            _check_entry(entry)
        names = {name for entry in manifest["stages"].values() for name in entry.get("files", {})}
        # Files in one folder share their parents.
        places = {PurePosixPath(name) for name in names} | {PurePosixPath(name).parent for name in names}
    except FileNotFoundError as error:
        raise RunFolderError(
            f"this is not a run folder, it has no {MANIFEST}: {path}", hint="give a folder made by `img2world run`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{MANIFEST} cannot be used ({type(error).__name__}: {error}): {path}",
            hint="run it again in another folder",
        ) from error
    for place in sorted(places):
        check_inside(path, str(place))
    return manifest


def _check_entry(entry: dict[str, Any]) -> None:
    """Raise ValueError when the entry of a stage has values of wrong types, or a product that cannot be one."""
    types = {"seconds": int | float, "peak_rss_gb": int | float, "metrics": dict, "files": dict}
    wrong = [name for name, kind in types.items() if name in entry and not isinstance(entry[name], kind)]
    # Replacing such a product would remove those of other stages.
    wrong += [name for name in entry.get("files", ()) if PurePosixPath(name) in map(PurePosixPath, (".", SHARED))]
    if wrong:
        raise ValueError(f"a stage has an unusable entry: {', '.join(map(repr, wrong))}")


def check_inside(run: Path, name: str) -> None:
    """Check that a path is inside a run folder. Raises RunFolderError when it leads out of it or through a link."""
    place = PurePosixPath(name)
    steps = [run.joinpath(*place.parts[: i + 1]) for i in range(len(place.parts))]
    if place.is_absolute() or ".." in place.parts or any(step.is_symlink() for step in steps):
        raise RunFolderError(
            f"{name} leads out of the run folder: {run}",
            hint="a run folder may not contain symbolic links; replace them by the files themselves",
        )


def peak_rss_gb() -> float:
    """Return the peak memory of this process, or of a process that it started, in 10^9 bytes."""
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kilobytes * 1024 / 1e9


def _failure(error: BaseException) -> dict[str, str]:
    """Return how a stage ended that was not done, for its entry of the manifest, with the message for the user."""
    if isinstance(error, KeyboardInterrupt):
        return {"state": "interrupted"}
    state = "rejected" if isinstance(error, RejectedError) else "failed"
    return {"state": state, "error": str(error)} if isinstance(error, Img2WorldError) else {"state": state}


def _products(files: Iterable[str]) -> set[str]:
    """Return the files and folders that a stage replaces or removes as a whole, by the files in them."""
    parts = [PurePosixPath(name).parts for name in files]
    return {"/".join(names[: 2 if names[0] == SHARED else 1]) for names in parts}


def _holds_foreign(path: Path) -> bool:
    """Tell whether the folder has anything that a run killed at its start would not have left."""
    return any(not item.name.startswith((PARTIAL, OLD, LOCK)) for item in path.iterdir())
