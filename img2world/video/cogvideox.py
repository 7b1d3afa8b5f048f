"""CogVideoX image to video (Yang et al. 2024)."""

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
class CogVideoXVideo(PromptedOptions):
    """CogVideoX. It moves the camera as it is told in words, so poses must be estimated after."""

    num_frames: int = 0
    """Frames of the clip, a multiple of 8 plus 1; 0 makes 49."""
    steps: int = 50
    guidance: float = 6.0

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "cogvideox", self)
        opened = open_pipeline("cogvideox", self, pixels=shot.pixels)
        arguments = {
            "image": PillowImage.fromarray(shot.still),
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "use_dynamic_cfg": True,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        return shot.frames(rgb, fps=CARDS["cogvideox"].fps)
