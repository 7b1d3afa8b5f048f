"""The folder of a run: what is done stays done, whatever happens.

Each stage has a key: the hash of its code, its options and what it read. A stage writes into a hidden
folder beside its final place; when all is on the disk the products are renamed into place, and only then
does the manifest `run.json` say that the stage is done. So a kill at any moment loses at most the stage
that was running, and nothing under a final name is ever half a file.
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

from img2world.core.errors import RunFolderError
from img2world.core.progress import Progress
from img2world.runs.files import (
    LOCK,
    NO_ACCESS,
    PARTIAL,
    clear_disk_errors,
    digest_of,
    file_digest,
    flush,
    flush_tree,
    locked,
    remove,
    write_text,
)

MANIFEST, RECIPE, OLD = "run.json", "recipe.toml", ".old-"
SHARED = "exports"
"""The one folder into which several stages write; any other belongs to one stage and is replaced whole."""

Make = Callable[[Path, Progress], Mapping[str, float]]
"""Writes the products of a stage into an empty folder, under their final relative paths; gives the metrics."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something a listener may tell the user."""

    kind: Literal["start", "step", "done", "skip"]
    stage: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    quality: Mapping[str, float] = field(default_factory=dict)
    """What is known of the result so far, such as psnr."""


Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """Listens to nothing."""


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What the manifest holds of a stage that is done."""

    key: str
    reads: str
    """Digest of what the stage read; a product whose source has changed is out of date."""
    seconds: float
    peak_rss_gb: float
    files: dict[str, str]
    """Path in the run folder to SHA-256."""
    metrics: dict[str, float]

    @property
    def digest(self) -> str:
        """One hash of all files, for those who read them."""
        return digest_of(self.files)


class RunFolder:
    """A run folder that this process alone may write."""

    def __init__(self, path: Path, manifest: dict[str, Any], listen: Listener) -> None:
        self.path = path
        self.manifest = manifest
        self.listen = listen

    @classmethod
    @contextmanager
    def open(cls, path: Path, listen: Listener = nobody) -> Iterator[Self]:
        """Lock the folder, made when it is missing, and clean up after a run that was killed.

        A new run that fails before its first stage is done leaves nothing behind. Raises RunFolderError
        when the folder cannot be written, holds something else, or is in use.
        """
        with clear_disk_errors(path, also=NO_ACCESS):
            is_new_folder = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            if not (path / MANIFEST).exists() and _holds_foreign(path):
                raise RunFolderError(
                    f"the folder is not empty and not a run folder: {path}",
                    hint="give a new folder with --out, or empty this one",
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
        """Leave the folder as it was before a run that has come to nothing.

        A run that was interrupted with products in place, before they were noted, keeps its manifest: without it the
        folder would be taken for another program's. It goes last for the same reason.
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
        """What is known of a stage that is done, else None."""
        entry = self.manifest["stages"].get(stage, {})
        if entry.get("state") != "done" or set(entry) != {"state", *(item.name for item in fields(StageRecord))}:
            return None
        return StageRecord(**{name: value for name, value in entry.items() if name != "state"})

    def forget(self, stages: Collection[str] | None = None) -> None:
        """Have these stages (all when None) done again; a name stands also for what is below it, as export.ply."""
        for name, entry in self.manifest["stages"].items():
            if stages is None or name in stages or name.partition(".")[0] in stages:
                entry["state"] = "stale"
        self.save()

    def discard(self, stage: str) -> None:
        """Remove a stage and its files."""
        entry = self.manifest["stages"].pop(stage)
        for product in _products(entry.get("files", {})):
            remove(self.path / product)
        self.save()

    def discard_outdated(self, prefix: str, reads: Mapping[str, str]) -> None:
        """Remove what stages of this prefix have made from something else than `reads`."""
        for name in [name for name in self.manifest["stages"] if name.startswith(prefix)]:
            record = self.record(name)
            if record is None or record.reads != digest_of(dict(reads)):
                self.discard(name)

    def stage(self, name: str, *, options: Mapping[str, Any], reads: Mapping[str, str], make: Make) -> StageRecord:
        """Have a stage done: keep what is there when nothing it depends on has changed, else make it.

        `options` holds all that decides the result beside the files whose digests are in `reads`.
        """
        key = digest_of({"stage": name, "options": dict(options), "reads": dict(reads)})
        record = self.record(name)
        if record is not None and record.key == key and self._is_intact(record):
            self.listen(Event(kind="skip", stage=name, seconds=record.seconds, quality=record.metrics))
            return record
        # Known until they are replaced, so that files which the stage no longer makes can be removed.
        old_files = self.manifest["stages"].get(name, {}).get("files", {})
        self._note(name, {"state": "running", "files": old_files})
        self.listen(Event(kind="start", stage=name))
        try:
            record = self._make(name, key, digest_of(dict(reads)), make)
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            # Only told to readers, and the disk may be full: what matters is that it does not say "done".
            with suppress(RunFolderError):
                self._note(name, {"state": state, "files": old_files})
            raise
        self._note(name, {"state": "done", **vars(record)})
        self.listen(Event(kind="done", stage=name, seconds=record.seconds, quality=record.metrics))
        return record

    def _note(self, stage: str, entry: dict[str, Any]) -> None:
        """Keep an entry of the manifest."""
        self.manifest["stages"][stage] = entry
        self.save()

    def _is_intact(self, record: StageRecord) -> bool:
        """Whether the files of a stage are as it left them."""
        paths = {self.path / name: digest for name, digest in record.files.items()}
        return all(path.is_file() and file_digest(path) == digest for path, digest in paths.items())

    def _make(self, name: str, key: str, reads: str, make: Make) -> StageRecord:
        """Make the products of a stage beside their place, and move them there when they are complete."""
        start = time.perf_counter()
        beside = self.path / f"{PARTIAL}{name}"

        def tell(done: int, total: int, **quality: float) -> None:
            seconds = time.perf_counter() - start
            self.listen(Event(kind="step", stage=name, done=done, total=total, seconds=seconds, quality=quality))

        try:
            with clear_disk_errors(self.path):
                beside.mkdir()
                metrics = make(beside, tell)
                files = flush_tree(beside)
                self._put_in_place(beside)
                for product in _products(self.manifest["stages"][name]["files"]) - _products(files):
                    remove(self.path / product)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return StageRecord(
            key=key,
            reads=reads,
            seconds=round(time.perf_counter() - start, 3),
            peak_rss_gb=round(peak_rss_gb(), 3),
            files=files,
            metrics={metric: float(value) for metric, value in metrics.items()},
        )

    def _put_in_place(self, beside: Path) -> None:
        """Rename complete products into the run folder."""
        for item in sorted(beside.iterdir()):
            for product in sorted(item.iterdir()) if item.name == SHARED else [item]:
                target, old = self.path / product.relative_to(beside), self.path / f"{OLD}{product.name}"
                target.parent.mkdir(exist_ok=True)
                # A folder cannot be renamed onto another: for a moment there is none, but never half of one.
                if target.is_dir():
                    os.replace(target, old)
                os.replace(product, target)
                flush(target.parent)
                remove(old)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a run folder.

    Raises RunFolderError when there is none that can be read, or when it names files that lie elsewhere.
    """
    if path.exists() and not path.is_dir():
        raise RunFolderError(
            f"this is a file, not a run folder: {path}", hint="give a folder that `img2world run` made"
        )
    check_inside(path, MANIFEST)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        names = {name for entry in manifest["stages"].values() for name in entry.get("files", {})}
        # Whatever lies in one folder has the same parents.
        places = {PurePosixPath(name) for name in names} | {PurePosixPath(name).parent for name in names}
    except FileNotFoundError as error:
        raise RunFolderError(
            f"this is no run folder, it has no {MANIFEST}: {path}", hint="give a folder that `img2world run` made"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{MANIFEST} cannot be used ({type(error).__name__}: {error}): {path}",
            hint="make the run again in another folder",
        ) from error
    for place in sorted(places):
        check_inside(path, str(place))
    return manifest


def check_inside(run: Path, name: str) -> None:
    """Check that a path of a run folder stays inside it. Raises RunFolderError when it leaves or passes a link."""
    place = PurePosixPath(name)
    way = [run.joinpath(*place.parts[: i + 1]) for i in range(len(place.parts))]
    if place.is_absolute() or ".." in place.parts or any(step.is_symlink() for step in way):
        raise RunFolderError(
            f"{name} leads out of the run folder: {run}",
            hint="a run folder holds no symbolic links; put the files themselves in their place",
        )


def peak_rss_gb() -> float:
    """The most memory that this process, or one of those it started, has used so far, in 10^9 bytes."""
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kilobytes * 1024 / 1e9


def _products(files: Iterable[str]) -> set[str]:
    """The files and folders of a run folder that a stage replaces or removes as a whole."""
    parts = [PurePosixPath(name).parts for name in files]
    return {"/".join(names[: 2 if names[0] == SHARED else 1]) for names in parts}


def _holds_foreign(path: Path) -> bool:
    """Whether there is anything that a run which was killed at once would not have left."""
    return any(not item.name.startswith((PARTIAL, OLD, LOCK)) for item in path.iterdir())
