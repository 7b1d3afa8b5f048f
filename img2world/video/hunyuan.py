"""FramePack on HunyuanVideo (Zhang and Agrawala 2025): long clips in a fixed amount of memory."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import PromptedOptions
from img2world.video.diffusion.pipelines import open_pipeline, sample
from img2world.video.diffusion.prompts import prompt_for
from img2world.video.diffusion.shot import plan_shot


@dataclass(frozen=True, kw_only=True)
class HunyuanVideo(PromptedOptions):
    """HunyuanVideo with FramePack. It moves the camera as it is told in words, so poses must be estimated after."""

    loop: bool = False
    """End with the first picture, so that an orbit closes."""
    num_frames: int = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 97."""
    window: int = 9
    """Latent frames made at a time, each of four frames."""
    steps: int = 30
    """For each window."""
    guidance: float = 9.0

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "hunyuan", self)
        opened = open_pipeline("hunyuan", self, pixels=shot.pixels)
        still = PillowImage.fromarray(shot.still)
        window_frames = (self.window - 1) * CARDS["hunyuan"].step + 1
        arguments = {
            "image": still,
            "last_image": still if self.loop else None,
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "latent_window_size": self.window,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }
        steps = self.steps * -(-len(shot) // window_frames)
        rgb = sample(opened, arguments, steps=steps, seed=seed, progress=progress)
        return shot.frames(even_frames(rgb, len(shot)), fps=CARDS["hunyuan"].fps)


def even_frames(rgb: UInt8[np.ndarray, "V H W 3"], count: int) -> UInt8[np.ndarray, "C H W 3"]:
    """So many frames, evenly chosen, with the first and the last: whole windows make more than were asked for."""
    if len(rgb) <= count:
        return rgb
    return rgb[np.linspace(0, len(rgb) - 1, count).round().astype(np.int64)]
