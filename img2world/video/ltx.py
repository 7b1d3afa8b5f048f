"""LTX-Video (HaCohen et al. 2024)."""

from dataclasses import dataclass

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
class LtxVideo(PromptedOptions):
    """LTX-Video. Fast; it moves the camera as it is told in words, so poses must be estimated after."""

    loop: bool = False
    """End with the first picture, so that an orbit closes."""
    num_frames: int = 0
    """Frames of the clip, a multiple of 8 plus 1; 0 makes 121."""
    steps: int = 8
    """The distilled checkpoints need 4 to 10, others 30 to 50."""
    guidance: float = 1.0
    """1 for distilled checkpoints, 3 to 5 for others."""

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "ltx", self)
        opened = open_pipeline("ltx", self, pixels=shot.pixels)
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        still = PillowImage.fromarray(shot.still)
        places = [0, len(shot) - 1] if self.loop else [0]
        arguments = {
            "conditions": [LTXVideoCondition(image=still, frame_index=place) for place in places],
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "frame_rate": round(CARDS["ltx"].fps),
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            # The decoder takes a last step of denoising (diffusers, LTX-Video, example for 0.9.1 and later).
            "decode_timestep": 0.05,
            "decode_noise_scale": 0.025,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        return shot.frames(rgb, fps=CARDS["ltx"].fps)
