"""FramePack on HunyuanVideo (Zhang and Agrawala 2025): clips of any length in a fixed amount of memory."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt, PositiveInt
from img2world.core.subject import Subject
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.conditioning import plan_conditioning
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import load_pipeline, sample
from img2world.video.diffusion.prompts import NEGATIVE_PROMPT


@dataclass(frozen=True, kw_only=True)
class HunyuanVideo:
    """HunyuanVideo with FramePack. The camera follows the prompt loosely, so poses must be estimated."""

    checkpoint: str = ""
    """Folder or hub name of the weights; empty takes the choice of `img2world models use`, or the released weights."""
    prompt: str = ""
    """Description of the picture in a few words; a text with {camera} in it replaces the whole prompt."""
    negative_prompt: str = NEGATIVE_PROMPT
    """Description of what the clip must not show."""
    loop: bool = False
    """End with the picture, so that an orbit closes."""
    num_frames: NonNegativeInt = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 97."""
    width: NonNegativeInt = 0
    """Width of a frame in pixels; 0 takes what suits the model and the picture."""
    height: NonNegativeInt = 0
    window: int = 9
    """Latent frames, each of four frames, that are generated at a time; fewer take less memory."""
    steps: PositiveInt = 30
    """Denoising steps for each window."""
    guidance: float = 9.0
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
        conditioning = plan_conditioning("hunyuan", self, subject, trajectory)
        loaded = load_pipeline("hunyuan", self, num_pixels=conditioning.num_pixels)
        picture = conditioning.image
        arguments = {
            **conditioning.text_arguments(self),
            "image": picture,
            "last_image": picture if self.loop else None,
            "latent_window_size": self.window,
        }
        window_frames = (self.window - 1) * CARDS["hunyuan"].step + 1
        steps = self.steps * -(-len(conditioning) // window_frames)
        rgb = sample(loaded, arguments, steps=steps, seed=seed, progress=progress)
        return conditioning.to_frames(select_evenly(rgb, len(conditioning)))


def select_evenly(rgb: UInt8[np.ndarray, "V H W 3"], count: int) -> UInt8[np.ndarray, "C H W 3"]:
    """Return at most `count` frames in even steps, with the first and the last: whole windows make more than needed."""
    if len(rgb) <= count:
        return rgb
    return rgb[np.linspace(0, len(rgb) - 1, count).round().astype(np.int64)]
