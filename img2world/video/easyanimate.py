"""EasyAnimate with camera control (Xu et al. 2024)."""

import inspect
from dataclasses import dataclass
from typing import Any

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.camera_conventions import easyanimate_from_cameras
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import PromptedOptions
from img2world.video.diffusion.pipelines import open_pipeline, sample
from img2world.video.diffusion.prompts import prompt_for
from img2world.video.diffusion.shot import plan_shot


@dataclass(frozen=True, kw_only=True)
class EasyAnimateVideo(PromptedOptions):
    """EasyAnimate 5.1, camera control. It is told every camera as a ray per pixel, so the path is kept."""

    num_frames: int = 0
    """Frames of the clip, a multiple of 4 plus 1, at most 49; 0 makes 49."""
    steps: int = 40
    guidance: float = 6.0
    scale: float = 1.0
    """Units of the model for one unit of the path; more makes the same path look longer to it."""

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip along the path, with the cameras that the model followed.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        import torch

        shot = plan_shot(image, trajectory, "easyanimate", self)
        opened = open_pipeline("easyanimate", self, pixels=shot.pixels)
        repair(opened.pipe)
        still = torch.from_numpy(shot.still).permute(2, 0, 1)[None, :, None].float() / 255  # [1, 3, 1, H, W]
        arguments = {
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "ref_image": still,
            "control_camera_video": torch.from_numpy(easyanimate_from_cameras(shot.cameras, scale=self.scale)),
            "num_frames": len(shot),
            **shot.size,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        return shot.frames(rgb, fps=CARDS["easyanimate"].fps, cameras=shot.cameras)


def repair(pipe: Any) -> None:
    """Let the pipeline run: in diffusers 0.42 it calls a method with an argument that it lacks, and one it has not."""
    encode = pipe.encode_prompt
    if "text_encoder_index" not in inspect.signature(encode).parameters:
        pipe.encode_prompt = lambda text_encoder_index=0, **arguments: encode(**arguments)
    if not hasattr(pipe, "decode_latents"):
        # As EasyAnimatePipeline decodes.
        pipe.decode_latents = lambda latents: pipe.vae.decode(
            latents / pipe.vae.config.scaling_factor, return_dict=False
        )[0]
