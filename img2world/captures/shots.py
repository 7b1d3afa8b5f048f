"""Pictures of several sizes and lenses, put onto one canvas as frames."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image as PillowImage

from img2world.captures.metadata import Metadata, metres_from_places
from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.inventory import Inventory
from img2world.core.pictures import stack_pictures

FRAME_SECONDS = 1 / 24
"""Time between frames that were stored as pictures: the rate of film, since pictures hold no times."""

SAME_SIZE = 0.03
"""Relative difference of sizes that were meant to be equal, as after rounding; such pictures are resized to the
smallest."""

SAME_SHAPE = 0.01
"""Relative difference of two aspect ratios that count as equal."""

WHITE = 250
"""Grey value from which a pixel of a mask counts as white; the pixels of a resized edge lie below."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture that becomes a frame."""

    name: str
    image: Image
    metadata: Metadata = field(default_factory=Metadata)
    mask: UInt8[np.ndarray, "H W"] | None = None
    """0 where it is to be ignored, else 255, at any size."""
    lens: str = ""
    """Name of its lens where the metadata do not tell it from others."""


def frames_from_shots(
    shots: Sequence[Shot], *, ordered: bool, inventory: Inventory, cameras: Cameras | None = None
) -> Frames:
    """Return the shots as frames: on white, and on one canvas where they differ in size.

    Each lies in the upper left corner of the canvas, which is as wide and as high as any; the rest is black and masked.
    Photos (not `ordered`) that all have a time of capture are to be given in the order of these times. `cameras` are
    for pictures that lie on the canvas.
    """
    sizes = np.array([[shot.image.width, shot.image.height] for shot in shots], np.int64)
    smallest, largest = sizes.min(0), sizes.max(0)
    if cameras is None and (largest - smallest <= np.maximum(1, SAME_SIZE * smallest)).all():
        sizes = np.repeat(sizes[[np.argmin(sizes.prod(1))]], len(sizes), 0)
    width, height = sizes.max(0).tolist()
    is_uniform = bool((sizes == (width, height)).all())
    layers = [on_white(shot.image, (w, h)) for shot, (w, h) in zip(shots, sizes.tolist(), strict=True)]
    rgb = stack_pictures((_on_canvas(colors, width, height) for colors, _ in layers), len(layers))
    alphas = [alpha for _, alpha in layers if alpha is not None]
    alpha = np.stack([_on_canvas(layer, width, height) for layer in alphas]) if len(alphas) == len(shots) else None
    mask = None
    if not is_uniform or any(shot.mask is not None for shot in shots):
        masks = [_mask_of(shot, w, h) for shot, (w, h) in zip(shots, sizes.tolist(), strict=True)]
        mask = np.stack([_on_canvas(layer, width, height) for layer in masks])
    times = [shot.metadata.time for shot in shots]
    known = [time for time in times if time is not None]
    has_times = not ordered and len(known) == len(shots) and bool((np.diff(known) >= 0).all())
    # As large as they become on the canvas.
    focals = np.array(
        [(shot.image.focal or 0.0) * w / shot.image.width for shot, w in zip(shots, sizes[:, 0], strict=True)]
    )
    return Frames(
        rgb=rgb,
        alpha=alpha,
        mask=mask,
        times=np.array(known, np.float64) - known[0] if has_times else np.arange(len(shots)) * FRAME_SECONDS,
        ordered=ordered,
        sizes=None if is_uniform else sizes,
        lenses=None if cameras is not None else find_lenses(shots, sizes),
        focals=focals if cameras is None and focals.any() else None,
        locations=metres_from_places([shot.metadata.place for shot in shots]),
        cameras=cameras,
        inventory=inventory,
    )


def find_lenses(shots: Sequence[Shot], sizes: Int64[np.ndarray, "V 2"]) -> Int64[np.ndarray, "V"] | None:
    """Return the index of the camera, zoom and size that took each shot; None where it is the same for all."""
    keys = [
        (shot.lens, shot.metadata.lens, *size) for shot, size in zip(shots, map(tuple, sizes.tolist()), strict=True)
    ]
    index = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([index[key] for key in keys], np.int64) if len(index) > 1 else None


def on_white(image: Image, size: tuple[int, int]) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"] | None]:
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


def _on_canvas(layer: UInt8[np.ndarray, "h w *C"], width: int, height: int) -> UInt8[np.ndarray, "H W *C"]:
    """Return a layer in the upper left corner of a black canvas."""
    margins = ((0, height - layer.shape[0]), (0, width - layer.shape[1]), *((0, 0),) * (layer.ndim - 2))
    return np.pad(layer, margins) if any(map(any, margins)) else layer


def _mask_of(shot: Shot, width: int, height: int) -> UInt8[np.ndarray, "H W"]:
    """Return the mask of a shot at the given size; white where it has none."""
    if shot.mask is None:
        return np.full((height, width), 255, np.uint8)
    small = PillowImage.fromarray(shot.mask).resize((width, height), PillowImage.Resampling.BOX)
    # A pixel that a mask covers in part shows a mixture, so that it is ignored as well.
    return np.where(np.asarray(small) > WHITE, 255, 0).astype(np.uint8)
