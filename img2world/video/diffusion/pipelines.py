"""Load a pipeline of diffusers from a checkpoint, and run it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import UInt8

from img2world.core.errors import MissingPackageError, VideoError
from img2world.core.progress import Progress, silent
from img2world.video.diffusion import checkpoints
from img2world.video.diffusion.cards import CARDS, Card
from img2world.video.diffusion.memory import (
    MemoryPlan,
    Quantize,
    check_quantizer,
    device_and_free_gb,
    dtype_of,
    explain_memory_errors,
    place_pipeline,
    plan_memory,
    weight_bytes,
)
from img2world.video.diffusion.options import ModelOptions

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

PACKAGES = ("diffusers", "transformers", "accelerate", "ftfy", "sentencepiece")

DENOISERS = ("transformer", "transformer_2", "unet")
"""Components that quantization makes smaller."""


@dataclass(frozen=True, kw_only=True)
class LoadedPipeline:
    """A pipeline that is ready to run."""

    name: str
    pipe: "DiffusionPipeline"
    plan: MemoryPlan


def load_pipeline(name: str, options: ModelOptions, *, num_pixels: int) -> LoadedPipeline:
    """Load a backend's model and place it as its memory plan says. `num_pixels` are those of the whole clip.

    Raises MissingPackageError when diffusers or a part of it is missing or too old, VideoError when the
    checkpoint is missing, of another kind or broken, or there is too little memory.
    """
    card = CARDS[name]
    pipeline = pipeline_class(name)
    check_quantizer(options.quantize)
    path = checkpoints.find_checkpoint(name, options.checkpoint)
    device, free_gb = device_and_free_gb()
    dtype = dtype_of(options.precision, device)
    working_gb = card.working_gb * num_pixels / (card.num_frames * card.width * card.height)
    loading = MemoryPlan(device="cpu", offload="none", weights_gb=0.0, needed_gb=working_gb, free_gb=free_gb)
    with explain_memory_errors(loading, f"loading {name}"), _explain_loading_errors(name, path), _quiet():
        pipe = pipeline.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            **_load_other_parts(card, path, dtype),
            **_quantization(options.quantize, path),
        )
        pipe.set_progress_bar_config(disable=True)
    plan = plan_memory(
        weight_bytes(pipe), working_gb=working_gb, offload=options.offload, device=device, free_gb=free_gb
    )
    with explain_memory_errors(plan, f"placing {name}"):
        place_pipeline(pipe, plan)
    return LoadedPipeline(name=name, pipe=pipe, plan=plan)


def sample(
    loaded: LoadedPipeline, arguments: Mapping[str, Any], *, steps: int, seed: int, progress: Progress = silent
) -> UInt8[np.ndarray, "V H W 3"]:
    """Run the pipeline and return its frames. Arguments and errors are those of `run` and `to_rgb`."""
    return to_rgb(run(loaded, arguments, steps=steps, seed=seed, progress=progress).frames, loaded.name)


def run(
    loaded: LoadedPipeline, arguments: Mapping[str, Any], *, steps: int, seed: int, progress: Progress = silent
) -> Any:
    """Run the pipeline and return its output. `steps` is the number of all denoising steps, for the progress.

    The noise is drawn on the CPU, so that a seed means the same on every device. Raises VideoError when memory runs
    out; whatever `progress` raises stops the run.
    """
    import torch

    done = 0
    plan, pipe = loaded.plan, cast("Any", loaded.pipe)
    progress(0, steps, gb_needed=plan.needed_gb, gb_free=plan.free_gb)

    def report_step(_pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal done
        done += 1
        progress(min(done, steps), steps)
        return tensors

    with explain_memory_errors(plan, loaded.name):
        return pipe(
            **arguments,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            callback_on_step_end=report_step,
        )


def to_rgb(frames: Any, name: str) -> UInt8[np.ndarray, "V H W 3"]:
    """Return the first clip of a pipeline's output of 0 to 1. Raises VideoError when it holds NaN or infinity."""
    rgb = np.asarray(frames, np.float32)
    if rgb.ndim == 5:
        rgb = rgb[0]
    if not np.isfinite(rgb).all():
        raise VideoError(
            f"{name} generated frames with values that are no numbers (NaN)",
            hint="use a wider type: --set video.precision=bfloat16 or float32",
        )
    return np.round(255 * rgb.clip(0, 1)).astype(np.uint8)


def pipeline_class(name: str) -> Any:
    """Return the class in diffusers that runs a model. Raises MissingPackageError when there is none."""
    card = CARDS[name]
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise MissingPackageError(
            f"the video backend {name} needs {', '.join(missing)}, not installed here",
            hint="pip install 'img2world[diffusers]'",
        )
    with _quiet():
        # diffusers imports a class when its attribute is read; an older release has no such attribute.
        pipeline = getattr(import_module("diffusers"), card.pipeline, None)
    if pipeline is None:
        raise MissingPackageError(
            f"diffusers {version('diffusers')} has no {card.pipeline}, needs {card.since} or newer",
            hint="pip install --upgrade 'img2world[diffusers]'",
        )
    return pipeline


def _load_other_parts(card: Card, path: Path, dtype: Any) -> dict[str, Any]:
    """Load the components that the checkpoint lacks from other repositories in the hub's cache."""
    loaded = {}
    for component, (repository, subfolder, kind) in card.parts.items():
        module, _, class_name = kind.partition(":")
        if checkpoints.has_component(path, component, class_name):
            continue
        is_preprocessor = component == "feature_extractor"
        config = "preprocessor_config.json" if is_preprocessor else "config.json"
        folder = checkpoints.cached_snapshot(repository, f"{subfolder}/{config}".lstrip("/"))
        if folder is None:
            raise VideoError(
                f"the {component} ({repository}) is not on this machine", hint="run `img2world models get` again"
            )
        options = {} if is_preprocessor else {"dtype": dtype}
        part = getattr(import_module(module), class_name)
        loaded[component] = part.from_pretrained(folder, local_files_only=True, **options)
    return loaded


def _quantization(quantize: Quantize, path: Path) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that quantize the denoisers of a checkpoint."""
    if quantize == "none":
        return {}
    from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig

    components = [name for name in DENOISERS if (path / name).is_dir()]
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
    """Keep libraries from printing progress bars and advice into the program's own output."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    yield


@contextmanager
def _explain_loading_errors(name: str, path: Path) -> Iterator[None]:
    """Turn the errors of loading a damaged or foreign checkpoint into a VideoError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise VideoError(
            f"the checkpoint of {name} cannot be loaded: {reason} ({path})",
            hint=f"fetch it again with `img2world models get {name}`, or check that it fits this version of diffusers",
        ) from error
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "Error(s) in loading" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise VideoError(
            f"the weights of {name} do not fit its configuration: {reason} ({path})", hint="copy the checkpoint again"
        ) from error
