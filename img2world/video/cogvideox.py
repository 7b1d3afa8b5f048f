"""CogVideoX image to video (Yang et al. 2024)."""

from dataclasses import dataclass

from PIL import Image as PillowImage

from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.progress import Progress, silent
from img2world.video.diffusion.cards import CARDS
from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.pipelines import open_pipeline, sample
from img2world.video.diffusion.prompts import NEGATIVE, prompt_for
from img2world.video.diffusion.shot import Kind, plan_shot


@dataclass(frozen=True, kw_only=True)
class CogVideoXVideo:
    """CogVideoX. It moves the camera as it is told in words, so poses must be estimated after."""

    checkpoint: str = ""
    """A folder of weights or a name on the hub; empty takes what `img2world models use` chose, or the usual one."""
    prompt: str = ""
    """What the picture shows, in a few words; words with {camera} in them replace the whole template."""
    negative_prompt: str = NEGATIVE
    num_frames: int = 0
    """Frames of the clip, a multiple of 8 plus 1; 0 makes 49."""
    width: int = 0
    """Of the frames in pixels; 0 takes what suits the model and the picture."""
    height: int = 0
    steps: int = 50
    guidance: float = 6.0
    kind: Kind = "auto"
    """"object" or "scene" overrules what the picture looks like."""
    offload: Offload = "auto"
    """Where weights wait that do not fit: none, model, group or sequential, from fast to small."""
    precision: Precision = "auto"
    quantize: Quantize = "none"
    """int8 (torchao) or int4 (bitsandbytes) holds the weights in fewer bits."""

    def generate(
        self, image: Image | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """A clip that starts with the picture; how the camera moves is not known.

        Raises VideoError or MissingPackageError when the model cannot run.
        """
        shot = plan_shot(image, trajectory, "cogvideox", self)
        opened = open_pipeline("cogvideox", self, pixels=shot.pixels)
        arguments = {
            "image": PillowImage.fromarray(shot.still),
            "prompt": prompt_for(self.prompt, is_object=shot.is_object),
            "negative_prompt": self.negative_prompt,
            "num_frames": len(shot),
            **shot.size,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "use_dynamic_cfg": True,
        }
        rgb = sample(opened, arguments, steps=self.steps, seed=seed, progress=progress)
        return shot.frames(rgb, fps=CARDS["cogvideox"].fps)
