"""Posed datasets: pictures with cameras, in the layouts in which tools leave them on the disk."""

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float64, UInt8

from img2world.captures.listing import RUN_MANIFEST, SUFFIXES, list_photos, relative_name
from img2world.captures.metadata import read_metadata
from img2world.core.conventions import Z_UP_FROM_WORLD
from img2world.core.errors import CameraError, FormatError, VideoError
from img2world.core.image_file import stored_size
from img2world.core.inventory import LeftOut
from img2world.core.natural_order import natural_key
from img2world.core.ply import read_ply
from img2world.core.transforms import PosedPicture, picture_name, posed_pictures, read_json

MAX_POINTS = 100_000

PICTURES = ("images", "input")
"""Folders in which COLMAP, nerfstudio and 3DGS keep the pictures of a dataset …"""

MAX_DEPTH = 4
"""… and how deep below it a model may lie, as in distorted/sparse/0."""

HINT = "give the folder of the pictures alone, so that their cameras are found"


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of a scene in our conventions."""

    xyz: Float64[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Pictures that exist, with their cameras, in our conventions but for the origin and the unit of the world."""

    root: Path
    tool: str
    """Name of the layout, for people."""
    camera_files: tuple[Path, ...]
    """Files that hold the cameras and points."""
    pictures: tuple[PosedPicture, ...]
    paths: tuple[Path, ...]
    """File of each picture."""
    masks: tuple[Path | None, ...]
    points: Points | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_times(self) -> bool:
        """Tell whether all pictures have times, which differ: something moves between them."""
        times = {picture.time for picture in self.pictures}
        return len(times) > 1 and None not in times

    @property
    def files(self) -> list[Path]:
        """All files whose content matters."""
        return sorted({*self.camera_files, *self.paths, *(path for path in self.masks if path)})


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Cameras of a dataset as a reader of its layout found them; their pictures need not exist."""

    root: Path
    tool: str
    camera_files: tuple[Path, ...]
    pictures: list[PosedPicture]
    folders: tuple[Path, ...]
    """Folders in which the pictures may lie, the likeliest first."""
    points: Points | None = None
    missing: tuple[str, ...] = ()
    """Names of pictures that do not exist and whose size is therefore not known."""
    unsized: tuple[Path, ...] = ()
    """Pictures whose size is not known, because they cannot be read."""
    notes: list[str] = field(default_factory=list)


Reader = Callable[[Path], Layout]


def find_layout(path: Path) -> tuple[Path, Reader] | None:
    """Return the camera file or folder of a posed dataset at a path, and its reader; None where there is none."""
    from img2world.captures import apps, colmap_model

    if path.is_file():
        return (path, read_transforms) if path.suffix.lower() == ".json" else None
    if (path / RUN_MANIFEST).exists():
        return None
    for name in ("transforms.json", "transforms_train.json"):
        if (path / name).is_file():
            return path / name, read_transforms
    return apps.find_app_export(path) or colmap_model.find_colmap_model(path)


def dataset_root(path: Path) -> Path:
    """Return the folder that a dataset is named after, also where its camera file or its COLMAP model is given."""
    if path.is_file():
        return path.parent
    if (path / "cameras.bin").is_file() or (path / "cameras.txt").is_file():
        above = [path, *list(path.parents)[:MAX_DEPTH]]
        return next((folder for folder in above if any((folder / name).is_dir() for name in PICTURES)), path)
    return path


def read_dataset(path: Path) -> Dataset:
    """Read the cameras of a dataset and find its pictures, which are not opened.

    Raises CameraError when there is no dataset, its cameras cannot be used, or fewer than 2 of its pictures exist.
    """
    layout_found = find_layout(path)
    if layout_found is None:
        raise CameraError(f"there is no camera file: {path}", hint="needs transforms.json or a COLMAP model")
    place, reader = layout_found
    layout = reader(place)
    files = [find_picture(layout.folders, picture.name) for picture in layout.pictures]
    found = [(picture, file) for picture, file in zip(layout.pictures, files, strict=True) if file is not None]
    # Of paths from several machines, the files' own are comparable.
    found.sort(key=lambda pair: natural_key(relative_name(pair[1], layout.root)))
    found, left_out = _without_repeated(found)
    pictures, paths = [picture for picture, _ in found], [file for _, file in found]
    masks = [find_picture((layout.root,), picture.mask) if picture.mask else None for picture in pictures]
    no_masks = sum(picture.mask != "" and mask is None for picture, mask in zip(pictures, masks, strict=True))
    outside = sum(leads_out(picture.name) for picture in pictures)
    missing = [*layout.missing, *(p.name for p, file in zip(layout.pictures, files, strict=True) if file is None)]
    reason = "the camera file names this picture, which does not exist in the dataset"
    left_out += [LeftOut(name=name, kind="missing picture", reason=reason) for name in missing]
    reason = "neither it nor the camera file tells its size"
    left_out += [
        LeftOut(name=relative_name(file, layout.root), kind="picture that cannot be used", reason=reason)
        for file in layout.unsized
    ]
    if len(paths) < 2:
        why = f", {missing[0]} is missing" if missing else ""
        raise CameraError(
            f"the dataset has {len(paths)} picture(s) with cameras, needs at least 2{why}: {place}",
            hint="put the pictures where the camera file says, inside the dataset" if left_out else HINT,
        )
    notes = [f"{layout.tool} cameras", *layout.notes]
    if outside:
        notes.append(f"{outside} paths lead out of the dataset, the files of these names inside it are used")
    if no_masks:
        notes.append(f"masks of {no_masks} pictures are missing")
    no_camera, masks = _other_files(layout, paths, masks)
    return Dataset(
        root=layout.root,
        tool=layout.tool,
        camera_files=layout.camera_files,
        pictures=tuple(pictures),
        paths=tuple(paths),
        masks=tuple(masks),
        points=layout.points,
        left_out=(*left_out, *no_camera),
        notes=tuple(notes),
    )


def _without_repeated(
    found: list[tuple[PosedPicture, Path]],
) -> tuple[list[tuple[PosedPicture, Path]], list[LeftOut]]:
    """Return each picture once, with its first camera, and the others as left out."""
    kept, left_out = {}, []
    for picture, file in found:
        if kept.setdefault(file, picture) is picture:
            continue
        same = np.allclose(kept[file].world_from_cam, picture.world_from_cam)
        reason = f"the camera file has it twice, with {'equal' if same else 'different'} poses; the first is used"
        left_out.append(LeftOut(name=picture.name, kind="repeated camera", reason=reason))
    return [(picture, file) for file, picture in kept.items()], left_out


def _other_files(
    layout: Layout, paths: list[Path], masks: list[Path | None]
) -> tuple[list[LeftOut], list[Path | None]]:
    """Return what in the folders of the pictures has no camera, and the masks, also those beside the pictures."""
    root, folders = layout.root, sorted({path.parent for path in paths})
    used = {*paths, *layout.unsized, *(mask for mask in masks if mask)}
    left_out, beside = [], {}
    for folder in folders if len(folders) < 10 else []:
        listing = list_photos(folder)
        beside |= listing.masks
        for path in listing.pictures:
            if path not in used and path.parent in folders:
                name = relative_name(path, root)
                left_out.append(LeftOut(name=name, kind="picture without a camera", reason="the camera file lacks it"))
    return left_out, [mask or beside.get(path) for path, mask in zip(paths, masks, strict=True)]


def leads_out(name: str) -> bool:
    """Tell whether a path in a camera file leads out of the dataset."""
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or ":" in name[:3]


def find_picture(folders: tuple[Path, ...], name: str) -> Path | None:
    """Return the file that a camera file names, in one of these folders; None where there is none.

    The suffix may be missing or another one. Of a path that leads out of the dataset, as of the machine that wrote it,
    the last parts are looked for inside.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    starts = range(len(parts)) if leads_out(name) else range(1)
    for start in starts:
        for folder in folders:
            path = folder.joinpath(*parts[start:])
            candidates = [path, *(path.with_name(path.name + suffix) for suffix in _cases(SUFFIXES))]
            if path.suffix.lower() in SUFFIXES:
                candidates += [path.with_suffix(suffix) for suffix in _cases(SUFFIXES)]
            for candidate in candidates:
                if is_file(candidate):
                    return candidate
            if (alike := _named_alike(folder, parts[start:])) is not None:
                return alike
    return None


