"""LTX-Video (HaCohen et al. 2024)."""

from dataclasses import dataclass

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt, PositiveInt
from img2world.core.subject import Subject
from img2world.video.diffusion.conditioning import plan_conditioning
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import load_pipeline, sample
from img2world.video.diffusion.prompts import NEGATIVE_PROMPT


@dataclass(frozen=True, kw_only=True)
class LtxVideo:
    """LTX-Video. Fast. The prompt describes the camera's motion, which it follows loosely: poses must be estimated."""

    checkpoint: str = ""
    """Folder or hub name of the weights; empty takes the choice of `img2world models use`, or the released weights."""
    prompt: str = ""
    """Description of the picture in a few words; a text with {camera} in it replaces the whole prompt."""
    negative_prompt: str = NEGATIVE_PROMPT
    """Description of what the clip must not show."""
    loop: bool = False
    """End with the picture, so that an orbit closes."""
    num_frames: NonNegativeInt = 0
    """Frames of the clip, a multiple of 8 plus 1; 0 makes 121."""
    width: NonNegativeInt = 0
    """Width of a frame in pixels; 0 takes what suits the model and the picture."""
    height: NonNegativeInt = 0
    steps: PositiveInt = 8
    """4 to 10 for distilled checkpoints, 30 to 50 for others."""
    guidance: float = 1.0
    """1 for distilled checkpoints, 3 to 5 for others."""
    offload: Offload = "auto"
    """Offloading of weights that do not fit the GPU: none, model, group or sequential, from fast to small."""
    precision: Precision = "auto"
    """float32, float16 or bfloat16; auto takes 16 bits on a GPU and 32 on a CPU."""
    quantize: Quantize = "none"
    """int8 (torchao) or int4 (bitsandbytes) holds the transformer in fewer bits."""

    def generate(
        self, subject: Subject | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """Generate a clip that starts with the picture; its cameras are unknown.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        conditioning = plan_conditioning("ltx", self, subject, trajectory)
        loaded = load_pipeline("ltx", self, num_pixels=conditioning.num_pixels)
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        fixed_frames = [0, len(conditioning) - 1] if self.loop else [0]
        arguments = {
            **conditioning.text_arguments(self),
            "conditions": [LTXVideoCondition(image=conditioning.image, frame_index=index) for index in fixed_frames],
            "frame_rate": round(conditioning.fps),
            # The decoder takes a last step of denoising (diffusers, LTX-Video, example for 0.9.1 and later).
            "decode_timestep": 0.05,
            "decode_noise_scale": 0.025,
        }
        rgb = sample(loaded, arguments, steps=self.steps, seed=seed, progress=progress)
        return conditioning.to_frames(rgb)
