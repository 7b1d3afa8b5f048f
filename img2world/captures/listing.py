"""The files of a folder: which are photos, which are their masks, and which are neither, and why."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from img2world.core.errors import VideoError
from img2world.core.inventory import MASK, LeftOut
from img2world.core.natural_order import natural_key

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm", ".gif",
    ".heic", ".heif", ".hif", ".jxl", ".exr", ".hdr",
)  # fmt: skip
"""Suffixes of pictures; a picture with another suffix is recognised by its content."""

RAW_SUFFIXES = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf",
    ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""Suffixes of raw photos. Their content looks like a TIFF that holds a thumbnail."""

SECOND_CHOICES = (*RAW_SUFFIXES, ".heic", ".heif")
"""Suffixes of files beside which cameras and phones write the same photo as JPEG."""

FIRST_CHOICES = (".jpg", ".jpeg", ".jpe", ".jfif")

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".ts", ".ogv", ".mts", ".3gp")

SIGNATURES = (
    (0, b"\xff\xd8\xff"), (0, b"\x89PNG\r\n"), (0, b"GIF8"), (8, b"WEBP"), (0, b"II*\0"), (0, b"MM\0*"),
    (4, b"ftypavif"), (4, b"ftypavis"), (4, b"ftyphei"), (4, b"ftyphev"), (4, b"ftypmif1"), (4, b"ftypmsf1"),
    (4, b"jP  \r\n"), (0, b"\xff\x0a"), (4, b"JXL \r\n"), (0, b"v/1\x01"), (0, b"#?RADIANCE"), (0, b"#?RGBE"),
)  # fmt: skip
"""Offset and bytes by which pictures are recognised whatever their name."""

RUN_MANIFEST = "run.json"
"""File that every run folder has; its pictures are no photos."""

MASK_FOLDERS = ("masks", "mask")
COPIES = re.compile(r"images_\d+|\.?thumb(nail)?s?|previews?", re.IGNORECASE)
"""Folders of smaller copies, as nerfstudio and file managers make them."""

DERIVED = re.compile(r"sparse|dense|distorted|stereo|colmap|depths?(_maps?)?|normals?|models?|exports?", re.IGNORECASE)
"""Folders of what other programs computed from the photos."""

SYSTEM_FILES = ("thumbs.db", "desktop.ini")
"""Files that file managers write; hidden files are ignored, too."""

MAX_FILES = 50_000
"""Files in the largest folder that is searched: a home folder has more."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The pictures of a folder, their masks, and what is neither."""

    root: Path
    pictures: tuple[Path, ...]
    """In the natural order of their paths (2 before 10)."""
    masks: dict[Path, Path] = field(default_factory=dict)
    """Mask of each picture that has one."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files whose content matters."""
        return sorted({*self.pictures, *self.masks.values()})

    def name(self, path: Path) -> str:
        """Return a path relative to the folder."""
        return relative_name(path, self.root)


def relative_name(path: Path, root: Path) -> str:
    """Return a path relative to a folder or to the one that contains it, with slashes."""
    return Path(os.path.relpath(path, root)).as_posix()


def list_photos(root: Path) -> Listing:
    """Return the photos of a folder and of its subfolders, with their masks, and what is left out by its name.

    Hidden files, run folders and files of file managers are ignored. A mask lies beside its picture (IMG_1.jpg.png as
    in COLMAP, IMG_1_mask.png, IMG_1.mask.png) or in a folder `masks` in or, for a folder `images`, beside the root.
    Raises VideoError when the folder cannot be read, is too large, or holds masks of no picture.
    """
    files, left_out = _walk(root)
    kinds = {path: _classify(path) for path in files}
    pictures = [path for path in files if kinds[path] == "picture"]
    masks = _masks_beside(pictures)
    pictures = [path for path in pictures if path not in set(masks.values())]
    for path in masks.values():
        left_out.append(LeftOut(name=relative_name(path, root), kind=MASK, reason="what it shows black is ignored"))
    twins = {_twin_key(path): path for path in pictures if path.suffix.lower() in FIRST_CHOICES}
    kept = []
    for path in files:
        name, twin = relative_name(path, root), twins.get(_twin_key(path))
        is_second = path.suffix.lower() in SECOND_CHOICES and kinds[path] in ("picture", "raw photo")
        if twin is not None and is_second:
            kind = "raw photo" if kinds[path] == "raw photo" else f"{path.suffix[1:].upper()} file"
            reason = f"{twin.name} is the same photo"
            left_out.append(LeftOut(name=name, kind=f"{kind} with its JPEG beside it", reason=reason))
        elif kinds[path] == "raw photo":
            reason = "raw photos are not read; develop it as JPEG or TIFF"
            left_out.append(LeftOut(name=name, kind="raw photo that cannot be read", reason=reason))
        elif kinds[path] == "video":
            reason = "of a folder with photos only these are read; give the video by itself"
            left_out.append(LeftOut(name=name, kind="video", reason=reason))
        elif kinds[path] == "file":
            left_out.append(LeftOut(name=name, kind="other file", reason="not a picture", is_picture=False))
        elif path in pictures:
            kept.append(path)
    masks |= _masks_in_folders(root, kept, pictures)
    return Listing(root=root, pictures=tuple(kept), masks=masks, left_out=tuple(left_out))