def is_file(path: Path) -> bool:
    """Tell whether there is such a file; no for a name that no file can have, such as one that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def _named_alike(folder: Path, parts: list[str]) -> Path | None:
    """Return the file whose path differs only in capitals, or in how accents are composed, as macOS and Windows do."""
    for part in parts:
        names = os.listdir(folder) if folder.is_dir() else []
        same = next((name for name in names if _plain_name(name) == _plain_name(part)), None)
        if same is None:
            return None
        folder = folder / same
    return folder if is_file(folder) else None


def _plain_name(name: str) -> str:
    """Return a name in small letters, its accents composed."""
    return unicodedata.normalize("NFC", name).casefold()


def _cases(suffixes: tuple[str, ...]) -> list[str]:
    """Return the suffixes in small letters and in capitals."""
    return [case for suffix in suffixes for case in (suffix, suffix.upper())]


def read_transforms(path: Path, size: tuple[int, int] | None = None) -> Layout:
    """Read a transforms.json of nerfstudio or instant-ngp, or a transforms_train.json of NeRF-synthetic.

    `size` is that of pictures which do not exist; without it they are left out.
    """
    table, root = read_json(path), path.parent

    def find_size(name: str) -> tuple[int, int] | None:
        file = find_picture((root,), name)
        return size if file is None else stored_size(file)

    pictures = posed_pictures(table, find_size)
    known = {picture.name for picture in pictures}
    names = [name for row in table["frames"] if (name := picture_name(row, "file_path")) not in known]
    unsized = [file for name in names if (file := find_picture((root,), name)) is not None]
    notes = []
    tests = [name for name in ("transforms_test.json", "transforms_val.json") if (root / name).is_file()]
    if path.name == "transforms_train.json" and tests:
        notes.append(f"the views of {' and '.join(tests)} are kept for tests")
    points, points_file = None, None
    if table.get("ply_file_path"):
        points_file = find_picture((root,), picture_name(table, "ply_file_path"))
        if points_file is None:
            notes.append(f"its points {table['ply_file_path']} are missing")
        else:
            points = read_points(points_file)
    files = (path, *([points_file] if points is not None and points_file is not None else []))
    return Layout(
        root=root,
        tool="NeRF-synthetic" if path.name == "transforms_train.json" else "transforms.json",
        camera_files=files,
        pictures=pictures,
        folders=(root,),
        points=points,
        missing=tuple(name for name in names if find_picture((root,), name) is None),
        unsized=tuple(unsized),
        notes=notes,
    )


def read_points(path: Path) -> Points:
    """Read the points of a transforms.json, which are in its world. Raises CameraError when they cannot be read."""
    try:
        columns = read_ply(path)
        xyz = np.stack([columns[axis] for axis in "xyz"], -1).astype(np.float64)
    except (FormatError, KeyError, OSError) as error:
        raise CameraError(f"the points of the dataset cannot be read: {error} ({path})", hint="remove them") from error
    named = all(name in columns for name in ("red", "green", "blue"))
    colors = np.stack([columns[name] for name in ("red", "green", "blue")], -1) if named else np.full(xyz.shape, 128)
    if np.issubdtype(colors.dtype, np.floating) and np.nanmax(colors, initial=0) <= 1:
        colors = 255 * colors
    good = np.isfinite(xyz).all(1)
    return thinned(
        Points(xyz=xyz[good] @ Z_UP_FROM_WORLD[:3, :3], colors=np.clip(colors[good], 0, 255).astype(np.uint8))
    )


def thinned(points: Points) -> Points:
    """Return at most `MAX_POINTS` of the points, evenly picked."""
    index = np.unique(np.linspace(0, len(points.xyz) - 1, min(MAX_POINTS, len(points.xyz))).astype(int))
    return replace(points, xyz=points.xyz[index], colors=points.colors[index])


def orientation_to_undo(path: Path, size: tuple[int, int]) -> int:
    """Return the EXIF orientation by which a picture is turned upright on reading, but its camera was not; else 1.

    COLMAP and nerfstudio ignore the orientation, so that a camera of `size` belongs to the picture as it is stored.
    """
    metadata = read_metadata(path)
    if metadata.orientation == 1 or metadata.size is None:
        return 1
    width, height = metadata.size
    is_turned = metadata.orientation >= 5 and width != height and (size[0] > size[1]) != (width > height)
    return 1 if is_turned else metadata.orientation


def require_pictures(pictures: list[PosedPicture], place: Path) -> None:
    """Raise VideoError when a dataset names no pictures."""
    if not pictures:
        raise VideoError(f"the dataset has no placed pictures: {place}", hint=HINT)
