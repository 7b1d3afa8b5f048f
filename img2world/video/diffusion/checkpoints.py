"""Find the weights of a model on this machine. Nothing here uses the network."""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path

from img2world.core.errors import MissingPackageError, VideoError
from img2world.video.diffusion.cards import CARDS, Card

INDEX = "model_index.json"
"""The file of a checkpoint that names the pipeline's class and components (diffusers)."""

SHARDS = ("diffusion_pytorch_model.safetensors.index.json", "model.safetensors.index.json")


def settings_path() -> Path:
    """Return the file in which `img2world models use` stores its choices."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "img2world" / "models.json"


def chosen_paths() -> dict[str, str]:
    """Return the checkpoints chosen by `img2world models use`, by backend. Raises VideoError for a broken file."""
    path = settings_path()
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(chosen, dict) or not all(isinstance(value, str) for value in chosen.values()):
            raise ValueError("needs a table of names and paths")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise VideoError(
            f"the stored choice of models cannot be read: {error} ({path})", hint="remove the file"
        ) from error
    return chosen


def choose(name: str, checkpoint: Path) -> None:
    """Store that a backend uses a checkpoint from now on. Raises VideoError when it cannot use or store it."""
    check_checkpoint(name, CARDS[name], checkpoint)
    path, chosen = settings_path(), {**chosen_paths(), name: str(checkpoint.absolute())}
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(dict(sorted(chosen.items())), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise VideoError(
            f"the choice cannot be stored ({error.strerror}): {path}",
            hint=f"name the checkpoint in each run with --set video.checkpoint={checkpoint}",
        ) from error


def find_checkpoint(name: str, checkpoint: str) -> Path:
    """Return the folder with a model's weights: the given one, the chosen one, or the one in the hub's cache.

    `checkpoint` is a folder, a name on the hub or empty. Raises VideoError when the weights are missing or unusable.
    """
    card = CARDS[name]
    wanted = checkpoint_name(name, checkpoint)
    path = Path(wanted).expanduser()
    if not path.exists():
        looks_local = wanted.startswith(("/", ".", "~")) or wanted.count("/") != 1
        cached = None if looks_local else cached_snapshot(wanted)
        if cached is None:
            raise _missing_checkpoint(name, card, wanted, looks_local=looks_local)
        path = cached
    check_checkpoint(name, card, path)
    return path


def cached_snapshot(repository: str, needed: str = INDEX) -> Path | None:
    """Return the folder of a hub repository in this machine's cache; None when it lacks the file `needed`."""
    check_hub()
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, needed)
    return Path(found).parent if isinstance(found, str) else None


def check_hub() -> None:
    """Raise MissingPackageError without the hub's package."""
    if find_spec("huggingface_hub") is None:
        raise MissingPackageError(
            "the hub needs huggingface_hub, which is not installed", hint="pip install 'img2world[diffusers]'"
        )


def check_checkpoint(name: str, card: Card, path: Path) -> None:
    """Raise VideoError when the folder holds another kind of checkpoint than the card needs, or an incomplete one."""
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        found = index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VideoError(
            f"the folder is no checkpoint of diffusers, {INDEX} is missing or broken: {path}",
            hint=f"give a folder written by `save_pretrained` or `img2world models get {name}`",
        ) from error
    if found not in (card.pipeline, *card.accepts):
        others = [other for other, known in CARDS.items() if found in (known.pipeline, *known.accepts)]
        use = f"use --set video.name={others[0]}, or give" if others else "give"
        raise VideoError(
            f"the checkpoint is for {found}, {name} needs {card.pipeline}: {path}", hint=f"{use} another checkpoint"
        )
    missing = _missing_files(path, index, parts=() if found == card.pipeline else tuple(card.parts))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise VideoError(
            f"the checkpoint is not complete, {missing[0]}{more} is missing: {path}",
            hint=f"`img2world models get {name}` continues a download that stopped; or copy the folder again",
        )


def has_component(path: Path, component: str, class_name: str) -> bool:
    """Return True when a checkpoint itself contains a component of the given class."""
    index = json.loads((path / INDEX).read_text(encoding="utf-8"))
    entry = index.get(component)
    return isinstance(entry, list) and str(entry[-1]).startswith(class_name) and (path / component).is_dir()


def checkpoint_name(name: str, checkpoint: str) -> str:
    """Return the given checkpoint, or the one that an empty option stands for: the chosen or the released one."""
    return checkpoint or chosen_paths().get(name) or CARDS[name].repository


def count_parameters(path: Path) -> dict[str, int]:
    """Return the number of weights of each component, read from the headers of its files (safetensors, "Format")."""
    counts: dict[str, int] = {}
    for file in sorted(path.glob("*/*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        shapes = [entry["shape"] for key, entry in header.items() if key != "__metadata__"]
        counts[file.parent.name] = counts.get(file.parent.name, 0) + sum(prod(shape) for shape in shapes)
    return counts


def fixed_frame_size(path: Path) -> tuple[int, int] | None:
    """Return the only frame size, width and height, that a checkpoint can generate; None when it can generate others.

    Learned positional embeddings exist for one size only (CogVideoX-5b-I2V).
    """
    try:
        config = json.loads((path / "transformer" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((path / "vae" / "config.json").read_text(encoding="utf-8"))
    except OSError:
        return None
    if not config.get("use_learned_positional_embeddings"):
        return None
    scale = 2 ** (len(vae["block_out_channels"]) - 1)
    return config["sample_width"] * scale, config["sample_height"] * scale


def size_gb(path: Path) -> float:
    """Return the size of all files in a folder, in 10^9 bytes."""
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file()) / 1e9


def _missing_files(path: Path, index: Mapping[str, object], *, parts: tuple[str, ...]) -> list[str]:
    """Return the components and weight files that the index names and the folder lacks, but for `parts`."""
    missing = []
    for component, kind in sorted(index.items()):
        if component.startswith("_") or component in parts or not isinstance(kind, list) or None in kind:
            continue
        folder = path / component
        if not folder.is_dir() or not any(folder.iterdir()):
            missing.append(component)
            continue
        for shards in SHARDS:
            if (folder / shards).is_file():
                names = set(json.loads((folder / shards).read_text(encoding="utf-8"))["weight_map"].values())
                missing += [f"{component}/{file}" for file in sorted(names) if not (folder / file).is_file()]
        has_weights = any(item.suffix in (".safetensors", ".bin") for item in folder.iterdir())
        if (folder / "config.json").is_file() and not has_weights:
            missing.append(f"{component}/*.safetensors")
    return missing


def _missing_checkpoint(name: str, card: Card, wanted: str, *, looks_local: bool) -> VideoError:
    """Return the error for weights that are not on this machine."""
    if looks_local:
        return VideoError(f"the checkpoint of {name} does not exist: {wanted}", hint="check video.checkpoint")
    return VideoError(
        f"the weights of {name} ({wanted}, about {card.download_gb:.0f} GB) are not on this machine",
        hint=f"`img2world models get {name}` fetches them; `img2world models use {name} FOLDER` uses your copy",
    )
