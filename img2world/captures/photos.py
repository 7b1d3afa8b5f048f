"""A folder of pictures as the frames of a video, or as photos of one place or thing."""

import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from img2world.captures.listing import SUFFIXES, Listing, list_photos
from img2world.captures.metadata import Metadata, read_metadata
from img2world.captures.panorama import cut_rig, load_panorama
from img2world.captures.shots import SAME_SHAPE, Shot, frames_from_shots
from img2world.core.errors import ImageError, Img2WorldError, VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.image_file import load_image
from img2world.core.inventory import Inventory, LeftOut
from img2world.core.progress import Progress

MIN_SEQUENCE = 20
"""Fewer numbered pictures may as well be photos, which cameras number too."""

MIN_SIZE = 0.5
"""Longest side, as a fraction of the median of all photos, of the smallest that is used: others are thumbnails."""

MAX_BROKEN = 0.5
"""Fraction of the pictures that may be unreadable; beyond it, something else is wrong."""


def frames_from_folder(
    folder: Path, *, num_frames: int, sizes: tuple[int, int], max_photos: int, progress: Progress
) -> Frames:
    """Read the pictures of a folder and of its subfolders in the natural order of their names.

    They are the frames of a video (`ordered`) when there are at least 20 of one size whose names differ only by a
    number that rises in equal steps, and no camera wrote them as photos; then at most `num_frames` are used, in even
    steps. Otherwise they are unordered photos, and all are used, in the order of their capture where all tell it.
    `sizes` are the longest sides of frames and of photos in pixels. Photos of several sizes lie on one canvas
    (`frames_from_shots`). Transparent pictures are composited on white; `alpha` is kept when every picture has it. What
    is black in a picture's mask (`list_photos`) is ignored.

    Unreadable pictures, repeated ones and thumbnails are left out, as the inventory tells. Raises VideoError when fewer
    than 2 pictures or less than half of them remain, or there are too many.
    """
    listing = list_photos(folder)
    paths, left_out = list(listing.pictures), [*listing.left_out]
    if len(paths) < 2:
        raise _too_few(len(paths), left_out, folder)
    metadata = {path: read_metadata(path) for path in paths}
    ordered = is_sequence(paths, metadata)
    if ordered:
        chosen = {paths[int(i)] for i in np.unique(np.linspace(0, len(paths) - 1, num_frames).round())}
        reason = f"{len(chosen)} frames were asked for, see video.num_frames"
        for path in paths:
            if path not in chosen:
                left_out.append(LeftOut(name=listing.name(path), kind="spare frame", reason=reason))
        paths = [path for path in paths if path in chosen]
    elif len(paths) > max_photos:
        raise VideoError(
            f"the folder holds {len(paths)} photos, needs at most {max_photos}: {folder}",
            hint="take some out, or raise video.max_photos",
        )
    elif all(metadata[path].time is not None for path in paths):
        paths.sort(key=lambda path: metadata[path].time or 0.0)
    shots = _load_shots(paths, listing, metadata, sizes[0] if ordered else sizes[1], left_out, progress)
    if not ordered:
        shots = _without_thumbnails(_without_repeated(shots, listing, left_out), left_out)
    if len(shots) < 2:
        raise _too_few(len(shots), left_out, folder)
    inventory = Inventory(used=tuple(shot.name for shot in shots), left_out=tuple(left_out))
    return frames_from_shots(shots, ordered=ordered, inventory=inventory)


def _too_few(count: int, left_out: list[LeftOut], folder: Path) -> VideoError:
    """Return the error for a folder with fewer than two pictures, with the reasons for what was left out."""
    pictures = [item for item in left_out if item.is_picture]
    why = f" ({pictures[0].name}: {pictures[0].reason})" if pictures else ""
    return VideoError(
        f"the folder holds {count} usable picture(s), needs at least 2{why}: {folder}",
        hint=f"give a folder of frames or photos ({' '.join(SUFFIXES)})",
    )


def is_sequence(paths: list[Path], metadata: dict[Path, Metadata]) -> bool:
    """Return True when the files are named and sized like the frames of one video."""
    names = [re.fullmatch(r"(.*?)([0-9]+)(\D*)", path.name) for path in paths]
    if len(paths) < MIN_SEQUENCE or not all(names) or len({path.parent for path in paths}) > 1:
        return False
    if len({(name[1], name[3]) for name in names if name}) > 1 or any(metadata[path].is_photo for path in paths):
        return False
    steps = {int(b[2]) - int(a[2]) for a, b in pairwise(names) if a and b}
    return len(steps) == 1 and len({metadata[path].size for path in paths}) == 1


