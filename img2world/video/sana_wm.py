"""SANA-WM (Zhu et al. 2026): a world model that follows the cameras it is told."""

from dataclasses import dataclass

from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.camera_conventions import cameras_from_sana_wm, sana_wm_from_cameras
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import PromptedOptions
from img2world.video.diffusion.pipelines import call, frames_of, open_pipeline
from img2world.video.diffusion.prompts import prompt_for
from img2world.video.diffusion.shot import plan_shot


@dataclass(frozen=True, kw_only=True)
class SanaWmVideo(PromptedOptions):
    """SANA-WM. It is told every camera and returns them with the frames: the first choice on a GPU."""

    num_frames: int = 0
    """Frames of the clip, a multiple of 8 plus 1; 0 makes 161."""
    steps: int = 60
    guidance: float = 5.0
    scale: float = 1.5
    """Metres for one unit of the path, which is the distance from the picture's camera to what it turns about."""

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip along the path, with the cameras that the model followed.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "sana-wm", self)
        opened = open_pipeline("sana-wm", self, pixels=shot.pixels)
        c2w, intrinsics = sana_wm_from_cameras(shot.cameras, scale=self.scale)
        arguments = {
            "image": PillowImage.fromarray(shot.still),
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "c2w": c2w,
            "intrinsics": intrinsics,
            "num_frames": len(shot),
            **shot.size,
            "fps": round(CARDS["sana-wm"].fps),
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }
        output = call(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        cameras = cameras_from_sana_wm(output.c2w, shot.cameras, scale=self.scale)
        return shot.frames(frames_of(output.frames, opened), fps=CARDS["sana-wm"].fps, cameras=cameras)
