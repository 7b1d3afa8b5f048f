"""Read a folder of pictures as the frames of a video, or as photos of one place or thing."""

import re
from itertools import pairwise
from pathlib import Path
from statistics import median_low

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.image_file import load_image
from img2world.core.progress import Progress

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm")

MIN_SEQUENCE = 20
"""Fewer numbered pictures may as well be photos, which cameras number too."""

FRAME_SECONDS = 1 / 24
"""Time between frames that were stored as pictures: the rate of film, since pictures hold no times."""

SHAPE_TOLERANCE = 0.01
"""Relative difference of two aspect ratios that count as equal."""

MIN_WHITE = 250
"""Grey value from which a pixel of a mask counts as white; the pixels of a resized edge lie below."""


def frames_from_folder(
    folder: Path, *, num_frames: int, sizes: tuple[int, int], max_photos: int, progress: Progress
) -> Frames:
    """Read the pictures of a folder in the natural order of their names, all at one size.

    They are the frames of a video (`ordered`) when there are at least 20 of one size whose names differ only by a
    number that rises in equal steps; then at most `num_frames` are used, in even steps. Otherwise they are unordered
    photos, and all are used. `sizes` are the longest sides of frames and of photos in pixels. Transparent pictures are
    composited on white; `alpha` is kept when every picture has it. A subfolder `masks` may hold a mask for a picture,
    with its name or with .png after it as in COLMAP; what is black there is ignored.

    Raises VideoError when there are fewer than 2 or too many pictures, or they differ in shape.
    """
    paths = picture_paths(folder)
    if len(paths) < 2:
        raise VideoError(
            f"the folder holds {len(paths)} picture(s), needs at least 2: {folder}",
            hint=f"give a folder of frames or photos ({' '.join(SUFFIXES)})",
        )
    ordered = is_sequence(paths)
    if ordered:
        paths = [paths[int(i)] for i in np.unique(np.linspace(0, len(paths) - 1, num_frames).round())]
    elif len(paths) > max_photos:
        raise VideoError(
            f"the folder holds {len(paths)} photos, needs at most {max_photos}: {folder}",
            hint="take some out, or raise video.max_photos",
        )
    images = []
    for i, path in enumerate(paths):
        images.append(load_image(path, max_side=sizes[0] if ordered else sizes[1]))
        progress(i + 1, len(paths))
    rgb, alpha = _stack(images, paths)
    mask = load_photo_masks(paths, rgb.shape[2], rgb.shape[1])
    return Frames(rgb=rgb, alpha=alpha, mask=mask, times=np.arange(len(rgb)) * FRAME_SECONDS, ordered=ordered)


def load_photo_masks(paths: list[Path], width: int, height: int) -> UInt8[np.ndarray, "V H W"] | None:
    """Load the masks of pictures, 0 where a picture is ignored and 255 elsewhere; None without a folder `masks`.

    Raises VideoError when a mask belongs to no picture or has another shape than its picture, ImageError when it
    cannot be read.
    """
    folder = paths[0].parent / "masks"
    if not folder.is_dir():
        return None
    known = {name for path in picture_paths(paths[0].parent) for name in _mask_names(path)}
    unknown = [path.name for path in picture_paths(folder) if path.name not in known]
    if unknown:
        raise VideoError(
            f"{len(unknown)} of the masks in {folder} ({unknown[0]}, …) belong to no picture",
            hint="name each as its picture with .png after it: IMG_1.jpg.png",
        )
    white = np.full((height, width), 255, np.uint8)
    found = [next((folder / name for name in _mask_names(path) if (folder / name).exists()), None) for path in paths]
    return np.stack([white if path is None else _load_mask(path, width, height) for path in found])


def _mask_names(picture: Path) -> tuple[str, str]:
    """Return the names that a picture's mask may have."""
    return f"{picture.name}.png", f"{picture.stem}.png"


def _load_mask(path: Path, width: int, height: int) -> UInt8[np.ndarray, "H W"]:
    """Load one mask at the given size."""
    image = load_image(path)
    if abs(image.width * height / (image.height * width) - 1) > SHAPE_TOLERANCE:
        raise VideoError(
            f"the mask is {image.width}x{image.height}, its picture {width}x{height}: {path}",
            hint="make the mask as large as its picture, and upright",
        )
    small = PillowImage.fromarray(image.rgb).convert("L").resize((width, height), PillowImage.Resampling.BOX)
    # A pixel that a mask covers in part shows a mixture, so that it is ignored as well.
    return np.where(np.asarray(small) > MIN_WHITE, 255, 0).astype(np.uint8)


def picture_paths(folder: Path) -> list[Path]:
    """Return the picture files of a folder, but hidden ones, in the natural order of their names (2 before 10)."""
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    except OSError as error:
        raise VideoError(
            f"the folder cannot be read ({error.strerror}): {folder}", hint="check its permissions"
        ) from error
    return sorted((path for path in paths if not path.name.startswith(".")), key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts digits by value and the rest by letter, then by exact name."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts] + [(2, 0, path.name)]


def is_sequence(paths: list[Path]) -> bool:
    """Return True when the files are named and sized like the frames of one video."""
    names = [re.fullmatch(r"(.*?)([0-9]+)(\D*)", path.name) for path in paths]
    if len(paths) < MIN_SEQUENCE or not all(names):
        return False
    if len({(name[1], name[3]) for name in names if name}) > 1:
        return False
    steps = {int(b[2]) - int(a[2]) for a, b in pairwise(names) if a and b}
    return len(steps) == 1 and len({_stored_size(path) for path in paths}) == 1


def _stored_size(path: Path) -> tuple[int, int] | None:
    """Return width and height from a picture's header; None for a broken one, which raises when it is loaded."""
    try:
        with PillowImage.open(path) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return None


def _stack(
    images: list[Image], paths: list[Path]
) -> tuple[UInt8[np.ndarray, "V H W 3"], UInt8[np.ndarray, "V H W"] | None]:
    """Return the pictures at the size of the smallest, on white, and their alpha if all have it."""
    shapes = [image.width / image.height for image in images]
    median = median_low(shapes)
    odd = [path.name for path, shape in zip(paths, shapes, strict=True) if abs(shape / median - 1) > SHAPE_TOLERANCE]
    if odd:
        names = ", ".join(odd[:3]) + (", …" if len(odd) > 3 else "")
        raise VideoError(
            f"{len(odd)} of {len(paths)} pictures ({names}) {'has' if len(odd) == 1 else 'have'} another aspect ratio "
            f"than the {median:.2f} of the others, all need the same: {paths[0].parent}",
            hint="take these out, or crop all to one aspect ratio; portrait and landscape cannot be mixed",
        )
    smallest = min(images, key=lambda image: image.width * image.height)
    size = (smallest.width, smallest.height)
    layers = [_on_white(image, size) for image in images]
    alphas = [alpha for _, alpha in layers if alpha is not None]
    return np.stack([rgb for rgb, _ in layers]), np.stack(alphas) if len(alphas) == len(images) else None


def _on_white(image: Image, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a picture on white at the given size, and its alpha."""
    picture = PillowImage.fromarray(image.rgb)
    if image.alpha is not None:
        picture.putalpha(PillowImage.fromarray(image.alpha))
    if picture.size != size:
        picture = picture.resize(size, PillowImage.Resampling.LANCZOS)
    if image.alpha is None:
        return np.asarray(picture), None
    white = PillowImage.new("RGBA", size, (255, 255, 255, 255))
    return np.asarray(PillowImage.alpha_composite(white, picture).convert("RGB")), np.asarray(picture.getchannel("A"))
