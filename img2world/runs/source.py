"""The input of a run, recognised by content: a picture, one or several videos, photos or a posed dataset."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from img2world.captures.dataset import dataset_root, find_layout, read_dataset
from img2world.captures.listing import VIDEO_SUFFIXES, list_photos, looks_like_picture, relative_name
from img2world.captures.viewpoints import find_viewpoints
from img2world.core.errors import ImageError, RunFolderError, VideoError
from img2world.core.text_file import expanded
from img2world.runs.files import digest_of, file_digest, path_digest
from img2world.runs.folder import MANIFEST, read_manifest
from img2world.video.containers import container_of

MOVING = "moving"
"""Name of the recipe for what moves."""

SourceKind = Literal["picture", "video", "photos", "dataset", "videos", "matrix"]
RECIPES: dict[SourceKind, str] = {
    "picture": "auto",
    "video": "video",
    "photos": "photos",
    "dataset": "dataset",
    "videos": MOVING,
    "matrix": MOVING,
}
"""The default recipe for each kind of source."""

PHOTOS_FOLDER = "images"
"""Subfolder in which COLMAP and nerfstudio datasets keep their photos."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A picture, a video, a folder of photos, or a posed dataset: a folder or its camera file.

    `videos` is a folder of what several fixed cameras saw at the same times, `matrix` one picture or video of that.
    """

    kind: SourceKind
    path: Path
    known_digest: str = ""
    """Digest noted by the run that read the source, which may no longer exist; empty: computed when needed."""

    @property
    def name(self) -> str:
        """Name of the run folder that is made from it by default."""
        if self.kind == "dataset":
            return dataset_root(self.path).name or "world"
        folder = self.path.parent if self.path.name == PHOTOS_FOLDER else self.path
        return (self.path.stem if self.path.is_file() else folder.name) or "world"

    @property
    def default_recipe(self) -> str:
        """Name of the recipe that suits the source."""
        if self.kind == "dataset" and read_dataset(self.path).has_times:
            return MOVING
        return RECIPES[self.kind]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, see `source_digest`."""
        return self.known_digest or source_digest(self.path)


def find_source(path: Path) -> Source:
    """Return the source at a path. Raises ImageError when it is missing, empty or cannot be read.

    A file that is not a video counts as a picture; whether it is one is checked when it is read.
    """
    path = expanded(path).absolute()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ImageError(
            f"this is neither a file nor a folder: {path}", hint="save the picture or video to a file and pass that"
        )
    if path.is_dir():
        if (path / MANIFEST).exists():
            raise ImageError(
                f"this is a run folder, not a picture, video or folder of photos: {path}",
                hint="look at it with `img2world view`, or continue it with `img2world splat` or `img2world export`",
            )
        if find_viewpoints(path) is not None:
            return Source(kind="videos", path=path)
        if find_layout(path) is not None:
            return Source(kind="dataset", path=path)
        # A folder of photos may have a subfolder of this name among others.
        if (path / PHOTOS_FOLDER).is_dir() and not any(
            item.is_file() and looks_like_picture(item) for item in path.iterdir()
        ):
            path = path / PHOTOS_FOLDER
        if not list_photos(path).pictures:
            videos = [item for item in path.iterdir() if item.suffix.lower() in VIDEO_SUFFIXES]
            if len(videos) == 1:
                raise ImageError(
                    f"the folder holds a single video: {path}",
                    hint=f"give the video itself: img2world run {shlex.quote(str(videos[0]))}",
                )
            raise ImageError(
                f"the folder holds no pictures: {path}",
                hint="give a folder of photos, of videos taken at the same time, or a posed dataset",
            )
        return Source(kind="photos", path=path)
    if path.suffix.lower() == ".json":
        return Source(kind="dataset", path=path)
    try:
        return Source(kind="video" if container_of(path) else "picture", path=path)
    except VideoError as error:
        raise ImageError(str(error), hint=error.hint) from error


def source_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all that is read of a folder.

    Nothing else in the folder counts: run folders may lie in it, and file managers keep files of their own there.
    """
    if (listing := find_viewpoints(path)) is not None:
        return digest_of({relative_name(file, listing.root): file_digest(file) for file in listing.files})
    if find_layout(path) is not None:
        dataset = read_dataset(path)
        return digest_of({relative_name(file, dataset.root): file_digest(file) for file in dataset.files})
    if not path.is_dir():
        return path_digest(path)
    return digest_of({relative_name(file, path): file_digest(file) for file in list_photos(path).files})


def source_of_run(run: Path) -> Source:
    """Return the source that a run folder was made from. Raises RunFolderError when it is not a run folder."""
    try:
        entry = read_manifest(run)["source"]
        return Source(kind=entry["kind"], path=Path(entry["path"]), known_digest=entry["sha256"])
    except KeyError as error:
        raise RunFolderError(f"the run has not started yet: {run}", hint="run `img2world run` again") from error
