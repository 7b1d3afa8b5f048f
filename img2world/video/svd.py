"""Stable Video Diffusion (Blattmann et al. 2023)."""

from dataclasses import dataclass

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt, PositiveInt
from img2world.core.subject import Subject
from img2world.video.diffusion.conditioning import plan_conditioning
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import load_pipeline, sample

DECODE_CHUNK = 8
"""Frames that are decoded at a time, to save memory (diffusers documentation, SVD)."""


@dataclass(frozen=True, kw_only=True)
class SvdVideo:
    """Stable Video Diffusion. Its camera cannot be controlled, so poses must be estimated."""

    checkpoint: str = ""
    """Folder or hub name of the weights; empty takes the choice of `img2world models use`, or the released weights."""
    num_frames: NonNegativeInt = 0
    """Frames of the clip; 0 makes 25."""
    width: NonNegativeInt = 0
    """Width of a frame in pixels; 0 takes what suits the model and the picture."""
    height: NonNegativeInt = 0
    motion_bucket: int = 127
    """Strength of the motion, 1 to 255."""
    steps: PositiveInt = 25
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
        conditioning = plan_conditioning("svd", self, subject, trajectory)
        loaded = load_pipeline("svd", self, num_pixels=conditioning.num_pixels)
        arguments = {
            "image": conditioning.image,
            "num_frames": len(conditioning),
            **conditioning.size,
            "num_inference_steps": self.steps,
            "motion_bucket_id": self.motion_bucket,
            "decode_chunk_size": DECODE_CHUNK,
        }
        rgb = sample(loaded, arguments, steps=self.steps, seed=seed, progress=progress)
        return conditioning.to_frames(rgb)
