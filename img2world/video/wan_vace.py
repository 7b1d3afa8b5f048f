"""Wan VACE (Jiang et al. 2025): our own warped frames and a mask of what they lack, made into a video."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.layered.build import Depth
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import PromptedOptions
from img2world.video.diffusion.pipelines import open_pipeline, sample
from img2world.video.diffusion.prompts import prompt_for
from img2world.video.diffusion.shot import Shot, plan_shot

GREY = 128
"""What VACE was trained to see where it shall paint: zero, in its range of -1 to 1."""

RIM = 5
"""Width in pixels of the brush by which what is painted is widened."""


@dataclass(frozen=True, kw_only=True)
class WanVaceVideo(PromptedOptions):
    """Wan VACE. It is shown the picture warped along the path and paints what is not known, so the path is kept."""

    num_frames: int = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 81."""
    steps: int = 40
    guidance: float = 5.0
    strength: float = 1.0
    """How much the warped frames count."""
    refine: bool = True
    """Paint anew what the warped frames only continue or guess; otherwise only what is empty."""
    reference: bool = True
    """Show the picture itself, too."""
    depth: Depth = "builtin"
    """How the depth of a scene is found; transformers takes Depth Anything V2, DPT or Depth Pro."""
    depth_model: str = ""
    """A folder of its weights or its name on the hub; empty takes Depth Anything V2 Small."""

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip along the path, with the cameras that the model followed.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "wan-vace", self)
        opened = open_pipeline("wan-vace", self, pixels=shot.pixels)
        assert image is not None  # plan_shot has refused a run without a picture.
        condition = condition_frames(image, shot, self)
        arguments = {
            "video": [PillowImage.fromarray(frame) for frame in condition.rgb],
            "mask": [PillowImage.fromarray(mask) for mask in condition.mask],
            "reference_images": [PillowImage.fromarray(shot.still)] if self.reference else None,
            "conditioning_scale": self.strength,
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        maps = {"depth": condition.depth, "seen": condition.seen}
        return shot.frames(rgb, fps=CARDS["wan-vace"].fps, cameras=shot.cameras, **maps)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What VACE is shown (diffusers, WanVACEPipeline: video and mask)."""

    rgb: UInt8[np.ndarray, "V H W 3"]
    """Middle grey where it shall paint."""
    mask: UInt8[np.ndarray, "V H W"]
    """255 where it shall paint, 0 where the frames shall stay."""
    depth: Float32[np.ndarray, "V H W"]
    """Of what stays; 0 where it paints."""
    seen: UInt8[np.ndarray, "V H W"]
    """As in Frames."""


def condition_frames(image: Image, shot: Shot, options: WanVaceVideo) -> Condition:
    """The picture's world drawn from each camera of the shot, and a mask of what is to be painted."""
    import cv2

    from img2world.layered.build import as_asked, world_from_picture
    from img2world.layered.layers import INVENTED, SEEN
    from img2world.layered.warp import Warper

    cameras = shot.cameras
    foreground = as_asked(image, options.kind)
    size = max(cameras.width, cameras.height)
    warper = Warper(world_from_picture(image, foreground, size, depth=options.depth, depth_model=options.depth_model))
    shape = (len(cameras), cameras.height, cameras.width)
    rgb, mask = np.empty((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    depth, seen = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for i in range(len(cameras)):
        warped = warper.draw(cameras.select([i]))
        cover = warped.alpha[..., None]
        paint = (warped.seen < SEEN) & (warped.alpha > 0) if options.refine else np.zeros(shape[1:], bool)
        if not shot.is_object:
            # Around an object is plain white, which is known; beyond a scene's edge is nothing.
            paint |= warped.alpha < 1
        # The rim of what is kept is mixed with what is beside it.
        paint = cv2.dilate(paint.astype(np.uint8), np.ones((RIM, RIM), np.uint8)) > 0
        if i == 0:
            paint[:] = False
            rgb[i] = shot.still
        else:
            rgb[i] = np.where(paint[..., None], GREY, np.round(255 * (warped.rgb * cover + 1 - cover)))
        mask[i] = np.where(paint, 255, 0)
        depth[i] = np.where(paint, 0, warped.depth)
        seen[i] = np.where(paint, INVENTED, np.where(warped.alpha > 0, warped.seen, SEEN))
    return Condition(rgb=rgb, mask=mask, depth=depth, seen=seen)
