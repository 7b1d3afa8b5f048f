"""What the embedded network guesses of one photo: how far everything is, and how thick a thing is."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.threads import one_torch_thread
from img2world.depth.guided_filter import guided

if TYPE_CHECKING:
    from img2world.depth.network import NanoGeo

OBJECT_WEIGHTS, SCENE_WEIGHTS = "nano/nano_geo_object.safetensors", "nano/nano_geo_scene.safetensors"
"""Of one kind of network, trained on both and then on one: either forgot what the other had learned last."""

AREA = 96 * 96
"""Pixels the network looks at; it was trained on pictures of about this many."""

OBJECT_SIDES = (66, 76, 86, 96, 106, 116, 126)
"""Pixels of an object's frame as the network looks at it, from farther away and from nearer: its errors differ."""

LONGEST = 192
"""Longer side it looks at, at most; a wider picture is squeezed."""


@dataclass(frozen=True, kw_only=True)
class SceneGuess:
    """A scene at the picture's size."""

    inverse_depth: Float32[np.ndarray, "H W"]
    """Median 1."""
    sky: Float32[np.ndarray, "H W"]
    """0 to 1."""


@dataclass(frozen=True, kw_only=True)
class ObjectGuess:
    """An object that fills a square frame as `object_world.cut_out` makes it; lengths relative to the frame's width."""

    front: Float32[np.ndarray, "S S"]
    """Depth less that of the object's middle."""
    thickness: Float32[np.ndarray, "S S"]
    """From the first to the last surface."""
    doubt: Float32[np.ndarray, "S S"]
    """Error to be expected of the front."""
    planes: Float32[np.ndarray, "37"]
    """How likely it is its own mirror image in each upright plane, and in none; see `mirror.mirror_normal`."""
    elevation: float
    """Of the camera above it, in radians."""


