"""What a model is asked for: the first picture in its frame, and a camera for every frame it shall make."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from img2world.core.camera_paths import interpolate
from img2world.core.cameras import Cameras
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.framing import Framing, frame_count, frame_size, framing

Kind = Literal["auto", "object", "scene"]

SAME_SHAPE = 0.03
"""Ratios of width to height that differ by less count as equal: sides are rounded to even numbers."""

MAX_SIDE = 4096


@runtime_checkable
class ShotOptions(Protocol):
    """The options of a backend that decide its shots."""

    @property
    def kind(self) -> Kind:
        """Overrules what the picture looks like."""
        ...

    @property
    def num_frames(self) -> int:
        """0 makes as many as suit the model."""
        ...

    @property
    def width(self) -> int:
        """0 takes what suits the model and the picture."""
        ...

    @property
    def height(self) -> int:
        """0 takes what suits the model and the picture."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One clip to be made."""

    still: UInt8[np.ndarray, "H W 3"]
    """What the first frame shows; an object stands on plain white."""
    cameras: Cameras
    """One for each frame, with the lens that fits the frame."""
    framing: Framing
    is_object: bool

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def pixels(self) -> int:
        """Of all frames together."""
        return len(self) * self.cameras.width * self.cameras.height

    @property
    def size(self) -> dict[str, int]:
        """Height and width as pipelines take them."""
        return {"height": self.cameras.height, "width": self.cameras.width}

    def frames(
        self, rgb: UInt8[np.ndarray, "V H W 3"], *, fps: float, cameras: Cameras | None = None, **maps: np.ndarray
    ) -> Frames:
        """The model's frames without the room around them; with cameras where the model was told or knows them.

        `maps` are depth and seen, of the size of the model's frames.
        """
        rgb = self.framing.windowed(rgb)
        known: dict[str, Any] = {name: self.framing.windowed(values) for name, values in maps.items()}
        return Frames(
            rgb=rgb,
            times=np.arange(len(rgb)) / fps,
            cameras=None if cameras is None else self.framing.windowed_cameras(cameras),
            alpha=cut_outs(rgb) if self.is_object else None,
            **known,
        )


def plan_shot(image: Image | None, trajectory: Cameras | None, name: str, options: ShotOptions) -> Shot:
    """The shot of a picture along a path, in frames that the model can make.

    An object is shown whole, a scene is cut off where its shape differs from the frame's. Raises VideoError.
    """
    from img2world.layered.build import as_asked

    if image is None or trajectory is None:
        raise VideoError(
            f"{name} needs one picture and a camera path", hint="give a picture, or use the photos or video recipe"
        )
    card = CARDS[name]
    foreground = as_asked(image, options.kind)
    picture = still_picture(image, foreground, max(options.width, options.height, card.width, card.height))
    height, width = picture.shape[:2]
    check_shape(trajectory, width, height)
    usual = (card.width, card.height)
    fitting = usual if card.fixed_size else frame_size((width, height), usual, card.multiple)
    frame = (options.width or fitting[0], options.height or fitting[1])
    check_frame(frame, card.multiple, fitting)
    fit = framing((width, height), frame, whole=foreground.is_object)
    count = frame_count(options.num_frames or card.num_frames, card.step)
    path = interpolate(trajectory.resized(width, height), count)
    return Shot(still=fit.framed(picture), cameras=fit.cameras(path), framing=fit, is_object=foreground.is_object)


def check_frame(frame: tuple[int, int], multiple: int, fitting: tuple[int, int]) -> None:
    """Raises VideoError when a model cannot make frames of this size; `fitting` is one that it can make."""
    if min(frame) < multiple or max(frame) > MAX_SIDE or any(side % multiple for side in frame):
        raise VideoError(
            f"frames of {frame[0]}x{frame[1]} were asked for, needs multiples of {multiple} up to {MAX_SIDE}",
            hint=f"use video.width and video.height such as {fitting[0]} and {fitting[1]}, or 0",
        )


def still_picture(image: Image, foreground: Any, size: int) -> UInt8[np.ndarray, "H W 3"]:
    """What the path's first camera sees: the whole scene, or the object cut out on white."""
    import cv2

    from img2world.layered.build import input_camera
    from img2world.layered.object_layers import cut_out

    if foreground.is_object:
        cut = cut_out(image, foreground, size)
        cover = cut.alpha[..., None]
        return np.round(255 * (cut.rgb * cover + 1 - cover)).astype(np.uint8)
    camera = input_camera(image, foreground, size)
    return cv2.resize(image.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def check_shape(trajectory: Cameras, width: int, height: int) -> None:
    """Raises VideoError when the cameras see a picture of another shape than the one they shall start with."""
    if abs(width * trajectory.height / (height * trajectory.width) - 1) > SAME_SHAPE:
        raise VideoError(
            f"the path's frames are {trajectory.width}x{trajectory.height}, the picture gives {width}x{height}; "
            "needs the same shape",
            hint="choose the path for the kind of picture: orbit for an object, arc for a scene, or set video.kind",
        )


def cut_outs(rgb: UInt8[np.ndarray, "V H W 3"]) -> UInt8[np.ndarray, "V H W"]:
    """255 where the object is; everywhere in frames whose background the model has not kept plain."""
    from img2world.layered.foreground import cut_from_plain_background

    alpha = np.full(rgb.shape[:3], 255, np.uint8)
    for i, frame in enumerate(rgb):
        found = cut_from_plain_background(frame)
        if found is not None:
            alpha[i] = np.round(255 * found)
    return alpha
