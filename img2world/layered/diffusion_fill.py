"""Texture the surfaces that the photo does not show with the embedded video diffusion network.

The network generates a few anchor frames of a path; their colors are baked into the layers, so that all frames agree.
"""

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
from img2world.layered.anchor_frames import camera_features, conditioning_maps, frame_noise
from img2world.layered.layers import SEEN, LayeredImage
from img2world.layered.texture_baking import ColorChange, bake_changes
from img2world.layered.warp import Warped, Warper

if TYPE_CHECKING:
    from img2world.layered.fill_network import NanoFill

Fill = Literal["builtin", "off"]
"""builtin: the embedded diffusion network draws what is not seen; off: the colors next to it continue."""

WEIGHTS = "nano/nano_fill.safetensors"

NUM_ANCHORS = 8
"""Frames of a path that are generated."""

ANCHORS_PER_PASS = 4
"""Frames that are generated together, as in training; later passes start from the textures baked so far."""

NUM_STEPS = 1
"""Steps of the sampler. One gives the mean of the plausible images; more give a sample, whose PSNR is lower."""

SUPERSAMPLE = 4
"""Samples per pixel along each axis of the small anchor frames."""


@dataclass(frozen=True, kw_only=True)
class AnchorFrame:
    """A frame warped from the layers textured so far."""

    warped: Warped
    camera: Cameras


def fill_unseen(
    image: LayeredImage,
    photo_camera: Cameras,
    path: Cameras,
    *,
    network: "NanoFill | None" = None,
    steps: int = NUM_STEPS,
    seed: int = 0,
    progress: Progress = silent,
) -> LayeredImage:
    """Texture what the photo does not show and the cameras of a path see; what it shows keeps its bits.

    `network` is the shipped one unless given. Raises MissingPackageError when its weights are missing.
    """
    network = network or load_network()
    width, height = working_size(path.width, path.height)
    chosen = np.unique(np.linspace(0, len(path) - 1, NUM_ANCHORS + 1).round().astype(int)[:NUM_ANCHORS])
    passes = -(-len(chosen) // ANCHORS_PER_PASS)
    for i in range(passes):
        warper = Warper(image)
        photo = draw_anchor(warper, photo_camera.resized(width, height))
        cameras = [path.select([int(index)]).resized(width, height) for index in chosen[i::passes]]
        anchors = [each for each in (draw_anchor(warper, camera) for camera in cameras) if shows_unseen(each)]
        if anchors:
            generated = generate_anchors(network, [photo], anchors, is_object=image.is_object, steps=steps, seed=seed)
            changes = [color_change(each, rgb) for each, rgb in zip(anchors, generated, strict=True)]
            image = replace(image, layers=tuple(bake_changes(layer, changes) for layer in image.layers))
        progress(i + 1, passes)
    return image


def shows_unseen(anchor: AnchorFrame) -> bool:
    """Return True if a frame shows a surface that the photo does not."""
    return bool(((anchor.warped.seen < SEEN) & (anchor.warped.alpha > 0)).any())


def draw_anchor(warper: Warper, camera: Cameras) -> AnchorFrame:
    """Draw what one camera sees of the layers."""
    return AnchorFrame(warped=warper.draw(camera, supersample=SUPERSAMPLE), camera=camera)


def color_change(anchor: AnchorFrame, generated: Float32[np.ndarray, "h w 3"]) -> ColorChange:
    """Return how a generated frame differs from the warped one; nowhere where there is no surface."""
    known = anchor.warped.alpha[..., None] >= 0.5
    change = np.where(known, generated - anchor.warped.rgb, 0).astype(np.float32)
    return ColorChange(camera=anchor.camera, depth=anchor.warped.depth, change=change)


def generate_anchors(
    network: "NanoFill",
    given: Sequence[AnchorFrame],
    anchors: Sequence[AnchorFrame],
    *,
    is_object: bool,
    steps: int = NUM_STEPS,
    seed: int = 0,
) -> Float32[np.ndarray, "K h w 3"]:
    """Return the anchor frames as the network generates them, 0 to 1, next to clean `given` ones such as the photo.

    All frames have one size, whose sides are multiples of 16. The result does not depend on the number of threads.
    """
    import torch

    from img2world.layered.ddim import denoise

    frames = [*given, *anchors]
    first = frames[0].camera
    conditions = np.stack([conditioning_maps(each.warped, each.camera, first, is_object=is_object) for each in frames])
    features = camera_features(concatenate_cameras([each.camera for each in frames]))
    noise = np.stack([frame_noise(each.warped, each.camera, seed=seed) for each in anchors])
    maps, cameras = torch.from_numpy(conditions)[None], torch.from_numpy(features)[None]

    def predict(sample: torch.Tensor, step: int) -> torch.Tensor:
        return network(sample, torch.tensor([step]), maps, cameras)

    with one_torch_thread(), torch.inference_mode():
        generated = denoise(predict, torch.from_numpy(noise)[None], steps)[0]
    return (0.5 * generated.permute(0, 2, 3, 1) + 0.5).clamp(0, 1).contiguous().numpy()


@lru_cache(maxsize=1)
def load_network() -> "NanoFill":
    """Load the network with its shipped weights. Raises MissingPackageError when they are missing."""
    from img2world.depth.weights import shipped
    from img2world.layered.fill_network import NanoFill

    loaded = NanoFill()
    loaded.load_state_dict(shipped(WEIGHTS, hint="train them with `make train-fill`, or add --set video.fill=off"))
    return loaded.requires_grad_(False).eval()
