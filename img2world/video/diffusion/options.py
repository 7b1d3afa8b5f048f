"""The options that all backends of big video models have, as types for the functions that read them.

Each backend lists the options in its own fields, with their defaults and meaning.
"""

from typing import Protocol, runtime_checkable

from img2world.video.diffusion.memory import Offload, Precision, Quantize


@runtime_checkable
class ModelOptions(Protocol):
    """The weights, how they are held in memory, and the clip that is made."""

    @property
    def checkpoint(self) -> str:
        """Folder or hub name of the weights, or empty."""
        ...

    @property
    def offload(self) -> Offload:
        """Offloading of weights that do not fit the GPU."""
        ...

    @property
    def precision(self) -> Precision:
        """Type of the weights and activations."""
        ...

    @property
    def quantize(self) -> Quantize:
        """Number of bits of the transformer's weights."""
        ...

    @property
    def num_frames(self) -> int:
        """Frames of the clip, or 0."""
        ...

    @property
    def width(self) -> int:
        """Width of a frame in pixels, or 0."""
        ...

    @property
    def height(self) -> int:
        """Height of a frame in pixels, or 0."""
        ...


@runtime_checkable
class PromptedOptions(ModelOptions, Protocol):
    """The same for a model that reads text."""

    @property
    def prompt(self) -> str:
        """Description of the picture, or a whole prompt."""
        ...

    @property
    def negative_prompt(self) -> str:
        """Description of what the clip must not show."""
        ...

    @property
    def steps(self) -> int:
        """Denoising steps."""
        ...

    @property
    def guidance(self) -> float:
        """Scale of classifier-free guidance."""
        ...
