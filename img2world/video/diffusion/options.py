"""The options that all big video models have."""

from dataclasses import dataclass

from img2world.video.diffusion.memory import Offload, Precision, Quantize
from img2world.video.diffusion.prompts import NEGATIVE
from img2world.video.diffusion.shot import Kind


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions:
    """What to load, how large a clip to make, and where the weights wait."""

    checkpoint: str = ""
    """A folder of weights or a name on the hub; empty takes what `img2world models use` chose, or the usual one."""
    num_frames: int = 0
    """Frames of the clip; 0 makes as many as suit the model."""
    width: int = 0
    """Of the frames in pixels; 0 takes what suits the model and the picture."""
    height: int = 0
    kind: Kind = "auto"
    """"object" or "scene" overrules what the picture looks like."""
    offload: Offload = "auto"
    """Where weights wait that do not fit: none, model, group or sequential, from fast to small."""
    precision: Precision = "auto"
    quantize: Quantize = "none"
    """int8 (torchao) or int4 (bitsandbytes) holds the weights in fewer bits."""


@dataclass(frozen=True, kw_only=True)
class PromptedOptions(DiffusionOptions):
    """Those of the models that read words."""

    prompt: str = ""
    """What the picture shows, in a few words; words with {camera} in them replace the whole template."""
    negative_prompt: str = NEGATIVE
