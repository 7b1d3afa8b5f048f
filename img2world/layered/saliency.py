"""Find what stands out in a photo with a network that was trained on real photos.

The default, U²-Net-p (Qin et al. 2020, "U²-Net: Going deeper with nested U-structure"), comes with the extra `cutout`;
larger networks are used from the folder in which rembg keeps them. Nothing is downloaded here.
"""

import hashlib
import os
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.errors import ImageError, MissingPackageError

CutoutModel = Literal[
    "auto", "none", "u2netp", "u2net", "isnet-general-use", "birefnet-general", "birefnet-general-lite"
]
"""Networks as rembg names them; auto takes u2netp if it is installed."""

DEFAULT_MODEL = "u2netp"

RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
"""Where rembg publishes weights."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the colors that a network was trained with, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class SaliencyNetwork:
    """A published network: what it takes, and under which licence."""

    side: int
    """Pixels of the square input."""
    colors: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    """Mean and standard deviation by which colors are normalized."""
    logits: bool = False
    """The output is logits, not probabilities."""
    sha256: str = ""
    """Digest of the weights, where they are known."""
    licence: str


NETWORKS = {
    "u2netp": SaliencyNetwork(
        side=320,
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        licence="Apache-2.0",
    ),
    "u2net": SaliencyNetwork(side=320, licence="Apache-2.0"),
    "isnet-general-use": SaliencyNetwork(side=1024, colors=((0.5,) * 3, (1.0,) * 3), licence="Apache-2.0"),
    "birefnet-general": SaliencyNetwork(side=1024, logits=True, licence="MIT"),
    "birefnet-general-lite": SaliencyNetwork(side=1024, logits=True, licence="MIT"),
}


def rembg_folder() -> Path:
    """Return the folder in which rembg keeps the weights that it downloads."""
    default = Path(os.environ.get("XDG_DATA_HOME", "~")) / ".u2net"
    return Path(os.environ.get("U2NET_HOME", default)).expanduser()


def weights_file(name: str) -> Path | None:
    """Return the file of a network's weights: in rembg's folder or in an installed package; None if it is not here."""
    places = [rembg_folder()]
    # Found, not imported: importing a package that is called rembg would load far more than a file.
    if (spec := find_spec("rembg")) is not None:
        places += [Path(place) for place in spec.submodule_search_locations or ()]
    files = (place / f"{name}.onnx" for place in places)
    return next((file for file in files if file.is_file()), None)


def download_weights(name: str) -> Path:
    """Return the file of the published weights of a network; download it to rembg's folder if it is not here.

    Raises ImageError when they cannot be downloaded or are not the published ones, and leaves no half file.
    """
    if (found := weights_file(name)) is not None:
        return found
    address, target = f"{RELEASE}/{name}.onnx", rembg_folder() / f"{name}.onnx"
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(address, timeout=60) as answer:
            part.write_bytes(answer.read())
        if hashlib.sha256(part.read_bytes()).hexdigest() != NETWORKS[name].sha256:
            raise ImageError(f"the file is not the published one: {address}", hint="try again later")
        part.replace(target)
    except OSError as error:
        raise ImageError(
            f"the weights cannot be downloaded: {error}", hint=f"check the connection, or save {address} as {target}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def resolve_model(name: CutoutModel) -> CutoutModel:
    """Return the network that auto stands for here, "none" if there is none, and any other name as it is."""
    if name != "auto":
        return name
    usable = find_spec("onnxruntime") is not None and weights_file(DEFAULT_MODEL) is not None
    return DEFAULT_MODEL if usable else "none"


def predict_saliency(rgb: UInt8[np.ndarray, "H W 3"], name: str) -> Float32[np.ndarray, "s s"]:
    """Return the probability that a pixel belongs to what stands out, at the size of the network's square input.

    Raises MissingPackageError when the network is not installed and ImageError when its weights are not the published
    ones or cannot be used.
    """
    import cv2

    network, session = NETWORKS[name], load_session(name)
    mean, deviation = (np.array(values, np.float32) for values in network.colors)
    small = cv2.resize(rgb, (network.side, network.side), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture = (small / max(float(small.max()), 1.0) - mean) / deviation
    output = session.run(None, {session.get_inputs()[0].name: picture.transpose(2, 0, 1)[None]})[0].reshape(
        network.side, network.side
    )
    return (1 / (1 + np.exp(-output)) if network.logits else output).clip(0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def load_session(name: str) -> Any:
    """Load a network; see `predict_saliency` for what it raises."""
    path = weights_file(name)
    if path is None or find_spec("onnxruntime") is None:
        install = (
            "pip install 'img2world[cutout]'"
            if name == DEFAULT_MODEL
            else f"pip install 'rembg[cpu]' and `rembg d {name}`"
        )
        lacking = f"the weights are not in {rembg_folder()}" if path is None else "onnxruntime is not installed"
        raise MissingPackageError(
            f"the cut-out network {name} is missing: {lacking}", hint=f"{install}, or --set subject.model=none"
        )
    expected = NETWORKS[name].sha256
    if expected and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise ImageError(
            f"the weights of the cut-out network are not the published ones: {path}",
            hint="remove the file, and install it again",
        )
    import onnxruntime

    # With one thread the sums have the same order, and so the same bits, on every number of cores.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its exceptions share no base class.
        raise ImageError(
            f"the weights of the cut-out network cannot be read: {path}", hint="install them again"
        ) from error
