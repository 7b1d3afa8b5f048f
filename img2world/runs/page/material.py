"""What the sections of the page are made from: the report and the products of a run."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from img2world.runs.files import has_digest
from img2world.runs.folder import RunFolder
from img2world.runs.page.markup import Markup, element
from img2world.runs.page.pictures import Extent, Picture, read_extents, thumbnails, thumbnails_of_files
from img2world.runs.page.reading import Read, attempt
from img2world.runs.source import SourceKind


@dataclass(frozen=True, kw_only=True)
class Material:
    """A run and its report."""

    folder: RunFolder
    report: dict[str, Any]

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def kind(self) -> SourceKind:
        """Kind of the source."""
        return self.report["source"]["kind"]

    @property
    def noun(self) -> str:
        """What the pictures that were read are called."""
        return {"video": "frame", "videos": "picture", "matrix": "picture"}.get(self.kind, "photo")

    @property
    def is_tiled(self) -> bool:
        """True if the video shows several viewpoints at once."""
        return self.kind in ("videos", "matrix")

    @property
    def is_refused(self) -> bool:
        """True if the run ended without a world. Products of later stages are then those of an earlier run."""
        return self.report["refused"] is not None

    @property
    def world(self) -> bool:
        """True if there is a world that belongs to this report."""
        return not self.is_refused and self.has("splat")

    @property
    def num_frames(self) -> int:
        """Number of frames of the video or photos; 0 before there are any."""
        record = self.folder.record("video")
        return int(record.figures["frames"]) if record else 0

    @property
    def num_views(self) -> int:
        """Number of views of the scene; 0 before there are any."""
        record = self.folder.record("isolation") or self.folder.record("poses")
        return int(record.figures["views"]) if record else 0

    def frame_name(self, i: int) -> str:
        """Return the name of the photo that is a frame; of a video, its number."""
        names = (self.report["inventory"] or {}).get("used", [])
        return names[i] if i < len(names) else f"Frame {i}"

    def has(self, stage: str) -> bool:
        """Tell whether a stage is done."""
        return self.folder.record(stage) is not None

    def changed(self, stage: str, name: str) -> Markup | None:
        """Return a note if a file of a stage is not as it was written, so that the report holds nothing of it."""
        record = self.folder.record(stage)
        if record is None or name not in record.files or has_digest(self.path / name, record.files[name]):
            return None
        state = "was changed since it was written" if (self.path / name).exists() else "is missing"
        return element("p", f"Left out: what {name} told. It {state}; run the same command again.", class_="missing")

    @cached_property
    def extents(self) -> list[Extent]:
        """Part of each frame that its picture covers; empty if each fills its frame."""
        frames = self.path / "frames"
        return attempt("sizes", read_extents, frames).value or [] if self.kind not in ("picture", "video") else []

    @cached_property
    def thumbnails(self) -> Read[dict[int, Picture]]:
        """Small pictures of the frames by their index."""
        if self.is_tiled:
            read, path = thumbnails_of_files, self.path / "frames"
        else:
            read, path = thumbnails, self.path / "video.mp4"
        return attempt("pictures of the frames", read, path, self.num_frames, self.extents)

    def thumbnail(self, i: int) -> Picture | None:
        """Return the small picture of a frame, if the page has one."""
        return (self.thumbnails.value or {}).get(i)
