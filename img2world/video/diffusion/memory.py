"""Plan how a model that may be larger than the GPU is held in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from img2world.core.errors import MissingPackageError, VideoError

if TYPE_CHECKING:
    import torch
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

Offload = Literal["auto", "none", "model", "group", "sequential"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]
Quantize = Literal["none", "int8", "int4"]

OFFLOADS: tuple[Offload, ...] = ("none", "model", "group", "sequential")
"""From fast to small. On the GPU at a time are all weights; one component; a few layers; one layer."""

GROUP_GB, SEQUENTIAL_GB = 2.0, 0.7
"""Weights on the GPU at a time with group and sequential offload: our estimate for layers of the usual size."""

PLANNED_FRACTION = 0.9
"""Fraction of the free memory that a plan may use."""

QUANTIZERS = {"int8": "torchao", "int4": "bitsandbytes"}
"""Packages that hold weights in fewer bits."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """The placement of a model in memory, and its approximate need in units of 10^9 bytes."""

    device: str
    offload: Offload
    weights_gb: float
    """All weights, wherever they are."""
    needed_gb: float
    """Peak on the device."""
    free_gb: float
    """Free on the device before the model is placed."""

    @property
    def tiled(self) -> bool:
        """True when frames are decoded in tiles, which saves memory and takes a little longer."""
        return self.offload != "none"

    @property
    def summary(self) -> str:
        """The plan in one line."""
        held = {
            "none": "all weights at once",
            "model": "one component at a time (offload=model)",
            "group": "a few layers at a time (offload=group)",
            "sequential": "one layer at a time (offload=sequential), slow",
        }[self.offload]
        place = "GPU memory" if self.device == "cuda" else "memory"
        return (
            f"weights {self.weights_gb:.1f} GB; holds {held}; takes about {self.needed_gb:.1f} GB of {place}; "
            f"{self.free_gb:.1f} GB are free"
        )

    def next_setting(self) -> str:
        """Return the options to try when this plan did not fit."""
        if self.device == "cuda" and self.offload != OFFLOADS[-1]:
            return f"--set video.offload={OFFLOADS[OFFLOADS.index(self.offload) + 1]}"
        if self.device == "cuda":
            return "--set video.quantize=int8, fewer frames (video.num_frames) or a smaller video.width and height"
        return "--set video.precision=bfloat16, fewer frames (video.num_frames) or a smaller video.width and height"


def plan_memory(
    weights: Mapping[str, int], *, working_gb: float, offload: Offload, device: str, free_gb: float
) -> MemoryPlan:
    """Return the plan with the fastest offload that fits, or with the given one. `weights` are bytes by component.

    Raises VideoError when the given offload needs a GPU and there is none.
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
                f"video.offload is {offload}, which needs a GPU, and there is none",
                hint="leave video.offload at auto",
            )
        chosen = "none"
    elif offload != "auto":
        chosen = offload
    else:
        fitting: list[Offload] = [way for way in OFFLOADS if needs[way] <= PLANNED_FRACTION * free_gb]
        chosen = fitting[0] if fitting else OFFLOADS[-1]
    return MemoryPlan(device=device, offload=chosen, weights_gb=total, needed_gb=needs[chosen], free_gb=free_gb)


def place_pipeline(pipe: "DiffusionPipeline", plan: MemoryPlan) -> None:
    """Move a loaded pipeline to where the plan says."""
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


def weight_bytes(pipe: "DiffusionPipeline") -> dict[str, int]:
    """Return the bytes of the weights of each component that has any."""
    import torch

    return {
        name: sum(value.numel() * value.element_size() for value in part.parameters())
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }


def device_and_free_gb() -> tuple[str, float]:
    """Return the device that models run on, and its free memory in 10^9 bytes."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.mem_get_info()[0] / 1e9
    return "cpu", _available_memory_gb()


def dtype_of(precision: Precision, device: str) -> "torch.dtype":
    """Return the type of the weights; "auto" is 16 bits on a GPU, and 32 on a CPU, where 16 are slower."""
    import torch

    if precision != "auto":
        return getattr(torch, precision)
    if device != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_quantizer(quantize: Quantize) -> None:
    """Raise MissingPackageError when the package that quantizes weights is missing."""
    from importlib.util import find_spec

    package = QUANTIZERS.get(quantize)
    if package and find_spec(package) is None:
        raise MissingPackageError(
            f"video.quantize={quantize} needs {package}, which is not installed", hint=f"pip install {package}"
        )


@contextmanager
def explain_memory_errors(plan: MemoryPlan, action: str) -> Iterator[None]:
    """Turn running out of memory into a VideoError that names the next option to try."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(plan, action) from error
    except RuntimeError as error:
        # The CPU's allocator has no error class of its own.
        if "can't allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise _out_of_memory(plan, action) from error


def _out_of_memory(plan: MemoryPlan, action: str) -> VideoError:
    """Return the error, with figures."""
    place = "GPU memory" if plan.device == "cuda" else "memory"
    return VideoError(
        f"{action} ran out of {place}: {plan.free_gb:.1f} GB were free, about {plan.needed_gb:.1f} GB were expected "
        f"with offload={plan.offload}",
        hint=f"try {plan.next_setting()}",
    )


def _available_memory_gb() -> float:
    """Return the memory that is available without swapping, in 10^9 bytes."""
    import os

    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024 / 1e9
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
