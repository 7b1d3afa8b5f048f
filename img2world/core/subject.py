"""The subject of a picture, decided once: a free-standing object or a scene, and its predicted geometry."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.checks import check_dtypes, check_shapes
from img2world.core.image import Image
from img2world.core.pictures import load_arrays, load_masks, load_pictures, save_arrays, save_pictures

PICTURE, CUTOUT, GEOMETRY, FACTS = "input.png", "cutout.png", "geometry.safetensors", "subject.json"
"""Files of a subject: the picture, and the others in a folder `subject` beside it."""

FOREGROUND, FOREGROUND_GEOMETRY = "foreground_{}.png", "foreground_{}.safetensors"
"""Files of each thing in the foreground of a scene."""


@dataclass(frozen=True, kw_only=True)
class SceneGeometry:
    """The depth of a scene, in the resolution of the network that predicted it."""

    inverse_depth: Float32[np.ndarray, "h w"]
    """Median 1."""
    sky: Float32[np.ndarray, "h w"] | None
    """Probability of sky, 0 to 1; None where the network does not tell."""


@dataclass(frozen=True, kw_only=True)
class ObjectGeometry:
    """The shape of an object that fills a square frame; lengths are relative to the frame's width."""

    front: Float32[np.ndarray, "S S"]
    """Depth relative to that of the object's center."""
    thickness: Float32[np.ndarray, "S S"]
    """From the first surface to the last."""
    predicted_error: Float32[np.ndarray, "S S"]
    """The network's own estimate of the error of `front`."""
    symmetry_planes: Float32[np.ndarray, "37"]
    """Probability of mirror symmetry about each of 36 upright planes, 5 degrees apart, and of none."""
    elevation: float
    """Elevation of the camera above the object, in radians."""


@dataclass(frozen=True, kw_only=True)
class Foreground:
    """One thing that stands out in a scene and is lifted off it."""

    alpha: UInt8[np.ndarray, "H W"]
    geometry: ObjectGeometry
    """Its shape in the square frame of its cut-out."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A picture, what it shows and the predicted shape of that."""

    image: Image
    alpha: UInt8[np.ndarray, "H W"] | None
    """255 where the object is; None for a scene."""
    reason: str
    """Why it was taken for an object or a scene, in one phrase."""
    geometry: SceneGeometry | ObjectGeometry
    is_close_up: bool = False
    """True for a scene that is filled by something without a clear outline, as a face: it has no ground to stand on."""
    foreground: tuple[Foreground, ...] = ()
    """The things that stand out in a scene, the largest first; empty for an object."""

    def __post_init__(self) -> None:
        if self.alpha is not None:
            check_shapes(rgb=(self.image.rgb, "H W 3"), alpha=(self.alpha, "H W"))
            check_dtypes(alpha=(self.alpha, np.uint8))
        for thing in self.foreground:
            check_shapes(rgb=(self.image.rgb, "H W 3"), alpha=(thing.alpha, "H W"))
            check_dtypes(alpha=(thing.alpha, np.uint8))
        if self.foreground and self.is_object:
            raise ValueError("an object has no foreground of its own")
        if isinstance(self.geometry, ObjectGeometry) != self.is_object:
            raise ValueError(f"a {type(self.geometry).__name__} does not fit the subject: {self.reason}")

    @property
    def is_object(self) -> bool:
        """True for a free-standing object, False for a scene."""
        return self.alpha is not None

    def save(self, folder: Path) -> None:
        """Write input.png, and into `subject` the cut-outs, the geometry and the facts."""
        save_picture(self.image, folder / PICTURE)
        folder = folder / "subject"
        folder.mkdir()
        if self.alpha is not None:
            save_mask(self.alpha, folder / CUTOUT)
        for i, thing in enumerate(self.foreground):
            save_mask(thing.alpha, folder / FOREGROUND.format(i))
            save_arrays(arrays_of(thing.geometry), folder / FOREGROUND_GEOMETRY.format(i))
        facts = {"kind": "object" if self.is_object else "scene", "reason": self.reason, "focal": self.image.focal}
        facts |= numbers_of(self.geometry)
        if self.is_close_up:
            facts["is_close_up"] = True
        if self.foreground:
            facts["foreground"] = [numbers_of(thing.geometry) for thing in self.foreground]
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
        save_arrays(arrays_of(self.geometry), folder / GEOMETRY)

    @classmethod
    def load(cls, folder: Path) -> "Subject":
        """Read what `save` wrote, equal to the last bit."""
        rgb, alpha = load_pictures(folder, [PICTURE])
        folder = folder / "subject"
        facts, arrays = json.loads((folder / FACTS).read_text()), load_arrays(folder / GEOMETRY)
        is_object = facts["kind"] == "object"
        geometry = (
            ObjectGeometry(**arrays, elevation=facts["elevation"])
            if is_object
            else SceneGeometry(inverse_depth=arrays["inverse_depth"], sky=arrays.get("sky"))
        )
        image = Image(rgb=rgb[0], alpha=None if alpha is None else alpha[0], focal=facts["focal"])
        cutout = load_masks(folder, [CUTOUT])[0] if is_object else None
        foreground = tuple(
            Foreground(
                alpha=load_masks(folder, [FOREGROUND.format(i)])[0],
                geometry=ObjectGeometry(**load_arrays(folder / FOREGROUND_GEOMETRY.format(i)), **numbers),
            )
            for i, numbers in enumerate(facts.get("foreground", []))
        )
        return cls(
            image=image,
            alpha=cutout,
            reason=facts["reason"],
            geometry=geometry,
            is_close_up=facts.get("is_close_up", False),
            foreground=foreground,
        )


def numbers_of(geometry: SceneGeometry | ObjectGeometry) -> dict[str, float]:
    """Return the fields of a geometry that are single numbers."""
    return {name: value for name, value in vars(geometry).items() if isinstance(value, float)}


def arrays_of(geometry: SceneGeometry | ObjectGeometry) -> dict[str, np.ndarray | None]:
    """Return the fields of a geometry that are arrays."""
    return {name: value for name, value in vars(geometry).items() if not isinstance(value, float)}


def save_mask(alpha: UInt8[np.ndarray, "H W"], path: Path) -> None:
    """Write an alpha as a PNG of one channel."""
    (name,) = save_pictures(alpha[None], path.parent)
    (path.parent / name).rename(path)


def save_picture(image: Image, path: Path) -> None:
    """Write a picture, with its own transparency, as a PNG."""
    (name,) = save_pictures(image.rgb[None], path.parent, None if image.alpha is None else image.alpha[None])
    (path.parent / name).rename(path)
