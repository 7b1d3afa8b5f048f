"""Stable Video Diffusion (Blattmann et al. 2023)."""

from dataclasses import dataclass

from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import DiffusionOptions
from img2world.video.diffusion.pipelines import open_pipeline, sample
from img2world.video.diffusion.shot import plan_shot


@dataclass(frozen=True, kw_only=True)
class SvdVideo(DiffusionOptions):
    """Stable Video Diffusion. It moves the camera as it likes, so poses must be estimated after."""

    num_frames: int = 0
    """Frames of the clip; 0 makes 25."""
    motion_bucket: int = 127
    """Strength of motion, 1 to 255."""
    noise: float = 0.02
    """Noise on the picture; more of it lets the model move more and keep less."""
    steps: int = 25
    guidance: float = 3.0
    """Of the last frame; the first has 1."""
    decode_chunk: int = 8
    """Frames that are decoded at a time; fewer take less memory."""

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "svd", self)
        opened = open_pipeline("svd", self, pixels=shot.pixels)
        arguments = {
            "image": PillowImage.fromarray(shot.still),
            "num_frames": len(shot),
            **shot.size,
            "num_inference_steps": self.steps,
            "max_guidance_scale": self.guidance,
            "motion_bucket_id": self.motion_bucket,
            "noise_aug_strength": self.noise,
            "decode_chunk_size": self.decode_chunk,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        return shot.frames(rgb, fps=CARDS["svd"].fps)
