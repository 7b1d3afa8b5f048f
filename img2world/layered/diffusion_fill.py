"""Let the embedded video diffusion network draw what the photo does not show, once for all frames of a path."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras, concatenate_cameras
from img2world.core.progress import Progress, silent
from img2world.core.threads import one_torch_thread
from img2world.depth.predict import working_size
from img2world.layered.anchor_frames import camera_numbers, frame_maps, frame_noise
from img2world.layered.layers import SEEN, LayeredImage
from img2world.layered.texture_baking import Stroke, painted
from img2world.layered.warp import Warped, Warper

if TYPE_CHECKING:
    from img2world.layered.fill_network import NanoFill

Fill = Literal["builtin", "off"]
"""builtin: the embedded diffusion network draws what is not seen; off: the colours beside it go on."""

WEIGHTS = "nano/nano_fill.safetensors"

ANCHORS = 8
"""Frames of a path that are drawn."""

AT_ONCE = 4
"""As many as the network was trained with; the next ones are drawn from the world as painted so far."""

STEPS = 1
"""From noise to picture. One gives the mean of what may be there; more give a sample of it, by PSNR farther off."""

SUPERSAMPLE = 4
"""Samples along each axis of a pixel of the small anchor frames."""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A frame as it is known so far."""

    warped: Warped
    camera: Cameras


def filled_world(
    world: LayeredImage,
    photo_camera: Cameras,
    path: Cameras,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> LayeredImage:
    """The world with what the photo does not show drawn onto its layers, for the cameras of a path.

    What the photo shows keeps its bits. Raises MissingPackageError when the weights are not there.
    """
    return repainted(network(), world, photo_camera, path, seed=seed, progress=progress)


def repainted(
    network: "NanoFill",
    world: LayeredImage,
    photo_camera: Cameras,
    path: Cameras,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress = silent,
) -> LayeredImage:
    """The same by any network."""
    width, height = working_size(path.width, path.height)
    chosen = np.unique(np.linspace(0, len(path) - 1, ANCHORS + 1).round().astype(int)[:ANCHORS])
    rounds = -(-len(chosen) // AT_ONCE)
    for i in range(rounds):
        warper = Warper(world)
        photo = anchor_of(warper, photo_camera.resized(width, height))
        cameras = [path.select([int(index)]).resized(width, height) for index in chosen[i::rounds]]
        wanted = [each for each in (anchor_of(warper, camera) for camera in cameras) if is_open(each)]
        if wanted:
            drawn = drawn_frames(network, [photo], wanted, is_object=world.is_object, steps=steps, seed=seed)
            strokes = [
                Stroke(camera=each.camera, depth=each.warped.depth, change=change_of(each, rgb))
                for each, rgb in zip(wanted, drawn, strict=True)
            ]
            world = replace(world, layers=tuple(painted(layer, strokes) for layer in world.layers))
        progress(i + 1, rounds)
    return world


def is_open(anchor: Anchor) -> bool:
    """Whether a frame shows anything that the photo does not."""
    return bool(((anchor.warped.seen < SEEN) & (anchor.warped.alpha > 0)).any())


def anchor_of(warper: Warper, camera: Cameras) -> Anchor:
    """A small frame of the world."""
    return Anchor(warped=warper.draw(camera, supersample=SUPERSAMPLE), camera=camera)


def change_of(anchor: Anchor, drawn: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """By how much a drawn frame differs from the one it was warped to; nothing where there is no surface."""
    known = anchor.warped.alpha[..., None] >= 0.5
    return np.where(known, drawn - anchor.warped.rgb, 0).astype(np.float32)


def drawn_frames(
    network: "NanoFill",
    given: Sequence[Anchor],
    wanted: Sequence[Anchor],
    *,
    is_object: bool,
    steps: int = STEPS,
    seed: int = 0,
) -> Float32[np.ndarray, "K h w 3"]:
    """The wanted frames as the network draws them, 0 to 1, from the given ones: the photo, or remembered frames.

    All have one size with sides that are multiples of 16. The result has the same bits for any number of threads.
    """
    import torch

    from img2world.layered.ddim import denoised

    frames = [*given, *wanted]
    first = frames[0].camera
    known = np.stack([frame_maps(each.warped, each.camera, first, is_object=is_object) for each in frames])
    numbers = camera_numbers(concatenate_cameras([each.camera for each in frames]))
    noise = np.stack([frame_noise(each.warped, each.camera, seed=seed) for each in wanted])
    maps, cameras = torch.from_numpy(known)[None], torch.from_numpy(numbers)[None]

    def predict(sample: torch.Tensor, level: int) -> torch.Tensor:
        return network(sample, torch.tensor([level]), maps, cameras)

    with one_torch_thread(), torch.inference_mode():
        drawn = denoised(predict, torch.from_numpy(noise)[None], steps)[0]
    return (0.5 * drawn.permute(0, 2, 3, 1) + 0.5).clamp(0, 1).contiguous().numpy()


@lru_cache(maxsize=1)
def network() -> "NanoFill":
    """The network with its shipped weights. Raises MissingPackageError when they are not there."""
    from img2world.depth.weights import shipped
    from img2world.layered.fill_network import NanoFill

    loaded = NanoFill()
    loaded.load_state_dict(shipped(WEIGHTS, hint="train them with `make train-fill`, or add --set video.fill=off"))
    return loaded.requires_grad_(False).eval()
