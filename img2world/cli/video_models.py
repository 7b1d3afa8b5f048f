"""`img2world models list|get|use|check`: the big video models and their weights, as lines of text."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from img2world.core.errors import MissingPackageError, RecipeError, VideoError
from img2world.core.image import Image
from img2world.layered.saliency import REMBG_NETWORKS, weights_file
from img2world.layered.subject import AutoSubject
from img2world.runs.options import did_you_mean
from img2world.runs.recipe import backend_class, with_options
from img2world.runs.source import RECIPES
from img2world.trajectory.paths import ArcTrajectory
from img2world.video import VIDEOS
from img2world.video.diffusion import checkpoints
from img2world.video.diffusion.cards import CARDS, DEPTH_LICENCES, Card
from img2world.video.diffusion.framing import nearest_frame_count
from img2world.video.diffusion.memory import Offload, device_and_free_gb, plan_memory

PATTERNS = ("model_index.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.jinja", "*/*.safetensors")
IGNORED = ("*.fp16.*", "*.fp16-*", "*.non_ema.*", "*onnx*", "*/*/*")
"""Files that diffusers loads from a repository, and variants of them that it does not load."""

BYTES_PER_NUMBER = {"cuda": 2, "cpu": 4}
"""Size of a weight at the default precision of each device (see memory.dtype_of)."""

CAMERA_CONTROL = {
    "exact": "exact, takes the camera of every frame",
    "shown": "completes warped frames",
    "prompt": "prompt",
    "none": "none",
}

TRIAL_STEPS = 2

GPU_MODEL = "sana-wm"
"""The video model of the recipe `gpu`."""


def list_models() -> Iterator[str]:
    """Yield the big video models: camera control, clip, download, GPU memory, where the weights are, and licence."""
    for name, card in CARDS.items():
        yield f"{name:<12} {card.repository}"
        yield f"{'':<13}camera: {CAMERA_CONTROL[card.camera]}; {card.num_frames} frames of {card.width}x{card.height}"
        yield f"{'':<13}download about {card.download_gb:.0f} GB; GPU memory: {card.vram}"
        yield f"{'':<13}on this machine: {describe_weights(name)}"
        yield f"{'':<13}{card.licence.name}; {card.licence.verdict}"
        yield f"{'':<13}source: {card.licence.source}"
    yield ""
    yield "models for the depth of scenes: --set subject.depth=transformers --set subject.depth_model=NAME"
    for name, licence in DEPTH_LICENCES.items():
        yield f"  {name}: {licence.name}; {licence.verdict}"

    yield ""
    yield "larger networks that cut out what stands in front: --set subject.model=NAME"
    for name, network in REMBG_NETWORKS.items():
        here = weights_file(name) if weights_file(name).is_file() else f"no, `rembg d {name}` downloads it"
        yield f"  {name:<21} {network.licence}; commercial use: yes; on this machine: {here}"


def picture_recipe() -> str:
    """Return the recipe for a picture when none is chosen: `gpu` if there is a GPU and the weights it needs."""
    # Cheap checks first: a machine without a GPU shall not import torch to find out.
    if shutil.which("nvidia-smi") is None or find_spec("diffusers") is None:
        return RECIPES["picture"]
    try:
        checkpoints.find_checkpoint(GPU_MODEL, "")
    except VideoError:
        return RECIPES["picture"]
    return "gpu" if device_and_free_gb()[0] == "cuda" else RECIPES["picture"]


def describe_weights(name: str) -> str:
    """Say in a few words where the weights of a model are on this machine."""
    try:
        path = checkpoints.find_checkpoint(name, "")
    except MissingPackageError:
        return "no (downloading needs huggingface_hub: pip install 'img2world[diffusers]')"
    except VideoError:
        chosen = checkpoints.chosen_paths().get(name)
        return f"no, they are no longer at {chosen}" if chosen else "no"
    return f"{checkpoints.size_gb(path):.1f} GB in {path}"


def get_model(name: str) -> Iterator[str]:
    """Download a model's weights from the hub, resuming an earlier download; yield what is being done.

    Raises MissingPackageError, or VideoError when the hub cannot be reached, refuses, or the disk is too small.
    """
    card = _card(name)
    checkpoints.check_hub()
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    yield f"{name}: {card.repository}, about {card.download_gb:.0f} GB; {card.licence.name}"
    yield f"  {card.licence.verdict}"
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb < card.download_gb and checkpoints.cached_snapshot(card.repository) is None:
        raise VideoError(
            f"{free_gb:.0f} GB are free, the weights of {name} take about {card.download_gb:.0f} GB: {existing}",
            hint="free some space, or set HF_HOME to a folder on a larger disk",
        )
    patterns_of: dict[str, list[str]] = {card.repository: list(PATTERNS)}
    for repository, subfolder, _ in card.parts.values():
        patterns_of.setdefault(repository, []).append(f"{subfolder}/*" if subfolder else "*")
    try:
        for repository, patterns in patterns_of.items():
            path = snapshot_download(repository, allow_patterns=patterns, ignore_patterns=list(IGNORED))
            yield f"  {repository} is in {path}"
    except (OSError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())[:160]
        raise VideoError(
            f"the weights of {name} cannot be downloaded: {reason}",
            hint="check the connection and run it again: the download resumes; some models need `hf auth login`",
        ) from error


def use_model(name: str, path: Path) -> Iterator[str]:
    """Make a backend use a local checkpoint from now on. Raises VideoError when the folder holds something else."""
    card = _card(name)
    checkpoints.choose(name, path.expanduser())
    yield f"{name} uses {path.expanduser().absolute()} from now on (saved in {checkpoints.settings_path()})"
    yield f"  licence of the published weights: {card.licence.name}; {card.licence.verdict}"


def check_model(name: str, checkpoint: str = "") -> Iterator[str]:
    """Make a tiny clip with the real weights and estimate what a full one takes. Raises what the backend raises."""
    card = _card(name)
    path = checkpoints.find_checkpoint(name, checkpoint)
    yield f"{name}: {path} ({checkpoints.size_gb(path):.2f} GB)"
    device, free_gb = device_and_free_gb()
    numbers = checkpoints.count_parameters(path)
    weights = {part: count * BYTES_PER_NUMBER[device] for part, count in numbers.items()}
    offload: Offload = "auto"
    plan = plan_memory(weights, working_gb=card.working_gb, offload=offload, device=device, free_gb=free_gb)
    yield f"  a full clip of {card.num_frames} frames of {card.width}x{card.height}: {plan.summary}"
    video = trial_backend(name, card, str(path))
    subject = AutoSubject(kind="scene").find(sample_picture())
    trajectory = replace(ArcTrajectory(size=128, num_views=video.num_frames), max_degrees=2.0).cameras(subject)
    step_times: list[float] = []
    frames = video.generate(
        subject, trajectory, seed=0, progress=lambda done, total, **quality: step_times.append(time.perf_counter())
    )
    height, width = frames.rgb.shape[1:3]
    seconds = (step_times[-1] - step_times[0]) / (len(step_times) - 1)
    yield f"  tested: {len(frames)} frames of {width}x{height} on {device}, {seconds:.2f} s per step"
    pixel_ratio = card.num_frames * card.width * card.height / (len(frames) * width * height)
    steps = backend_class(name, VIDEOS, "video")().steps
    minutes = seconds * pixel_ratio * steps / 60
    yield f"  a full clip of {steps} steps takes at least {minutes:.0f} minutes here (extrapolated from the tiny one)"
    yield f"  {card.licence.verdict}"


def trial_backend(name: str, card: Card, checkpoint: str) -> Any:
    """Return the backend set to the smallest clip that its checkpoint can make."""
    backend = backend_class(name, VIDEOS, "video")(checkpoint=checkpoint)
    fixed = checkpoints.fixed_frame_size(Path(checkpoint))
    width, height = fixed or (max(2 * card.multiple, 64), max(2 * card.multiple, 64))
    num_frames = nearest_frame_count(2, card.step)
    return with_options(backend, num_frames=num_frames, width=width, height=height, steps=TRIAL_STEPS)


def sample_picture() -> Image:
    """Return a small colourful picture for a trial."""
    y, x = np.mgrid[:96, :96]
    tiles = [127 + 100 * np.sin(x / 9) * np.cos(y / 13), 127 + 90 * np.cos((x + y) / 11), 127 + 110 * np.sin(y / 7)]
    return Image(rgb=np.stack(tiles, -1).round().astype(np.uint8))


def _card(name: str) -> Card:
    """Return the card of a model. Raises RecipeError when there is no such model."""
    if name not in CARDS:
        raise RecipeError(f"there is no video model {name}", hint=did_you_mean(name, list(CARDS)))
    return CARDS[name]
