"""Cosmos Predict 2 (NVIDIA 2025): a world model that continues a picture."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.errors import MissingPackageError, VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.options import PromptedOptions
from img2world.video.diffusion.pipelines import open_pipeline, pipeline_class, sample
from img2world.video.diffusion.prompts import prompt_for
from img2world.video.diffusion.shot import plan_shot


@dataclass(frozen=True, kw_only=True)
class CosmosVideo(PromptedOptions):
    """Cosmos Predict 2. It moves the camera as it is told in words, so poses must be estimated after."""

    num_frames: int = 0
    """Frames of the clip, a multiple of 4 plus 1; 0 makes 93."""
    steps: int = 35
    guidance: float = 7.0

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        check_guardrail()
        shot = plan_shot(image, trajectory, "cosmos", self)
        opened = open_pipeline("cosmos", self, pixels=shot.pixels)
        provide_resize()
        arguments = {
            "image": PillowImage.fromarray(shot.still),
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "fps": round(CARDS["cosmos"].fps),
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }
        try:
            rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        except ValueError as error:
            if "Guardrail" not in str(error):
                raise
            raise VideoError(
                "the guardrail of Cosmos refuses the prompt", hint="describe the picture in other words: video.prompt"
            ) from error
        return shot.frames(rgb, fps=CARDS["cosmos"].fps)


def check_guardrail() -> None:
    """Raises MissingPackageError without the guardrail that the licence demands."""
    pipeline_class("cosmos")
    from diffusers.utils import import_utils

    if not import_utils.is_cosmos_guardrail_available():
        raise MissingPackageError(
            "the video backend cosmos needs cosmos_guardrail, which its licence demands and is not installed",
            hint="pip install cosmos_guardrail",
        )


def provide_resize() -> None:
    """Give the transformer the one function of torchvision that it uses, where torchvision is not installed.

    Its module asks for torchvision without saying so (diffusers 0.42, transformer_cosmos: the padding mask is
    resized to the latent frame by the nearest pixel).
    """
    from diffusers.models.transformers import transformer_cosmos

    if hasattr(transformer_cosmos, "transforms"):
        return
    from torch.nn.functional import interpolate

    def resize(mask: Any, size: list[int], interpolation: Any = None) -> Any:
        return interpolate(mask, size=tuple(size), mode="nearest")

    nearest = SimpleNamespace(NEAREST="nearest")
    transforms = SimpleNamespace(functional=SimpleNamespace(resize=resize), InterpolationMode=nearest)
    transformer_cosmos.__dict__["transforms"] = transforms
