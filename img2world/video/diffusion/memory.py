"""How a model that may be larger than the GPU is held in memory, chosen before it starts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from img2world.core.errors import MissingPackageError, VideoError

if TYPE_CHECKING:
    import torch
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

Offload = Literal["auto", "none", "model", "group", "sequential"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]
Quantize = Literal["none", "int8", "int4"]

LADDER: tuple[Offload, ...] = ("none", "model", "group", "sequential")
"""From fast to small: all weights on the GPU; one component; a few layers; one layer."""

GROUP_GB, SEQUENTIAL_GB = 2.0, 0.7
"""Weights on the GPU at a time with the last two; our estimate, the models differ little in the size of a layer."""

MARGIN = 0.9
"""Share of the free memory that is planned with."""

QUANTIZERS = {"int8": ("torchao", "torchao"), "int4": ("bitsandbytes", "bitsandbytes")}
"""Module that each kind needs, and what pip is told."""

SHRINKS = {"none": 1.0, "int8": 0.55, "int4": 0.3}
"""Share of the transformer that is left, compared with 16 bits."""


@runtime_checkable
class MemoryOptions(Protocol):
    """The options that every backend of a big model has."""

    @property
    def offload(self) -> Offload:
        """Where the weights wait."""
        ...

    @property
    def precision(self) -> Precision:
        """How numbers are held."""
        ...

    @property
    def quantize(self) -> Quantize:
        """How the transformer's weights are held."""
        ...


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What will be done, and about how much memory it takes."""

    device: str
    offload: Offload
    weights_gb: float
    """All weights."""
    needed_gb: float
    """At the same time on the device."""
    free_gb: float
    """On the device now."""

    @property
    def tiled(self) -> bool:
        """Whether pictures are decoded piece by piece, which costs a little time."""
        return self.offload != "none"

    @property
    def summary(self) -> str:
        """One line for people."""
        held = {
            "none": "all weights at once",
            "model": "one component at a time (offload=model)",
            "group": "a few layers at a time (offload=group)",
            "sequential": "one layer at a time (offload=sequential), slow",
        }[self.offload]
        place = "the GPU" if self.device == "cuda" else "memory"
        return (
            f"weights {self.weights_gb:.1f} GB; holds {held}; takes about {self.needed_gb:.1f} GB of {place}, "
            f"{self.free_gb:.1f} GB are free"
        )

    def next_setting(self) -> str:
        """What to try when this plan did not fit."""
        if self.device == "cuda" and self.offload != LADDER[-1]:
            return f"--set video.offload={LADDER[LADDER.index(self.offload) + 1]}"
        if self.device == "cuda":
            return "--set video.quantize=int8, fewer frames (video.num_frames) or a smaller video.width and height"
        return "--set video.precision=bfloat16, fewer frames (video.num_frames) or a smaller video.width and height"


def plan_memory(
    weights: Mapping[str, int], *, working_gb: float, offload: Offload, device: str, free_gb: float
) -> MemoryPlan:
    """The fastest way that fits, or the one that was asked for. `weights` are bytes by component.

    Raises VideoError when a way was asked for that needs a GPU, and there is none.
    """
    chosen: Offload
    total, largest = sum(weights.values()) / 1e9, max(weights.values(), default=0) / 1e9
    needs: dict[Offload, float] = {
        "none": total + working_gb,
        "model": largest + working_gb,
        "group": min(GROUP_GB, largest) + working_gb,
        "sequential": min(SEQUENTIAL_GB, largest) + working_gb,
    }
    if device != "cuda":
        if offload not in ("auto", "none"):
            raise VideoError(
                f"video.offload is {offload}, which moves weights to a GPU, and there is none",
                hint="leave video.offload at auto",
            )
        chosen = "none"
    elif offload != "auto":
        chosen = offload
    else:
        chosen = "sequential"
        for way in reversed(LADDER):
            chosen = way if needs[way] <= MARGIN * free_gb else chosen
    return MemoryPlan(device=device, offload=chosen, weights_gb=total, needed_gb=needs[chosen], free_gb=free_gb)


def place(pipe: "DiffusionPipeline", plan: MemoryPlan) -> None:
    """Put a loaded pipeline where the plan says."""
    import torch

    if plan.offload == "model":
        pipe.enable_model_cpu_offload()
    elif plan.offload == "sequential":
        pipe.enable_sequential_cpu_offload()
    elif plan.offload == "group":
        pipe.enable_group_offload(onload_device=torch.device(plan.device), offload_type="leaf_level")
    else:
        pipe.to(plan.device)
    vae = getattr(pipe, "vae", None)
    for switch in ("enable_tiling", "enable_slicing"):
        # Some autoencoders have only one of the two.
        if plan.tiled and hasattr(vae, switch):
            getattr(vae, switch)()


def weights_of(pipe: "DiffusionPipeline") -> dict[str, int]:
    """Bytes of each component that has weights."""
    import torch

    return {
        name: sum(value.numel() * value.element_size() for value in part.parameters())
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }


def device_and_free_gb() -> tuple[str, float]:
    """Where models run, and the memory that is free there."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.mem_get_info()[0] / 1e9
    return "cpu", _free_memory_gb()


def dtype_of(precision: Precision, device: str) -> "torch.dtype":
    """How numbers are held: 16 bits on a GPU, 32 on a CPU, where 16 are slower."""
    import torch

    if precision != "auto":
        return getattr(torch, precision)
    if device != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_quantizer(quantize: Quantize) -> None:
    """Raises MissingPackageError when the package is missing that holds weights in fewer bits."""
    from importlib.util import find_spec

    if quantize != "none" and find_spec(QUANTIZERS[quantize][0]) is None:
        package = QUANTIZERS[quantize][1]
        raise MissingPackageError(
            f"video.quantize={quantize} needs {package}, which is not installed", hint=f"pip install {package}"
        )


@contextmanager
def clear_memory_errors(plan: MemoryPlan, doing: str) -> Iterator[None]:
    """Turn running out of memory into a VideoError that names the next setting to try."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(plan, doing) from error
    except RuntimeError as error:
        # The CPU's allocator has no error class of its own.
        if "can't allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise _out_of_memory(plan, doing) from error


def _out_of_memory(plan: MemoryPlan, doing: str) -> VideoError:
    """The refusal, with figures."""
    place = "GPU memory" if plan.device == "cuda" else "memory"
    return VideoError(
        f"{doing} ran out of {place}: {plan.free_gb:.1f} GB were free, about {plan.needed_gb:.1f} GB were expected "
        f"with offload={plan.offload}",
        hint=f"try {plan.next_setting()}",
    )


def _free_memory_gb() -> float:
    """Memory that can be had without swapping."""
    import os

    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024 / 1e9
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
