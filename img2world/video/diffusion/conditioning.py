"""The conditioning of a model: the first frame of its clip, and a camera for every frame."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from img2world.core.camera_paths import interpolate
from img2world.core.cameras import Cameras
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.subject import Subject
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.framing import Framing, fit_picture, nearest_frame_count, suitable_frame_size
from img2world.video.diffusion.options import ModelOptions, PromptedOptions
from img2world.video.diffusion.prompts import build_prompt

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

SHAPE_TOLERANCE = 0.03
"""Relative difference of two aspect ratios that count as equal: sides are rounded to even numbers."""

MAX_SIDE = 4096


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """The first frame and the cameras of one clip."""

    first_frame: UInt8[np.ndarray, "H W 3"]
    """The picture in its frame; an object stands on plain white."""
    cameras: Cameras
    """One for each frame, with the intrinsics of the frame."""
    framing: Framing
    is_object: bool
    fps: float

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def num_pixels(self) -> int:
        """Number of pixels of all frames together."""
        return len(self) * self.cameras.width * self.cameras.height

    @property
    def size(self) -> dict[str, int]:
        """Height and width as arguments of a pipeline."""
        return {"height": self.cameras.height, "width": self.cameras.width}

    @property
    def image(self) -> "PillowImage":
        """The first frame as pipelines take it."""
        from PIL import Image as PillowImage

        return PillowImage.fromarray(self.first_frame)

    def text_arguments(self, options: PromptedOptions) -> dict[str, Any]:
        """Return the arguments that all pipelines with a text encoder share."""
        return {
            "prompt": build_prompt(options.prompt, is_object=self.is_object),
            "negative_prompt": options.negative_prompt,
            "num_frames": len(self),
            **self.size,
            "num_inference_steps": options.steps,
            "guidance_scale": options.guidance,
        }

    def to_frames(
        self, rgb: UInt8[np.ndarray, "V H W 3"], *, cameras: Cameras | None = None, **maps: np.ndarray
    ) -> Frames:
        """Return a model's frames without padding, with cameras where the model was given or returned them.

        `maps` are `depth` and `seen` of the frames, in the size of the model's frames.
        """
        rgb = self.framing.crop(rgb)
        cropped: dict[str, Any] = {name: self.framing.crop(values) for name, values in maps.items()}
        return Frames(
            rgb=rgb,
            times=np.arange(len(rgb)) / self.fps,
            cameras=None if cameras is None else self.framing.crop_cameras(cameras),
            alpha=segment_frames(rgb) if self.is_object else None,
            **cropped,
        )


def plan_conditioning(
    name: str, options: ModelOptions, subject: Subject | None, trajectory: Cameras | None
) -> Conditioning:
    """Return the first frame and the cameras of a clip along a trajectory, in a size that the model can generate.

    An object is shown whole; a scene is cropped where its shape differs from the frame's. Raises VideoError without a
    picture or a trajectory, when they differ in shape, or when the model cannot generate frames of the wanted size.
    """
    if subject is None or trajectory is None:
        raise VideoError(
            f"{name} needs one picture and a camera path", hint="give a picture, or use the photos or video recipe"
        )
    card = CARDS[name]
    picture = first_view(subject, max(options.width, options.height, card.width, card.height))
    height, width = picture.shape[:2]
    check_shape(trajectory, width, height)
    native = (card.width, card.height)
    suitable = native if card.fixed_size else suitable_frame_size((width, height), native, card.multiple)
    size = (options.width or suitable[0], options.height or suitable[1])
    check_frame_size(size, card.multiple, suitable)
    framing = fit_picture((width, height), size, pad=subject.is_object)
    count = nearest_frame_count(options.num_frames or card.num_frames, card.step)
    cameras = interpolate(trajectory.resized(width, height), count)
    return Conditioning(
        first_frame=framing.place(picture),
        cameras=framing.place_cameras(cameras),
        framing=framing,
        is_object=subject.is_object,
        fps=card.fps,
    )


def check_frame_size(size: tuple[int, int], multiple: int, suitable: tuple[int, int]) -> None:
    """Raise VideoError when a model cannot generate frames of this size; `suitable` is one that it can."""
    if min(size) < multiple or max(size) > MAX_SIDE or any(side % multiple for side in size):
        raise VideoError(
            f"video.width and video.height give frames of {size[0]}x{size[1]}, needs multiples of {multiple} up to "
            f"{MAX_SIDE}",
            hint=f"use sizes such as {suitable[0]} and {suitable[1]}, or 0",
        )


def first_view(subject: Subject, size: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return what the trajectory's first camera sees: the whole scene, or the object cut out on white."""
    import cv2

    from img2world.layered.build import input_camera
    from img2world.layered.object_layers import cut_out

    if subject.alpha is not None:
        cut = cut_out(subject.image, subject.alpha, size)
        alpha = cut.alpha[..., None]
        return np.round(255 * (cut.rgb * alpha + 1 - alpha)).astype(np.uint8)
    camera = input_camera(subject, size)
    return cv2.resize(subject.image.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def check_shape(trajectory: Cameras, width: int, height: int) -> None:
    """Raise VideoError when the trajectory's frames have another aspect ratio than the picture."""
    if abs(width * trajectory.height / (height * trajectory.width) - 1) > SHAPE_TOLERANCE:
        raise VideoError(
            f"the path's frames are {trajectory.width}x{trajectory.height}, the picture gives {width}x{height}; "
            "needs the same shape",
            hint="choose the path for the kind of picture: orbit for an object, arc for a scene, or set subject.kind",
        )


def segment_frames(rgb: UInt8[np.ndarray, "V H W 3"]) -> UInt8[np.ndarray, "V H W"]:
    """Return the object's alpha in each frame; 255 everywhere in frames whose background is not plain."""
    from img2world.layered.foreground import cut_from_plain_background

    alpha = np.full(rgb.shape[:3], 255, np.uint8)
    for i, frame in enumerate(rgb):
        found = cut_from_plain_background(frame, "none")
        if found is not None:
            alpha[i] = np.round(255 * found)
    return alpha