def _walk(root: Path) -> tuple[list[Path], list[LeftOut]]:
    """Return the files in a folder and its subfolders in natural order, and what is left out."""

    def fail(error: OSError) -> None:
        raise VideoError(
            f"the folder cannot be read ({error.strerror}): {error.filename}", hint="check its permissions"
        ) from error

    found, left_out = [], []
    for folder, subfolders, names in os.walk(root, onerror=fail):
        for subfolder in [*subfolders]:
            reason = reason_to_skip(Path(folder) / subfolder)
            if reason is None:
                continue
            subfolders.remove(subfolder)
            if reason:
                name = relative_name(Path(folder) / subfolder, root)
                left_out.append(LeftOut(name=f"{name}/", kind="other folder", reason=reason, is_picture=False))
        usable = (name for name in names if not name.startswith(".") and name.lower() not in SYSTEM_FILES)
        found += [Path(folder) / name for name in usable]
        if len(found) > MAX_FILES:
            raise VideoError(
                f"the folder holds more than {MAX_FILES} files: {root}", hint="give the folder of the photos themselves"
            )
    files = [path for path in found if path.is_file()]
    for path in sorted(set(found) - set(files)):
        if path.suffix.lower() in SUFFIXES:
            reason = "it is a link to nothing" if path.is_symlink() else "it is a device or a pipe"
            kind = f"{path.suffix[1:].upper()} file that cannot be read"
            left_out.append(LeftOut(name=relative_name(path, root), kind=kind, reason=reason))
    return sorted(files, key=lambda path: natural_key(relative_name(path, root))), left_out


def reason_to_skip(folder: Path) -> str | None:
    """Return why a subfolder is not searched for photos; empty when nobody needs to know, None to search it."""
    if folder.name.startswith(".") or folder.name.lower() in MASK_FOLDERS or (folder / RUN_MANIFEST).exists():
        return ""
    if folder.is_symlink():
        return "links to folders are not followed"
    if COPIES.fullmatch(folder.name):
        return "by its name it holds smaller copies"
    if DERIVED.fullmatch(folder.name):
        return "by its name it holds what another program computed"
    return None


def _classify(path: Path) -> str:
    """Return what a file is by its name and its first bytes: picture, raw photo, video or file."""
    suffix = path.suffix.lower()
    if suffix in RAW_SUFFIXES:
        return "raw photo"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "picture" if suffix in SUFFIXES or looks_like_picture(path) else "file"


def looks_like_picture(path: Path) -> bool:
    """Tell whether a file begins like a picture. A file that cannot be read counts as one, to be reported as such."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return path.suffix.lower() in SUFFIXES
    return any(start[offset : offset + len(magic)] == magic for offset, magic in SIGNATURES)


def _twin_key(path: Path) -> tuple[Path, str]:
    """Return what the files of one photo have in common."""
    return path.parent, path.stem.lower()


def _masks_beside(pictures: list[Path]) -> dict[Path, Path]:
    """Return the masks that lie beside their pictures."""
    known = set(pictures)
    # A mask has no mask, so that IMG_1.jpg.png.png belongs to nothing.
    found: dict[Path, Path] = {}
    for path in pictures:
        candidates = [path.with_name(name) for name in _names_beside(path)]
        mask = next((mask for mask in candidates if mask in known and path not in found.values()), None)
        if mask is not None:
            found[path] = mask
    return found


def _names_beside(picture: Path) -> list[str]:
    """Return the names that a mask beside its picture may have: COLMAP's, Metashape's and RealityCapture's."""
    suffixes = (".png", ".jpg", ".tif")
    stems = (f"{picture.stem}_mask", f"{picture.stem}.mask", f"{picture.name}.mask")
    return [f"{picture.name}.png", *(f"{stem}{suffix}" for stem in stems for suffix in suffixes)]


def _masks_in_folders(root: Path, kept: list[Path], pictures: list[Path]) -> dict[Path, Path]:
    """Return the masks that lie in folders of their own. Raises VideoError when one belongs to no picture."""
    roots = [root, *([root.parent] if root.name == "images" else [])]
    folders = [folder for place in roots for folder in sorted(place.glob("[Mm][Aa][Ss][Kk]*"))]
    folders = [folder for folder in folders if folder.name.lower() in MASK_FOLDERS and folder.is_dir()]
    found: dict[Path, Path] = {}
    for folder in folders:
        names = {relative_name(path, folder) for path in _walk(folder)[0] if _classify(path) == "picture"}
        # Windows and macOS do not distinguish capitals.
        owners = {name.lower(): path for path in pictures for name in _names_in_folder(relative_name(path, root))}
        unknown = sorted(name for name in names if name.lower() not in owners)
        if unknown:
            raise VideoError(
                f"{len(unknown)} of the masks in {folder} ({unknown[0]}, …) belong to no picture",
                hint="name each as its picture with .png after it: IMG_1.jpg.png",
            )
        found |= {owners[name.lower()]: folder / name for name in sorted(names) if owners[name.lower()] in kept}
    return found


def _names_in_folder(picture: str) -> tuple[str, str, str]:
    """Return the names that a picture's mask may have in a folder of masks."""
    return f"{picture}.png", f"{os.path.splitext(picture)[0]}.png", picture
