"""The weights of the big video models: what there is, fetch them, choose them, try them. Text for the command line."""

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
"""What diffusers loads of a repository, and variants that it does not."""

BYTES_PER_NUMBER = {"cuda": 2, "cpu": 4}
"""How weights are held (see memory.dtype_of)."""

CAMERAS = {"exact": "told every camera", "shown": "shown warped frames", "free": "words only"}

TRIAL_STEPS = 2

GPU_MODEL = "sana-wm"
"""What the recipe `gpu` runs."""


def list_models() -> Iterator[str]:
    """Each big model: how it is steered, what it makes, what it takes, where it is, whether its worlds may be sold."""
    for name, card in CARDS.items():
        yield f"{name:<12} {card.repository}"
        yield f"{'':<13}camera: {CAMERAS[card.camera]}; {card.num_frames} frames of {card.width}x{card.height}"
        yield f"{'':<13}download about {card.download_gb:.0f} GB; GPU memory: {card.vram}"
        yield f"{'':<13}here: {state(name)}"
        yield f"{'':<13}{card.licence.name}; {card.licence.verdict}"
        yield f"{'':<13}source: {card.licence.source}"
    yield ""
    yield "depth of scenes, --set video.depth=transformers --set video.depth_model=NAME"
    for name, licence in DEPTH_LICENCES.items():
        yield f"  {name}: {licence.name}; {licence.verdict}"


def picture_recipe() -> str:
    """The recipe for a picture when none is asked for: `gpu` where there is one, with the weights it needs."""
    # In this order, so that a machine without a GPU imports nothing to find out.
    if shutil.which("nvidia-smi") is None or find_spec("diffusers") is None:
        return RECIPES["picture"]
    try:
        checkpoints.find_checkpoint(GPU_MODEL, "")
    except VideoError:
        return RECIPES["picture"]
    return "gpu" if device_and_free_gb()[0] == "cuda" else RECIPES["picture"]


def state(name: str) -> str:
    """Where the weights are on this machine, in a few words."""
    try:
        path = checkpoints.find_checkpoint(name, "")
    except MissingPackageError as error:
        return f"{error}"
    except VideoError:
        chosen = checkpoints.chosen_paths().get(name)
        return f"no longer at {chosen}" if chosen else "no"
    return f"{checkpoints.size_gb(path):.1f} GB in {path}"


def get_model(name: str) -> Iterator[str]:
    """Fetch a model's weights from the hub, going on where an earlier call stopped; says what it does.

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
    wanted: dict[str, list[str]] = {card.repository: list(PATTERNS)}
    for repository, subfolder, _ in card.parts.values():
        wanted.setdefault(repository, []).append(f"{subfolder}/*" if subfolder else "*")
    try:
        for repository, patterns in wanted.items():
            path = snapshot_download(repository, allow_patterns=patterns, ignore_patterns=list(IGNORED))
            yield f"  {repository} is in {path}"
    except (OSError, HfHubHTTPError) as error:
        said = " ".join(str(error).split())[:160]
        raise VideoError(
            f"the weights of {name} cannot be fetched: {said}",
            hint="check the connection and call it again: it goes on where it stopped; some need `hf auth login`",
        ) from error


def use_model(name: str, path: Path) -> Iterator[str]:
    """Have a backend use a local checkpoint from now on. Raises VideoError when it holds something else."""
    card = _card(name)
    checkpoints.choose(name, path.expanduser())
    yield f"{name} uses {path.expanduser().absolute()} from now on (noted in {checkpoints.settings_path()})"
    yield f"  the usual weights: {card.licence.name}; {card.licence.verdict}"


def check_model(name: str, checkpoint: str = "") -> Iterator[str]:
    """Say what a clip would take, and make a tiny one with the real weights. Raises what the backend raises."""
    card = _card(name)
    path = checkpoints.find_checkpoint(name, checkpoint)
    yield f"{name}: {path} ({checkpoints.size_gb(path):.2f} GB)"
    device, free_gb = device_and_free_gb()
    numbers = checkpoints.count_parameters(path)
    weights = {part: count * BYTES_PER_NUMBER[device] for part, count in numbers.items()}
    offload: Offload = "auto"
    plan = plan_memory(weights, working_gb=card.working_gb, offload=offload, device=device, free_gb=free_gb)
    yield f"  a clip of {card.num_frames} frames of {card.width}x{card.height}: {plan.summary}"
    video = trial_backend(name, card, str(path))
    image = sample_picture()
    trajectory = replace(ArcTrajectory(size=128, num_views=video.num_frames), max_degrees=2.0).cameras(image)
    moments: list[float] = []
    frames = video.generate(
        image, trajectory, seed=0, progress=lambda done, total, **quality: moments.append(time.perf_counter())
    )
    height, width = frames.rgb.shape[1:3]
    seconds = (moments[-1] - moments[0]) / (len(moments) - 1)
    yield f"  tried: {len(frames)} frames of {width}x{height} on the {device}, {seconds:.2f} s for each step"
    share = card.num_frames * card.width * card.height / (len(frames) * width * height)
    steps = backend_class(name, VIDEOS, "video")().steps
    minutes = seconds * share * steps / 60
    yield f"  a clip of {steps} steps would take at least {minutes:.0f} minutes here (a guess from the tiny one)"
    yield f"  {card.licence.verdict}"


def trial_backend(name: str, card: Card, checkpoint: str) -> Any:
    """The backend with the smallest clip that its checkpoint can make."""
    backend = backend_class(name, VIDEOS, "video")(checkpoint=checkpoint)
    fixed = checkpoints.fixed_frame_size(Path(checkpoint))
    width, height = fixed or (max(2 * card.multiple, 64), max(2 * card.multiple, 64))
    num_frames = nearest_frame_count(2, card.step)
    return with_options(backend, num_frames=num_frames, width=width, height=height, steps=TRIAL_STEPS, kind="scene")


def sample_picture() -> Image:
    """A small picture with something to see: tiles in many colours."""
    y, x = np.mgrid[:96, :96]
    tiles = [127 + 100 * np.sin(x / 9) * np.cos(y / 13), 127 + 90 * np.cos((x + y) / 11), 127 + 110 * np.sin(y / 7)]
    return Image(rgb=np.stack(tiles, -1).round().astype(np.uint8))


def _card(name: str) -> Card:
    """The card of a model. Raises RecipeError when there is none of the name."""
    if name not in CARDS:
        raise RecipeError(f"there is no big model {name}", hint=did_you_mean(name, list(CARDS)))
    return CARDS[name]
