"""Folders of what several fixed cameras saw at the same times: a video, or a folder of frames, for each."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2world.captures.dataset import find_layout, is_file
from img2world.captures.listing import (
    RUN_MANIFEST,
    SYSTEM_FILES,
    VIDEO_SUFFIXES,
    list_photos,
    looks_like_picture,
    reason_to_skip,
    relative_name,
)
from img2world.captures.metadata import read_metadata
from img2world.captures.viewpoint_cameras import POSES_BOUNDS, match_names, read_layout
from img2world.core.errors import Img2WorldError
from img2world.core.image_file import open_header
from img2world.core.inventory import LeftOut
from img2world.core.natural_order import natural_key

PLACES = (".", "videos", "images", "frames")
"""Folders of a set in which the videos, or the folders of the cameras, may lie."""

MIN_TIMES = 4
"""Pictures of a camera from which a folder counts as what it saw over time."""

COMPARED_SIDE = 32
STILL_LEVELS = 20.0
"""Size in pixels and grey levels at which two pictures of one fixed camera differ by less, in most places: a camera
that moves changes most of the picture."""


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Video or folder of frames of one fixed camera."""

    name: str
    """Name of the video without its suffix, or of the folder."""
    video: Path | None
    pictures: tuple[Path, ...] = ()
    """Frames in their order, if there is no video."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All its files."""
        return self.pictures if self.video is None else (self.video,)


@dataclass(frozen=True, kw_only=True)
class ViewpointListing:
    """The fixed cameras of a folder, in the natural order of their names."""

    root: Path
    viewpoints: tuple[Viewpoint, ...]
    camera_files: tuple[Path, ...] = ()
    """Files that tell where the cameras stand."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the viewpoints."""
        return [viewpoint.name for viewpoint in self.viewpoints]

    @property
    def files(self) -> list[Path]:
        """All files whose content matters."""
        return sorted({*self.camera_files, *(file for each in self.viewpoints for file in each.files)})


def find_viewpoints(root: Path) -> ViewpointListing | None:
    """Return what several fixed cameras saw, if a folder holds that: two or more videos, or folders of like frames.

    Folders count if each holds four or more pictures of the same names and of one size, none of them written by a
    camera as a photo, and if the camera of the first stands still; or if the set's camera file names them. A folder
    with a camera file for single pictures is a posed dataset instead. None where there is nothing of this kind.
    """
    if not root.is_dir() or (root / RUN_MANIFEST).exists():
        return None
    for place in PLACES:
        folder = root / place
        if place != "." and not folder.is_dir():
            continue
        viewpoints, left_out = _videos(folder, root), []
        if not viewpoints:
            viewpoints = _folders(folder)
        if not viewpoints:
            continue
        names = [viewpoint.name for viewpoint in viewpoints]
        camera_files = _camera_files(root, names)
        if viewpoints[0].video is None:
            # Many folders hold pictures of the same names; a posed dataset is one of them.
            if camera_files is None or not (camera_files or _stands_still(viewpoints[0])):
                return None
        else:
            left_out = _left_out(folder, root, viewpoints)
        return ViewpointListing(
            root=root,
            viewpoints=tuple(viewpoints),
            camera_files=camera_files or (),
            left_out=tuple(left_out),
        )
    return None


def _videos(folder: Path, root: Path) -> list[Viewpoint]:
    """Return a viewpoint for each video in a folder; none if there are fewer than two, or more pictures than videos."""
    files = [path for path in _visible(folder) if is_file(path)]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [path for path in files if path not in videos and looks_like_picture(path)]
    if len(videos) < 2 or len(pictures) > len(videos):
        return []
    stems = [path.stem for path in videos]
    return [
        Viewpoint(name=path.stem if stems.count(path.stem) == 1 else path.name, video=path)
        for path in sorted(videos, key=lambda path: natural_key(path.name))
    ]


def _folders(root: Path) -> list[Viewpoint]:
    """Return a viewpoint for each subfolder, if all hold like frames; else none."""
    if any(is_file(path) and looks_like_picture(path) for path in _visible(root)):
        return []
    folders = [path for path in _visible(root) if path.is_dir() and reason_to_skip(path) is None]
    found: list[Viewpoint] = []
    for folder in sorted(folders, key=lambda path: natural_key(path.name)):
        listing = list_photos(folder)
        if any(path.parent != folder for path in listing.pictures) or listing.masks:
            return []
        if listing.pictures:
            found.append(Viewpoint(name=folder.name, video=None, pictures=listing.pictures))
    if len(found) < 2 or len(found[0].pictures) < MIN_TIMES:
        return []
    names = {tuple(re.sub(r"\D", "", path.stem) for path in each.pictures) for each in found}
    if len(names) > 1 or not all(next(iter(names))):
        return []
    for each in found:
        first, last = read_metadata(each.pictures[0]), read_metadata(each.pictures[-1])
        if first.is_photo or last.is_photo or first.size != last.size:
            return []
    return found


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder but for hidden files and those of file managers."""
    try:
        return [p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in SYSTEM_FILES]
    except OSError:
        return []


def _camera_files(root: Path, names: list[str]) -> tuple[Path, ...] | None:
    """Return the files that tell where the cameras of these names stand, none where nothing tells.

    None where they are those of single pictures.
    """
    if (root / POSES_BOUNDS).is_file():
        return (root / POSES_BOUNDS,)
    if find_layout(root) is None:
        return ()
    try:
        layout = read_layout(root, (64, 64))
    except Img2WorldError:
        # The reader of posed datasets tells what is wrong.
        return None
    return layout.camera_files if len(match_names(layout.pictures, names)) >= 2 else None


def _left_out(folder: Path, root: Path, viewpoints: list[Viewpoint]) -> list[LeftOut]:
    """Return the pictures beside videos."""
    used = {viewpoint.video for viewpoint in viewpoints}
    return [
        LeftOut(name=relative_name(path, root), kind="picture beside the videos", reason="the videos are used")
        for path in sorted(_visible(folder))
        if path not in used and is_file(path) and looks_like_picture(path)
    ]


def _stands_still(viewpoint: Viewpoint) -> bool:
    """Tell whether most of what a camera shows is at the same place in its first, middle and last frame."""
    pictures = viewpoint.pictures
    small = []
    for path in (pictures[0], pictures[len(pictures) // 2], pictures[-1]):
        try:
            with open_header(path) as picture:
                shape = (COMPARED_SIDE, COMPARED_SIDE)
                small.append(np.asarray(picture.convert("RGB").convert("L").resize(shape), np.float32))
        except (OSError, ValueError, SyntaxError):
            # Reading the frames will tell what is wrong.
            return True
    return all(float(np.median(np.abs(other - small[0]))) < STILL_LEVELS for other in small[1:])
