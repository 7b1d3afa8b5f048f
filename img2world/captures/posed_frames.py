"""The pictures of a posed dataset as frames with pinhole cameras."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from PIL import Image as PillowImage

from img2world.captures.dataset import Dataset, orientation_to_undo, read_dataset
from img2world.captures.listing import relative_name
from img2world.captures.photos import MAX_BROKEN, load_mask
from img2world.captures.shots import SAME_SHAPE, Shot, frames_from_shots
from img2world.captures.undistortion import undistort
from img2world.core.cameras import Cameras
from img2world.core.errors import CameraError, Img2WorldError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.image_file import load_image
from img2world.core.inventory import Inventory, LeftOut
from img2world.core.progress import Progress

MAX_OFFSET = 100.0
"""Distance of the cameras from the origin, in units of their spread, beyond which the world is moved, as for
coordinates of a map, which float32 does not resolve."""

AS_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda layer: np.rot90(layer, 2),
    4: np.flipud,
    5: lambda layer: np.swapaxes(layer, 0, 1),
    6: np.rot90,
    7: lambda layer: np.rot90(np.swapaxes(layer, 0, 1), 2),
    8: lambda layer: np.rot90(layer, -1),
}
"""Operation that undoes the turn upright for each EXIF orientation (`image_file.UPRIGHT`)."""


def frames_from_dataset(path: Path, *, size: int, max_photos: int, progress: Progress) -> Frames:
    """Read the pictures of a dataset with their cameras, in the dataset's world with our axes.

    `size` is the longest side in pixels, `max_photos` the number of pictures of a larger dataset that are used, in even
    steps. Distortion is undone. Pictures with times are in the order of these. Pictures that cannot be read, or have
    another shape than their cameras, are left out.
    Raises CameraError as `read_dataset` does, and when fewer than half of the pictures can be used.
    """
    dataset = read_dataset(path)
    left_out = [*dataset.left_out]
    chosen = _at_even_times(dataset, max_photos) if dataset.has_times else even_steps(len(dataset.paths), max_photos)
    for i in set(range(len(dataset.paths))) - set(chosen.tolist()):
        reason = f"at most {max_photos} are used, see video.max_photos"
        left_out.append(LeftOut(name=_name(dataset, i), kind="picture beyond the limit", reason=reason))
    index, images, masks = [], [], []
    broken, hint = 0, ""
    for done, i in enumerate(chosen.tolist()):
        try:
            image, mask = _load(dataset, i, size)
        except Img2WorldError as error:
            reason = str(error).replace(f": {dataset.paths[i]}", "")
            left_out.append(LeftOut(name=_name(dataset, i), kind="picture that cannot be used", reason=reason))
            hint = error.hint
            broken += 1
            continue
        index.append(i)
        images.append(image)
        masks.append(mask)
        progress(done + 1, len(chosen))
    if len(index) < 2 or broken > MAX_BROKEN * len(chosen):
        raise CameraError(
            f"{broken} of {len(chosen)} pictures of the dataset cannot be used, {left_out[-1].name}: "
            f"{left_out[-1].reason}",
            hint=hint,
        )
    lenses = [dataset.pictures[i].lens for i in index]
    images, masks, intrinsics = undistort(images, masks, lenses)
    notes = [*dataset.notes]
    if distorted := sum(not lens.is_pinhole for lens in lenses):
        notes.append(f"the distortion of {distorted} pictures was undone")
    names = tuple(_name(dataset, i) for i in index)
    if dataset.has_times:
        notes.append(f"{len({dataset.pictures[i].time for i in index})} times")
    elif untimed := sum(picture.time is None for picture in dataset.pictures) % len(dataset.pictures):
        notes.append(f"times not used: {untimed} of {len(dataset.pictures)} pictures have none")
    poses = np.stack([dataset.pictures[i].world_from_cam for i in index])
    offset = world_offset(poses[:, :3, 3])
    poses[:, :3, 3] -= offset
    shots = [Shot(name=name, image=image, mask=mask) for name, image, mask in zip(names, images, masks, strict=True)]
    cameras = Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=intrinsics.astype(np.float32),
        width=max(image.width for image in images),
        height=max(image.height for image in images),
    )
    inventory = Inventory(used=names, left_out=tuple(left_out), notes=tuple(notes))
    frames = frames_from_shots(shots, ordered=False, inventory=inventory, cameras=cameras)
    if dataset.has_times:
        times = np.array([dataset.pictures[i].time for i in index], np.float64)
        frames = replace(frames, times=times - times[0], viewpoints=_fixed_viewpoints(cameras), is_timed=True)
    if dataset.points is None:
        return frames
    points = (dataset.points.xyz - offset).astype(np.float32)
    return replace(frames, points=points, point_colors=dataset.points.colors)


def even_steps(count: int, most: int) -> Int64[np.ndarray, "K"]:
    """Return at most so many indices of `count`, in even steps, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


def _at_even_times(dataset: Dataset, most: int) -> Int64[np.ndarray, "K"]:
    """Return the indices of the pictures at as many times as give at most so many pictures, in the order of time."""
    times = np.array([picture.time for picture in dataset.pictures], np.float64)
    distinct, counts = np.unique(times, return_counts=True)
    chosen = distinct[even_steps(len(distinct), max(2, most // int(counts.max())))]
    order = np.argsort(times, kind="stable")
    return order[np.isin(times[order], chosen)]


def _fixed_viewpoints(cameras: Cameras) -> Int64[np.ndarray, "V"] | None:
    """Return the index of the camera that took each picture, if each stood still for several; None otherwise."""
    rows = np.concatenate([cameras.world_from_cam.reshape(-1, 16), cameras.intrinsics.reshape(-1, 9)], 1)
    first: dict[bytes, int] = {}
    index = np.array([first.setdefault(row.tobytes(), len(first)) for row in rows], np.int64)
    return index if np.bincount(index).min() > 1 else None


def _name(dataset: Dataset, index: int) -> str:
    """Return the path of a picture relative to the dataset."""
    return relative_name(dataset.paths[index], dataset.root)


def _load(dataset: Dataset, index: int, size: int) -> tuple[Image, UInt8[np.ndarray, "H W"] | None]:
    """Load a picture and its mask at one size, turned as its camera was. Raises CameraError when shapes differ."""
    path, mask_path, lens = dataset.paths[index], dataset.masks[index], dataset.pictures[index].lens
    image = load_image(path, max_side=size)
    if turn := AS_STORED.get(orientation_to_undo(path, (lens.width, lens.height))):
        alpha = None if image.alpha is None else np.ascontiguousarray(turn(image.alpha))
        image = replace(image, rgb=np.ascontiguousarray(turn(image.rgb)), alpha=alpha)
    if abs(image.width * lens.height / (image.height * lens.width) - 1) > SAME_SHAPE:
        raise CameraError(
            f"the picture is {image.width}x{image.height}, its camera {lens.width}x{lens.height}: {path}",
            hint="use the pictures that the cameras were found for",
        )
    if mask_path is None:
        return image, None
    mask = PillowImage.fromarray(load_mask(mask_path, image))
    return image, np.asarray(mask.resize((image.width, image.height), PillowImage.Resampling.BOX))


def world_offset(centers: Float64[np.ndarray, "V 3"]) -> Float64[np.ndarray, "3"]:
    """Return what to subtract from positions in a world whose cameras are far from its origin; else 0."""
    middle = centers.mean(0)
    spread = float(np.linalg.norm(centers - middle, axis=1).max())
    return middle if np.linalg.norm(middle) > MAX_OFFSET * max(spread, 1e-9) else np.zeros(3)
