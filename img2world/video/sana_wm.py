"""SANA-WM (Zhu et al. 2026): a world model that follows a given camera trajectory."""

from dataclasses import dataclass

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt, PositiveInt
from img2world.core.subject import Subject
from img2world.video.diffusion.camera_conventions import cameras_from_sana_wm, sana_wm_from_cameras
from img2world.video.diffusion.conditioning import plan_conditioning
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import load_pipeline, run, to_rgb
from img2world.video.diffusion.prompts import NEGATIVE_PROMPT


@dataclass(frozen=True, kw_only=True)
class SanaWmVideo:
    """SANA-WM. It takes the camera of every frame and returns it with the clip: the first choice on a GPU."""

    checkpoint: str = ""
    """Folder or hub name of the weights; empty takes the choice of `img2world models use`, or the released weights."""
    prompt: str = ""
    """Description of the picture in a few words; a text with {camera} in it replaces the whole prompt."""
    negative_prompt: str = NEGATIVE_PROMPT
    """Description of what the clip must not show."""
    num_frames: NonNegativeInt = 0
    """Frames of the clip, a multiple of 8 plus 1; 0 makes 161."""
    width: NonNegativeInt = 0
    """Width of a frame in pixels; 0 takes what suits the model and the picture."""
    height: NonNegativeInt = 0
    scale: float = 1.5
    """Metres per unit of the trajectory; a unit is the distance from the input camera to the centre of the scene."""
    steps: PositiveInt = 60
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
        conditioning = plan_conditioning("sana-wm", self, subject, trajectory)
        loaded = load_pipeline("sana-wm", self, num_pixels=conditioning.num_pixels)
        c2w, intrinsics = sana_wm_from_cameras(conditioning.cameras, scale=self.scale)
        arguments = {
            **conditioning.text_arguments(self),
            "image": conditioning.image,
            "c2w": c2w,
            "intrinsics": intrinsics,
            "fps": round(conditioning.fps),
        }
        output = run(loaded, arguments, steps=self.steps, seed=seed, progress=progress)
        cameras = cameras_from_sana_wm(output.c2w, conditioning.cameras, scale=self.scale)
        return conditioning.to_frames(to_rgb(output.frames, loaded.name), cameras=cameras)
