"""Wan image to video (Wan Team 2025)."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from img2world.core.cameras import Cameras
from img2world.core.errors import MissingPackageError, VideoError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt, PositiveInt
from img2world.core.subject import Subject
from img2world.core.weights import NO_WEIGHTS, Weights
from img2world.video.diffusion.conditioning import plan_conditioning
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import LoadedPipeline, load_pipeline, sample
from img2world.video.diffusion.prompts import NEGATIVE_PROMPT


@dataclass(frozen=True, kw_only=True)
class WanVideo:
    """Wan 2.1 and 2.2, image to video. The camera follows the prompt loosely, so poses must be estimated."""

    checkpoint: str = ""
    """Folder or hub name of the weights; empty takes the choice of `img2world models use`, or the released weights."""
    prompt: str = ""
    """Description of the picture in a few words; a text with {camera} in it replaces the whole prompt."""
    negative_prompt: str = NEGATIVE_PROMPT
    """Description of what the clip must not show."""
    lora: Weights = NO_WEIGHTS
    """File or folder of LoRA weights to add, such as weights trained on orbits."""
    lora_strength: float = 1.0
    loop: bool = False
    """End with the picture, so that an orbit closes; needs a first-and-last-frame checkpoint, or Wan 2.2."""
    num_frames: NonNegativeInt = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 81."""
    width: NonNegativeInt = 0
    """Width of a frame in pixels; 0 takes what suits the model and the picture."""
    height: NonNegativeInt = 0
    steps: PositiveInt = 40
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
        """Generate a clip that starts with the picture; its cameras are unknown.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        conditioning = plan_conditioning("wan", self, subject, trajectory)
        loaded = load_pipeline("wan", self, num_pixels=conditioning.num_pixels)
        if self.lora:
            add_lora(loaded, Path(self.lora).expanduser(), self.lora_strength)
        if self.loop:
            check_loop(loaded)
        picture = conditioning.image
        arguments = {
            **conditioning.text_arguments(self),
            "image": picture,
            "last_image": picture if self.loop else None,
        }
        rgb = sample(loaded, arguments, steps=self.steps, seed=seed, progress=progress)
        return conditioning.to_frames(rgb)


def check_loop(loaded: LoadedPipeline) -> None:
    """Raise VideoError when the checkpoint takes no last frame."""
    transformer = loaded.pipe.components.get("transformer")
    config = getattr(transformer, "config", {})
    # Checkpoints that see the picture through CLIP need positions for a second one (WanTransformer3DModel).
    if config.get("image_dim") is not None and config.get("pos_embed_seq_len") is None:
        raise VideoError(
            "video.loop needs a checkpoint for a first and a last frame, this one takes a first frame only",
            hint="use Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers or a Wan 2.2 checkpoint, or set video.loop=false",
        )


def add_lora(loaded: LoadedPipeline, lora: Path, strength: float) -> None:
    """Add LoRA weights from a local file or folder to the model. Raises VideoError or MissingPackageError."""
    if find_spec("peft") is None:
        raise MissingPackageError("video.lora needs peft, which is not installed", hint="pip install peft")
    if not lora.exists():
        raise VideoError(f"the LoRA weights do not exist: {lora}", hint="check video.lora")
    pipe: Any = loaded.pipe
    try:
        pipe.load_lora_weights(lora, adapter_name="img2world", local_files_only=True)
        pipe.set_adapters(["img2world"], [strength])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise VideoError(
            f"the LoRA weights do not fit the model: {reason} ({lora})", hint="use weights made for this checkpoint"
        ) from error
