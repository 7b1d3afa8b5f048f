"""Prediction of the geometry of one photo by the embedded networks: depth of scenes, front and thickness of objects."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.subject import ObjectGeometry, SceneGeometry
from img2world.core.threads import one_torch_thread

if TYPE_CHECKING:
    from img2world.depth.network import GeometryNetwork
    from img2world.depth.scene_network import SceneNetwork

OBJECT_WEIGHTS, SCENE_WEIGHTS = "nano/nano_geo_object.safetensors", "nano/nano_geo_scene.safetensors"
"""Two networks of one architecture: a single one forgot the kind of picture that it was not trained on last."""

PHOTO_WEIGHTS = "nano/nano_depth_scene.safetensors"
"""A head for the depth of scenes on features that were learned on photos."""

SCENE_SIDES, PHOTO_SIDE = (96, 160), 192
"""Sides of square pictures that the two networks for scenes are given; others have the same area."""

AREA = 96 * 96
"""Number of pixels of the network's input; it was trained on pictures of about this size."""

OBJECT_SIDES = (66, 76, 86, 96, 106, 116, 126)
"""Sides in pixels to which the frame is scaled; the predictions are averaged, since their errors differ."""

MAX_ASPECT = 4
"""Maximum ratio of the sides of the network's input; a longer side is compressed."""


def predict_scene(rgb: UInt8[np.ndarray, "H W 3"]) -> SceneGeometry:
    """Predict the depth of a scene as the mean of two networks' logarithms, and its sky.

    One network knows how rooms and streets recede, seen whole and in detail; the other one sees what stands out.
    Raises MissingPackageError when the weights are missing.
    """
    import cv2

    from img2world.depth.network import Channel
    from img2world.depth.scene_network import MULTIPLE

    height, width = rgb.shape[:2]

    def picture(side: int, multiple: int = 16) -> Float32[np.ndarray, "h w 3"]:
        size = working_size(width, height, area=side**2, multiple=multiple)
        return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    finest = picture(PHOTO_SIDE, MULTIPLE)
    log_depth, sky = run_photo_network(finest)
    log_depth -= np.median(log_depth)
    for side in SCENE_SIDES:
        small = picture(side)
        maps, _, _ = run_network(SCENE_WEIGHTS, small, np.ones(small.shape[:2], np.float32), is_object=False)
        maps = maps[[Channel.SCENE_DEPTH, Channel.MASK]]
        other, known = (cv2.resize(values, finest.shape[1::-1], interpolation=cv2.INTER_CUBIC) for values in maps)
        log_depth += (other - np.median(other)) / len(SCENE_SIDES)
        sky -= known / len(SCENE_SIDES)
    log_depth *= 0.5
    return SceneGeometry(inverse_depth=np.exp(np.median(log_depth) - log_depth), sky=_sigmoid(0.5 * sky))


