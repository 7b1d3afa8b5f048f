"""Where the weights of a model are on this machine. Nothing here uses the network."""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path

from img2world.core.errors import MissingPackageError, VideoError
from img2world.video.diffusion.cards import CARDS, Card

INDEX = "model_index.json"
"""Names the class and the components of a pipeline (diffusers)."""

SHARDS = ("diffusion_pytorch_model.safetensors.index.json", "model.safetensors.index.json")


def settings_path() -> Path:
    """The file in which `img2world models use` notes its choices."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "img2world" / "models.json"


def chosen_paths() -> dict[str, str]:
    """Backend to checkpoint, as chosen by `img2world models use`. Raises VideoError when the file is broken."""
    path = settings_path()
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(chosen, dict) or not all(isinstance(value, str) for value in chosen.values()):
            raise ValueError("it holds no names and paths")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise VideoError(f"the choice of models cannot be read: {error} ({path})", hint="remove the file") from error
    return chosen


def choose(name: str, checkpoint: Path) -> None:
    """Note that a backend shall use a checkpoint from now on. Raises VideoError when it cannot."""
    check_checkpoint(name, CARDS[name], checkpoint)
    path, chosen = settings_path(), {**chosen_paths(), name: str(checkpoint.absolute())}
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(dict(sorted(chosen.items())), indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise VideoError(
            f"the choice cannot be noted ({error.strerror}): {path}",
            hint=f"name the checkpoint in each run with --set video.checkpoint={checkpoint}",
        ) from error


def find_checkpoint(name: str, checkpoint: str) -> Path:
    """The folder with a model's weights: named, chosen by `models use`, or in the hub's cache.

    `checkpoint` is a folder, a name on the hub or empty. Raises VideoError when nothing usable is there.
    """
    card = CARDS[name]
    wanted = named(name, checkpoint)
    path = Path(wanted).expanduser()
    if not path.exists():
        looks_local = wanted.startswith(("/", ".", "~")) or wanted.count("/") != 1
        cached = None if looks_local else cached_snapshot(wanted)
        if cached is None:
            raise _not_here(name, card, wanted, looks_local=looks_local)
        path = cached
    check_checkpoint(name, card, path)
    return path


def cached_snapshot(repository: str, needed: str = INDEX) -> Path | None:
    """The folder of a repository of the hub in this machine's cache; None when it is not there."""
    check_hub()
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, needed)
    return Path(found).parent if isinstance(found, str) else None


def check_hub() -> None:
    """Raises MissingPackageError without the package that knows the hub."""
    if find_spec("huggingface_hub") is None:
        raise MissingPackageError(
            "the hub needs huggingface_hub, which is not installed", hint="pip install 'img2world[diffusers]'"
        )


def check_checkpoint(name: str, card: Card, path: Path) -> None:
    """Raises VideoError when the folder does not hold the kind of checkpoint that the card needs, or not all of it."""
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        found = index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VideoError(
            f"this is no checkpoint of diffusers, {INDEX} is missing or broken: {path}",
            hint=f"give the folder that `save_pretrained` or `img2world models get {name}` made",
        ) from error
    if found not in (card.pipeline, *card.accepts):
        others = [other for other, known in CARDS.items() if found in (known.pipeline, *known.accepts)]
        use = f"use --set video.name={others[0]}, or give" if others else "give"
        raise VideoError(
            f"the checkpoint is for {found}, {name} needs {card.pipeline}: {path}", hint=f"{use} another checkpoint"
        )
    missing = _missing(path, index, parts=() if found == card.pipeline else tuple(card.parts))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise VideoError(
            f"the checkpoint is not complete, {missing[0]}{more} is missing: {path}",
            hint=f"`img2world models get {name}` goes on where a download stopped; or copy the folder again",
        )


def holds(path: Path, component: str, kind: str) -> bool:
    """Whether a checkpoint has a component of the given class of its own."""
    index = json.loads((path / INDEX).read_text(encoding="utf-8"))
    entry = index.get(component)
    return isinstance(entry, list) and str(entry[-1]).startswith(kind) and (path / component).is_dir()


def named(name: str, checkpoint: str) -> str:
    """The checkpoint that an empty option stands for now: chosen by `models use`, or the usual one."""
    return checkpoint or chosen_paths().get(name) or CARDS[name].repository


def parameters(path: Path) -> dict[str, int]:
    """How many numbers each component holds, from the headers of its files alone (safetensors, "Format")."""
    counts: dict[str, int] = {}
    for file in sorted(path.glob("*/*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        shapes = [entry["shape"] for key, entry in header.items() if key != "__metadata__"]
        counts[file.parent.name] = counts.get(file.parent.name, 0) + sum(prod(shape) for shape in shapes)
    return counts


def fixed_size(path: Path) -> tuple[int, int] | None:
    """Width and height of the only frames that a checkpoint can make; None when it can make others.

    A transformer that has learned its positions has them for one size (CogVideoX-5b-I2V).
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
    """Size of a folder."""
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file()) / 1e9


def _missing(path: Path, index: Mapping[str, object], *, parts: tuple[str, ...]) -> list[str]:
    """Components, and files of their weights, that the index promises and the folder lacks."""
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


def _not_here(name: str, card: Card, wanted: str, *, looks_local: bool) -> VideoError:
    """The refusal when the weights are not on this machine."""
    if looks_local:
        return VideoError(f"the checkpoint of {name} does not exist: {wanted}", hint="check video.checkpoint")
    return VideoError(
        f"the weights of {name} ({wanted}, about {card.download_gb:.0f} GB) are not on this machine",
        hint=f"`img2world models get {name}` fetches them; `img2world models use {name} FOLDER` takes what you have",
    )
