"""Wan VACE (Jiang et al. 2025): completes a video of the picture warped along the trajectory."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt, PositiveInt
from img2world.core.subject import Subject
from img2world.video.diffusion.conditioning import Conditioning, plan_conditioning
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import load_pipeline, sample
from img2world.video.diffusion.prompts import NEGATIVE_PROMPT

GREY = 128
"""Value of the pixels that VACE generates in its control video: zero in its range of -1 to 1."""

BRUSH = 5
"""Width in pixels of the square by which the generated area is dilated."""


@dataclass(frozen=True, kw_only=True)
class WanVaceVideo:
    """Wan VACE. It is shown the picture warped along the trajectory and completes it, so the trajectory is kept."""

    checkpoint: str = ""
    """Folder or hub name of the weights; empty takes the choice of `img2world models use`, or the released weights."""
    prompt: str = ""
    """Description of the picture in a few words; a text with {camera} in it replaces the whole prompt."""
    negative_prompt: str = NEGATIVE_PROMPT
    """Description of what the clip must not show."""
    num_frames: NonNegativeInt = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 81."""
    width: NonNegativeInt = 0
    """Width of a frame in pixels; 0 takes what suits the model and the picture."""
    height: NonNegativeInt = 0
    steps: PositiveInt = 40
    guidance: float = 5.0
    offload: Offload = "auto"
    """Offloading of weights that do not fit the GPU: none, model, group or sequential, from fast to small."""
    precision: Precision = "auto"
    """float32, float16 or bfloat16; auto takes 16 bits on a GPU and 32 on a CPU."""
    quantize: Quantize = "none"
    """int8 (torchao) or int4 (bitsandbytes) holds the transformer in fewer bits."""

    def generate(
        self, subject: Subject | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """Generate a clip along the trajectory, with its cameras.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        conditioning = plan_conditioning("wan-vace", self, subject, trajectory)
        loaded = load_pipeline("wan-vace", self, num_pixels=conditioning.num_pixels)
        assert subject is not None  # plan_conditioning raises without a picture.
        control = render_control_video(subject, conditioning)
        arguments = {
            **conditioning.text_arguments(self),
            "video": [PillowImage.fromarray(frame) for frame in control.rgb],
            "mask": [PillowImage.fromarray(mask) for mask in control.mask],
            "reference_images": [conditioning.image],
        }
        rgb = sample(loaded, arguments, steps=self.steps, seed=seed, progress=progress)
        return conditioning.to_frames(rgb, cameras=conditioning.cameras, depth=control.depth, seen=control.seen)


@dataclass(frozen=True, kw_only=True)
class ControlVideo:
    """The control video of VACE and its mask (diffusers, WanVACEPipeline: video and mask)."""

    rgb: UInt8[np.ndarray, "V H W 3"]
    """Grey where VACE generates."""
    mask: UInt8[np.ndarray, "V H W"]
    """255 where VACE generates, 0 where it keeps the control video."""
    depth: Float32[np.ndarray, "V H W"]
    """Depth of what is kept; 0 elsewhere."""
    seen: UInt8[np.ndarray, "V H W"]
    """As in Frames."""


def render_control_video(subject: Subject, conditioning: Conditioning) -> ControlVideo:
    """Render the picture from each camera, and mask what the picture does not show."""
    import cv2

    from img2world.layered.build import build_layers
    from img2world.layered.layers import INVENTED, SEEN
    from img2world.layered.warp import Warper

    cameras = conditioning.cameras
    warper = Warper(build_layers(subject, max(cameras.width, cameras.height)))
    shape = (len(cameras), cameras.height, cameras.width)
    rgb, mask = np.empty((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    depth, seen = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for i in range(len(cameras)):
        warped = warper.draw(cameras.select([i]))
        alpha = warped.alpha[..., None]
        generated = (warped.seen < SEEN) & (warped.alpha > 0)
        if not conditioning.is_object:
            # An object's background is known to be white; beyond a scene's edge nothing is known.
            generated |= warped.alpha < 1
        # Pixels at the edge of what is kept are mixed with their neighbours.
        generated = cv2.dilate(generated.astype(np.uint8), np.ones((BRUSH, BRUSH), np.uint8)) > 0
        if i == 0:
            generated[:] = False
            rgb[i] = conditioning.first_frame
        else:
            rgb[i] = np.where(generated[..., None], GREY, np.round(255 * (warped.rgb * alpha + 1 - alpha)))
        mask[i] = np.where(generated, 255, 0)
        depth[i] = np.where(generated, 0, warped.depth)
        seen[i] = np.where(generated, INVENTED, np.where(warped.alpha > 0, warped.seen, SEEN))
    return ControlVideo(rgb=rgb, mask=mask, depth=depth, seen=seen)