def run_photo_network(
    rgb: Float32[np.ndarray, "h w 3"],
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Return log depth and the logit of sky, each the mean over the picture and its mirror image.

    Raises MissingPackageError when the weights are missing.
    """
    import cv2
    import torch

    picture = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
    loaded = photo_network()
    with one_torch_thread(), torch.inference_mode():
        maps = loaded(torch.stack([picture, picture.flip(2)]).contiguous(memory_format=torch.channels_last))
    mean = (0.5 * (maps[0] + maps[1].flip(2))).contiguous().numpy()
    log_depth, sky = (cv2.resize(values, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC) for values in mean)
    return log_depth, sky


def predict_object(rgb: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"]) -> ObjectGeometry:
    """Predict the shape of an object in its square frame: the mean of predictions at the sizes of OBJECT_SIDES.

    `rgb` and `alpha` are 0 to 1. Raises MissingPackageError when the weights are missing.
    """
    on_white = rgb * alpha[..., None] + 1 - alpha[..., None]
    predictions = [_object_at(on_white, alpha, side) for side in OBJECT_SIDES]
    means = {name: np.mean([each[name] for each in predictions], axis=0) for name in predictions[0]}
    return ObjectGeometry(**{**means, "elevation": float(means["elevation"])})


def _object_at(on_white: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"], side: int) -> dict[str, Any]:
    """Return the fields of ObjectGeometry, predicted from the center of the frame scaled to `side` pixels."""
    import cv2

    from img2world.depth.network import Channel

    size, seen = alpha.shape[0], round(AREA**0.5)
    picture, cover = (cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA) for values in (on_white, alpha))
    picture, cover = centered(picture, seen, constant_values=1), centered(cover, seen, constant_values=0)
    maps, planes, elevation = run_network(OBJECT_WEIGHTS, picture, cover, is_object=True)
    maps = centered(maps.transpose(1, 2, 0), side, mode="edge")  # [side, side, 10]
    lengths = np.float32(seen / side)

    def full(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)

    thickness = lengths * np.logaddexp(0, maps[..., Channel.OBJECT_THICKNESS] - 2)
    predicted_error = lengths * np.exp(maps[..., Channel.PREDICTED_ERROR].clip(-6, 0))
    return {
        "front": full(lengths * maps[..., Channel.OBJECT_FRONT]),
        "thickness": np.maximum(full(thickness), 0),
        "predicted_error": np.maximum(full(predicted_error), 0),
        "symmetry_planes": planes,
        "elevation": elevation,
    }


def centered(values: Float32[np.ndarray, "s s ..."], side: int, **padding: Any) -> Float32[np.ndarray, "t t ..."]:
    """Return the center of a square map, or the map centered in a larger one, padded as by `np.pad`."""
    less, more = (max(0, sign * (values.shape[0] - side)) // 2 for sign in (1, -1))
    kept = values[less : values.shape[0] - less, less : values.shape[1] - less]
    return np.pad(kept, [(more, more)] * 2 + [(0, 0)] * (values.ndim - 2), **padding) if more else kept


def working_size(width: int, height: int, *, area: int = AREA, multiple: int = 16) -> tuple[int, int]:
    """Return a width and height of about `area` pixels with the picture's proportions, both multiples of `multiple`."""
    scale, longest = np.sqrt(area / (width * height)), round((MAX_ASPECT * area) ** 0.5)
    sides = [
        int(np.clip(round(side * scale / multiple) * multiple, max(48, 2 * multiple), longest // multiple * multiple))
        for side in (width, height)
    ]
    return sides[0], sides[1]


def run_network(
    weights: str, rgb: Float32[np.ndarray, "h w 3"], alpha: Float32[np.ndarray, "h w"], *, is_object: bool
) -> tuple[Float32[np.ndarray, "10 h w"], Float32[np.ndarray, "37"], float]:
    """Return maps, symmetry planes and elevation, each the mean over the picture and its mirror image.

    Raises MissingPackageError when the `weights` are missing.
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
    """Return the symmetry planes of the mirrored picture, with the directions negated."""
    return np.concatenate([np.roll(planes[-2::-1], 1), planes[-1:]])


@lru_cache(maxsize=3)
def network(weights: str) -> "GeometryNetwork":
    """Load a network with its shipped weights. Raises MissingPackageError when they are missing."""
    from img2world.depth.network import GeometryNetwork
    from img2world.depth.weights import shipped

    state = shipped(weights, hint="reinstall img2world: its assets are incomplete")
    return GeometryNetwork.from_state(state).requires_grad_(False).eval()


@lru_cache(maxsize=1)
def photo_network() -> "SceneNetwork":
    """Load the network for depth on photos. Raises MissingPackageError when its weights are missing."""
    from img2world.depth.scene_network import SceneNetwork
    from img2world.depth.weights import shipped

    state = shipped(PHOTO_WEIGHTS, hint="reinstall img2world: its assets are incomplete")
    return SceneNetwork.from_state(state).requires_grad_(False).eval()


def _sigmoid(logits: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the probability of a logit."""
    return 1 / (1 + np.exp(-logits.clip(-30, 30)))