def _without_repeated(shots: list[Shot], listing: Listing, left_out: list[LeftOut]) -> list[Shot]:
    """Return the shots without those whose file is equal to an earlier one; these are added to those left out."""
    paths = [listing.root / name for name in dict.fromkeys(shot.name for shot in shots)]
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    first: dict[bytes, Path] = {}
    repeated = set()
    for path in (path for same in by_size.values() if len(same) > 1 for path in same):
        with path.open("rb") as file:
            original = first.setdefault(hashlib.file_digest(file, "sha256").digest(), path)
        if original != path:
            name = listing.name(path)
            repeated.add(name)
            left_out.append(LeftOut(name=name, kind="repeated file", reason=f"equal to {listing.name(original)}"))
    return [shot for shot in shots if shot.name not in repeated]


def _load_shots(
    paths: list[Path],
    listing: Listing,
    metadata: dict[Path, Metadata],
    size: int,
    left_out: list[LeftOut],
    progress: Progress,
) -> list[Shot]:
    """Load the pictures with their masks; add unreadable ones to those left out.

    Raises VideoError when most are unreadable.
    """
    shots, broken = [], []
    for i, path in enumerate(paths):
        name = listing.name(path)
        try:
            shots += _shots_of(path, name, metadata[path], size)
        except Img2WorldError as error:
            reason = str(error).replace(f": {path}", "")
            broken.append(LeftOut(name=name, kind=_kind_of_unreadable(path), reason=reason))
        else:
            if path in listing.masks and metadata[path].panorama is not None:
                reason = "masks of panoramas are not used"
                left_out.append(LeftOut(name=listing.name(listing.masks[path]), kind="panorama mask", reason=reason))
            elif path in listing.masks:
                shots[-1] = replace(shots[-1], mask=load_mask(listing.masks[path], shots[-1].image))
        progress(i + 1, len(paths))
    if len(broken) > MAX_BROKEN * len(paths):
        raise VideoError(
            f"{len(broken)} of {len(paths)} pictures cannot be read, first {broken[0].name}: {broken[0].reason}",
            hint="save them as JPEG, or take them out of the folder",
        )
    left_out += broken
    return shots


def _shots_of(path: Path, name: str, metadata: Metadata, size: int) -> list[Shot]:
    """Return a picture as a shot, and a panorama as the shots of a rig."""
    if metadata.panorama is None:
        return [Shot(name=name, image=load_image(path, max_side=size), metadata=metadata)]
    views = cut_rig(load_panorama(path), metadata.panorama, size)
    return [Shot(name=name, image=view, metadata=metadata, lens="panorama") for view in views]


def _kind_of_unreadable(path: Path) -> str:
    """Return what to call a picture that cannot be read."""
    return f"{path.suffix[1:].upper()} file that cannot be read" if path.suffix else "picture that cannot be read"


def _without_thumbnails(shots: list[Shot], left_out: list[LeftOut]) -> list[Shot]:
    """Return the shots without those much smaller than the others, which are added to those left out."""
    if not shots:
        return []
    usual = median(max(shot.image.width, shot.image.height) for shot in shots)
    kept = []
    for shot in shots:
        if max(shot.image.width, shot.image.height) >= MIN_SIZE * usual:
            kept.append(shot)
            continue
        reason = f"{shot.image.width}x{shot.image.height} pixels, the longest side of the others is {usual:g}"
        left_out.append(LeftOut(name=shot.name, kind="thumbnail", reason=reason))
    return kept


def load_mask(path: Path, picture: Image) -> UInt8[np.ndarray, "H W"]:
    """Load the mask of a picture, white where it counts.

    Raises VideoError when its shape is not that of the picture, ImageError when it cannot be read.
    """
    try:
        image = load_image(path)
    except ImageError as error:
        raise ImageError(f"the mask cannot be used: {error}", hint="repair or remove it") from error
    if abs(image.width * picture.height / (image.height * picture.width) - 1) > SAME_SHAPE:
        raise VideoError(
            f"the mask is {image.width}x{image.height}, its picture {picture.width}x{picture.height}: {path}",
            hint="make the mask as large as its picture, and upright",
        )
    return np.asarray(PillowImage.fromarray(image.rgb).convert("L"))
