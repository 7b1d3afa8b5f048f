"""Wan image to video (Wan Team 2025)."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.errors import MissingPackageError, VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import PromptedOptions
from img2world.video.diffusion.pipelines import Opened, open_pipeline, sample
from img2world.video.diffusion.prompts import prompt_for
from img2world.video.diffusion.shot import plan_shot


@dataclass(frozen=True, kw_only=True)
class WanVideo(PromptedOptions):
    """Wan 2.1 and 2.2, image to video. It moves the camera as it is told in words, so poses must be estimated after."""

    lora: str = ""
    """A file or folder of LoRA weights on top, such as one trained on orbits."""
    lora_strength: float = 1.0
    loop: bool = False
    """End with the first picture, so that an orbit closes; needs a first-and-last-frame checkpoint, or Wan 2.2."""
    num_frames: int = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 81."""
    steps: int = 40
    guidance: float = 5.0

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "wan", self)
        opened = open_pipeline("wan", self, pixels=shot.pixels)
        if self.lora:
            add_lora(opened, self.lora, self.lora_strength)
        still = PillowImage.fromarray(shot.still)
        if self.loop:
            check_loop(opened)
        arguments = {
            "image": still,
            "last_image": still if self.loop else None,
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        return shot.frames(rgb, fps=CARDS["wan"].fps)


def check_loop(opened: Opened) -> None:
    """Raises VideoError when the checkpoint cannot be given a last picture."""
    transformer = opened.pipe.components.get("transformer")
    config = getattr(transformer, "config", {})
    # Checkpoints that see the picture through CLIP need places for a second one (WanTransformer3DModel).
    if config.get("image_dim") is not None and config.get("pos_embed_seq_len") is None:
        raise VideoError(
            "video.loop needs a checkpoint for a first and a last frame, this one takes a first frame only",
            hint="use Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers or a Wan 2.2 checkpoint, or set video.loop=false",
        )


def add_lora(opened: Opened, lora: str, strength: float) -> None:
    """Lay LoRA weights from a local file or folder on top of the model's. Raises VideoError."""
    if find_spec("peft") is None:
        raise MissingPackageError("video.lora needs peft, which is not installed", hint="pip install peft")
    path = Path(lora).expanduser()
    if not path.exists():
        raise VideoError(f"the LoRA weights do not exist: {path}", hint="check video.lora")
    pipe: Any = opened.pipe
    try:
        pipe.load_lora_weights(path, adapter_name="img2world", local_files_only=True)
        pipe.set_adapters(["img2world"], [strength])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise VideoError(
            f"the LoRA weights do not fit the model: {said} ({path})", hint="use weights made for this checkpoint"
        ) from error
