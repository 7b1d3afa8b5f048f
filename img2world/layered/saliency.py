"""Find what stands out in a photo, with the embedded network or a larger one that rembg has on this machine."""

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.conventions import IMAGENET
from img2world.core.errors import ImageError, MissingPackageError

CutoutModel = Literal["builtin", "none", "u2net", "isnet-general-use", "birefnet-general", "birefnet-general-lite"]
"""The embedded network, none, or one of rembg by its name there."""


@dataclass(frozen=True, kw_only=True)
class RembgNetwork:
    """A published network: what it takes, and under which licence."""

    side: int
    """Pixels of the square input."""
    colors: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    """Mean and standard deviation by which colors are normalized."""
    logits: bool = False
    """The output is logits, not probabilities."""
    licence: str


REMBG_NETWORKS = {
    "u2net": RembgNetwork(side=320, licence="Apache-2.0"),
    "isnet-general-use": RembgNetwork(side=1024, colors=((0.5,) * 3, (1.0,) * 3), licence="Apache-2.0"),
    "birefnet-general": RembgNetwork(side=1024, logits=True, licence="MIT"),
    "birefnet-general-lite": RembgNetwork(side=1024, logits=True, licence="MIT"),
}


def find_saliency(rgb: UInt8[np.ndarray, "H W 3"], model: CutoutModel) -> Float32[np.ndarray, "s s"]:
    """Return the probability that a pixel belongs to what stands out, at the size of the network's square input.

    Raises MissingPackageError when the network is not installed and ImageError when its weights cannot be used.
    """
    if model == "builtin":
        from img2world.depth.predict import predict_saliency

        return predict_saliency(rgb)
    import cv2

    network, session = REMBG_NETWORKS[model], load_session(model)
    mean, deviation = (np.array(values, np.float32) for values in network.colors)
    small = cv2.resize(rgb, (network.side, network.side), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture = (small / max(float(small.max()), 1.0) - mean) / deviation
    (output,) = session.run(
        [session.get_outputs()[0].name], {session.get_inputs()[0].name: picture.transpose(2, 0, 1)[None]}
    )
    output = output.reshape(network.side, network.side)
    return (1 / (1 + np.exp(-output)) if network.logits else output).clip(0, 1).astype(np.float32)


def weights_file(name: str) -> Path:
    """Return the file in which rembg keeps the weights of a network."""
    default = Path(os.environ.get("XDG_DATA_HOME", "~")) / ".u2net"
    return Path(os.environ.get("U2NET_HOME", default)).expanduser() / f"{name}.onnx"


@lru_cache(maxsize=1)
def load_session(name: str) -> Any:
    """Load a network of rembg; see `find_saliency` for what it raises."""
    path = weights_file(name)
    if not path.is_file():
        raise MissingPackageError(
            f"the cut-out network {name} is missing: {path}",
            hint=f"pip install 'rembg[cpu,cli]' and `rembg d {name}`, or leave subject.model out",
        )
    if find_spec("onnxruntime") is None:
        raise MissingPackageError(
            f"the cut-out network {name} needs onnxruntime",
            hint="pip install 'img2world[cutout]', or leave subject.model out",
        )
    import onnxruntime

    # With one thread the sums have the same order, and so the same bits, on every number of cores.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its exceptions share no base class.
        raise ImageError(
            f"the weights of the cut-out network cannot be read: {path}", hint=f"`rembg d {name}` downloads them again"
        ) from error
