"""From a checkpoint to a pipeline in memory, and from a pipeline to frames."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from img2world.core.errors import MissingPackageError, VideoError
from img2world.core.progress import Progress, silent
from img2world.video.diffusion import checkpoints
from img2world.video.diffusion.cards import CARDS, Card
from img2world.video.diffusion.memory import (
    MemoryOptions,
    MemoryPlan,
    check_quantizer,
    clear_memory_errors,
    device_and_free_gb,
    dtype_of,
    place,
    plan_memory,
    weights_of,
)

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

PACKAGES = ("diffusers", "transformers", "accelerate", "ftfy", "sentencepiece")


@runtime_checkable
class ModelOptions(MemoryOptions, Protocol):
    """The options of a backend that decide which weights are loaded, and how."""

    @property
    def checkpoint(self) -> str:
        """A folder, a name on the hub, or empty for the usual one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A pipeline that is ready to run."""

    name: str
    pipe: "DiffusionPipeline"
    plan: MemoryPlan


def open_pipeline(name: str, options: ModelOptions, *, pixels: int = 0) -> Opened:
    """Load the model of a backend, and place it as its memory plan says. `pixels` counts those of the whole clip.

    Raises MissingPackageError when diffusers or a part of it is missing or too old, VideoError when the
    checkpoint is missing, of another kind or broken, or there is too little memory.
    """
    card = CARDS[name]
    kind = pipeline_class(name)
    check_quantizer(options.quantize)
    path = checkpoints.find_checkpoint(name, options.checkpoint)
    device, free_gb = device_and_free_gb()
    working_gb = card.working_gb * (pixels / (card.num_frames * card.width * card.height) if pixels else 1.0)
    loading = MemoryPlan(device="cpu", offload="none", weights_gb=0.0, needed_gb=working_gb, free_gb=free_gb)
    with clear_memory_errors(loading, f"loading {name}"), _clear_loading_errors(name, path), _quiet():
        pipe = kind.from_pretrained(
            path,
            dtype=dtype_of(options.precision, device),
            local_files_only=True,
            **_parts(card, path, dtype_of(options.precision, device)),
            **_quantization(options.quantize, pipeline_transformer(path)),
        )
        pipe.set_progress_bar_config(disable=True)
    plan = plan_memory(weights_of(pipe), working_gb=working_gb, offload=options.offload, device=device, free_gb=free_gb)
    with clear_memory_errors(plan, f"placing {name}"):
        place(pipe, plan)
    return Opened(name=name, pipe=pipe, plan=plan)


def sample(
    opened: Opened, arguments: Mapping[str, Any], *, steps: int, seed: int, progress: Progress = silent
) -> UInt8[np.ndarray, "V H W 3"]:
    """Call the pipeline and give its frames. `steps` counts all denoising steps, for the progress.

    The noise is drawn on the CPU, so that a seed means the same on every device. Raises VideoError when memory
    runs out or the model gives no numbers; whatever `progress` raises stops it.
    """
    return frames_of(call(opened, arguments, steps=steps, seed=seed, progress=progress).frames, opened)


def call(opened: Opened, arguments: Mapping[str, Any], *, steps: int, seed: int, progress: Progress = silent) -> Any:
    """Like `sample`, but gives all that the pipeline returns."""
    import torch

    done = 0
    plan, pipe = opened.plan, cast("Any", opened.pipe)
    progress(0, steps, gb_needed=plan.needed_gb, gb_free=plan.free_gb)

    def stepped(_pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal done
        done += 1
        progress(min(done, steps), steps)
        return tensors

    with clear_memory_errors(plan, opened.name):
        return pipe(
            **arguments,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            callback_on_step_end=stepped,
        )


def pipeline_class(name: str) -> Any:
    """The class in diffusers that runs a model. Raises MissingPackageError when there is none."""
    card = CARDS[name]
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise MissingPackageError(
            f"the video backend {name} needs {', '.join(missing)}, not installed here",
            hint="pip install 'img2world[diffusers]'",
        )
    with _quiet():
        # An attribute is imported when it is asked for, and what a release lacks is not there.
        kind = getattr(import_module("diffusers"), card.pipeline, None)
    if kind is None:
        raise MissingPackageError(
            f"diffusers {version('diffusers')} has no {card.pipeline}, needs {card.since} or newer",
            hint="pip install --upgrade 'img2world[diffusers]'",
        )
    return kind


def pipeline_transformer(path: Path) -> list[str]:
    """The components of a checkpoint that denoise: those that are worth holding in fewer bits."""
    return [name for name in ("transformer", "transformer_2", "unet") if (path / name).is_dir()]


def _parts(card: Card, path: Path, dtype: Any) -> dict[str, Any]:
    """Components that the checkpoint keeps in other repositories, loaded from the hub's cache."""
    loaded = {}
    for component, (repository, subfolder, kind) in card.parts.items():
        if checkpoints.holds(path, component, kind.partition(":")[2]):
            continue
        folder = checkpoints.cached_snapshot(repository, f"{subfolder}/config.json".lstrip("/"))
        if component == "feature_extractor":
            folder = checkpoints.cached_snapshot(repository, f"{subfolder}/preprocessor_config.json")
        if folder is None:
            raise VideoError(
                f"the {component} ({repository}) is not on this machine", hint="call `img2world models get` again"
            )
        module, _, name = kind.partition(":")
        options = {} if component == "feature_extractor" else {"dtype": dtype}
        loaded[component] = getattr(import_module(module), name).from_pretrained(
            folder, local_files_only=True, **options
        )
    return loaded


def _quantization(quantize: str, components: list[str]) -> dict[str, Any]:
    """What `from_pretrained` is told to hold weights in fewer bits."""
    if quantize == "none":
        return {}
    from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig

    if quantize == "int4":
        settings = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
        return {
            "quantization_config": PipelineQuantizationConfig(
                quant_backend="bitsandbytes_4bit", quant_kwargs=settings, components_to_quantize=components
            )
        }
    from diffusers.quantizers.quantization_config import TorchAoConfig

    quantization = import_module("torchao.quantization")
    mapping: Any = {name: TorchAoConfig(quantization.Int8WeightOnlyConfig()) for name in components}
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries from printing bars and advice into our own output."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    yield


@contextmanager
def _clear_loading_errors(name: str, path: Path) -> Iterator[None]:
    """Turn what loading a damaged or foreign checkpoint raises into a VideoError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ImportError) as error:
        said = " ".join(str(error).split())[:200]
        raise VideoError(
            f"the checkpoint of {name} cannot be loaded: {said} ({path})",
            hint=f"fetch it again with `img2world models get {name}`, or check that it fits this version of diffusers",
        ) from error
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "Error(s) in loading" not in str(error):
            raise
        said = " ".join(str(error).split())[:200]
        raise VideoError(
            f"the weights of {name} do not fit its configuration: {said} ({path})", hint="copy the checkpoint again"
        ) from error


def frames_of(frames: Any, opened: Opened) -> UInt8[np.ndarray, "V H W 3"]:
    """The frames of one clip, 0 to 255."""
    rgb = np.asarray(frames, np.float32)
    if rgb.ndim == 5:
        rgb = rgb[0]
    if not np.isfinite(rgb).all():
        raise VideoError(
            f"{opened.name} gave frames that are no numbers (NaN)",
            hint="its precision is too low for it: try --set video.precision=bfloat16 or float32",
        )
    return np.round(255 * rgb.clip(0, 1)).astype(np.uint8)