def guess_scene(rgb: UInt8[np.ndarray, "H W 3"]) -> SceneGuess:
    """The depths of a scene. Raises MissingPackageError when the weights are not there."""
    import cv2

    from img2world.depth.network import Channel

    height, width = rgb.shape[:2]
    small_width, small_height = working_size(width, height)
    small = cv2.resize(rgb, (small_width, small_height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    maps, _, _ = run_network(SCENE_WEIGHTS, small, np.ones(small.shape[:2], np.float32), is_object=False)
    log_depth = maps[Channel.SCENE_DEPTH]
    log_depth -= np.median(log_depth)
    return SceneGuess(
        inverse_depth=np.maximum(enlarged(np.exp(-log_depth), rgb), 1e-3),
        sky=enlarged(_sky(maps[Channel.MASK]), rgb).clip(0, 1),
    )


def guess_object(rgb: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"]) -> ObjectGuess:
    """The surfaces of an object in its square frame: the mean of what the network sees from OBJECT_SIDES.

    Raises MissingPackageError when the weights are not there.
    """
    before_white = rgb * alpha[..., None] + 1 - alpha[..., None]
    looks = [_object_at(before_white, alpha, side) for side in OBJECT_SIDES]
    return ObjectGuess(**{name: np.mean([look[name] for look in looks], axis=0) for name in looks[0]})


def _object_at(
    before_white: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"], side: int
) -> dict[str, Any]:
    """The fields of ObjectGuess when the whole frame is `side` pixels wide, of which the network sees the middle."""
    import cv2

    from img2world.depth.network import Channel

    size, seen = alpha.shape[0], round(AREA**0.5)
    picture, cover = (
        cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA) for values in (before_white, alpha)
    )
    picture, cover = centered(picture, seen, constant_values=1), centered(cover, seen, constant_values=0)
    maps, planes, elevation = run_network(OBJECT_WEIGHTS, picture, cover, is_object=True)
    maps = centered(maps.transpose(1, 2, 0), side, mode="edge")  # [side, side, 10]
    lengths = np.float32(seen / side)

    def full(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)

    thickness = lengths * np.logaddexp(0, maps[..., Channel.OBJECT_THICKNESS] - 2)
    doubt = lengths * np.exp(maps[..., Channel.DOUBT].clip(-6, 0))
    return {
        "front": full(lengths * maps[..., Channel.OBJECT_FRONT]),
        "thickness": np.maximum(full(thickness), 0),
        "doubt": np.maximum(full(doubt), 0),
        "planes": planes,
        "elevation": elevation,
    }


def centered(values: Float32[np.ndarray, "s s ..."], side: int, **padding: Any) -> Float32[np.ndarray, "t t ..."]:
    """The middle of a square map, or the map in the middle of a larger one that is filled as `np.pad` is told to."""
    less, more = (max(0, sign * (values.shape[0] - side)) // 2 for sign in (1, -1))
    kept = values[less : values.shape[0] - less, less : values.shape[1] - less]
    return np.pad(kept, [(more, more)] * 2 + [(0, 0)] * (values.ndim - 2), **padding) if more else kept


def working_size(width: int, height: int) -> tuple[int, int]:
    """Size of about AREA pixels with the picture's proportions and sides the network can take."""
    from img2world.depth.network import MULTIPLE

    scale = np.sqrt(AREA / (width * height))
    sides = [int(np.clip(round(side * scale / MULTIPLE) * MULTIPLE, 3 * MULTIPLE, LONGEST)) for side in (width, height)]
    return sides[0], sides[1]


def run_network(
    weights: str, rgb: Float32[np.ndarray, "h w 3"], alpha: Float32[np.ndarray, "h w"], *, is_object: bool
) -> tuple[Float32[np.ndarray, "10 h w"], Float32[np.ndarray, "37"], float]:
    """A network's maps, planes and elevation: the mean of those of the picture and of its mirror image.

    Raises MissingPackageError when its `weights` are not there.
    """
    import torch

    from img2world.depth.network import Stance, network_input

    picture = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
    cover = torch.from_numpy(np.ascontiguousarray(alpha))
    inputs = network_input(
        torch.stack([picture, picture.flip(2)]), torch.stack([cover, cover.flip(1)]), torch.tensor([is_object] * 2)
    )
    loaded = network(weights)
    with one_torch_thread(), torch.inference_mode():
        maps, stance = loaded(inputs.contiguous(memory_format=torch.channels_last))
    planes = stance[:, Stance.PLANES].softmax(1).numpy()
    return (
        (0.5 * (maps[0] + maps[1].flip(2))).contiguous().numpy(),
        0.5 * (planes[0] + mirrored_planes(planes[1])),
        float(stance[:, Stance.ELEVATION].mean()),
    )


def mirrored_planes(planes: Float32[np.ndarray, "37"]) -> Float32[np.ndarray, "37"]:
    """The planes of a mirrored picture: each direction from the other side."""
    return np.concatenate([np.roll(planes[-2::-1], 1), planes[-1:]])


@lru_cache(maxsize=3)
def network(weights: str) -> "NanoGeo":
    """The network with shipped weights. Raises MissingPackageError when they are not there."""
    from img2world.depth.network import NanoGeo
    from img2world.depth.weights import shipped

    state = shipped(weights, hint="install again, or add --set video.depth=heuristic --set trajectory.upright=false")
    return NanoGeo.of(state).requires_grad_(False).eval()


def enlarged(values: Float32[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """A small map at the picture's size, its steps moved to the picture's strong edges, its surfaces smooth."""
    import cv2

    height, width = rgb.shape[:2]
    pixel = width / values.shape[1]
    large = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    sharp = guided(large, gray, radius=max(2, round(1.5 * pixel)), eps=0.01)
    # What is left of the picture's texture would wrinkle the surface.
    return cv2.GaussianBlur(sharp, (0, 0), 0.4 * pixel)


def _sky(logit: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Probability of sky from the logit of everything else."""
    return 1 / (1 + np.exp(logit.clip(-30, 30)))
