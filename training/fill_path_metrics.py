"""Accuracy of frames along a path through a layered image that nano-fill has filled, as `nano` uses it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from img2world.core.cameras import concatenate_cameras
from img2world.layered.diffusion_fill import NUM_ANCHORS, NUM_STEPS, fill_unseen
from img2world.layered.fill_network import NanoFill
from img2world.layered.inpaint import nearest_known
from img2world.layered.layers import SEEN
from img2world.layered.warp import Warped, Warper
from training.held_out import SEED, collect, mean_values, psnr_from_error
from training.layered_frames import build_layers
from training.sequences import OBJECT_SEQUENCE_FRACTION, FrameSequence, PosedFrame, SequenceGenerator
from training.views import ViewGenerator

TEST_FRAMES = 4
"""Frames that are measured, none of which the network generates."""

SIDE = 96

MIN_PIXELS = 0.003 * TEST_FRAMES * SIDE * SIDE
"""A region with fewer pixels in all test frames is not measured."""


def held_out_paths(
    count: int, *, seed: int = SEED + 1, textures: int = 160, object_fraction: float = OBJECT_SEQUENCE_FRACTION
) -> tuple[FrameSequence, ...]:
    """Return `count` sequences of a photo, ANCHORS frames to generate and TEST_FRAMES to measure."""
    generator = SequenceGenerator(ViewGenerator(seed, textures=textures), object_fraction=object_fraction)
    num_frames = 1 + NUM_ANCHORS + TEST_FRAMES
    return collect(lambda number: generator.sequence(number, count=num_frames, width=SIDE, height=SIDE), count)


def fill_path_metrics(
    network: NanoFill, sequences: Sequence[FrameSequence], *, steps: int = NUM_STEPS, predicted: bool = True
) -> dict[str, float]:
    """Return the mean PSNR in dB of frames between the generated ones, of unseen and of all pixels.

    Layers are `predicted`, as in use, or true, which measures the filling alone. `_before` is without the network,
    `_nearest` with the nearest colour that the photo shows.
    """
    rows: dict[str, list[float]] = {}
    for sequence in sequences:
        photo, anchors = sequence.frames[0], sequence.frames[1 : 1 + NUM_ANCHORS]
        layers = build_layers(photo, None, is_object=sequence.is_object, predicted=predicted)
        path = concatenate_cameras([frame.camera for frame in anchors])
        filled = fill_unseen(layers, photo.camera, path, network=network, steps=steps)
        before, after = Warper(layers), Warper(filled)
        errors = np.zeros((3, 2, 2))
        for frame in sequence.frames[1 + NUM_ANCHORS :]:
            unfilled = before.draw(frame.camera)
            warps = (unfilled, fill_nearest(unfilled), after.draw(frame.camera))
            errors += [squared_errors(warp, frame) for warp in warps]
        kind = "object" if sequence.is_object else "scene"
        for region, name in enumerate(("unseen", "all")):
            if errors[0, region, 1] < MIN_PIXELS:
                continue
            old, nearest, new = (psnr_from_error(error / pixels) for error, pixels in errors[:, region])
            for label, value in (("_before", old), ("_nearest", nearest), ("", new), ("_gain", new - old)):
                rows.setdefault(f"{kind}_{name}{label}", []).append(value)
    return mean_values(rows, 3)


def fill_nearest(warped: Warped) -> Warped:
    """Return the frame with unseen surfaces in the nearest seen colour."""
    seen = (warped.seen == SEEN) & (warped.alpha >= 0.5)
    if not seen.any():
        return warped
    _, rows, columns = nearest_known(seen)
    return replace(warped, rgb=np.where(seen[..., None], warped.rgb, warped.rgb[rows, columns]))


def squared_errors(warped: Warped, frame: PosedFrame) -> Float[np.ndarray, "2 2"]:
    """Return [squared error, pixels] of unseen and of all pixels on white, summed over what either image shows."""
    truth, coverage = frame.rgb.astype(np.float32) / 255, warped.alpha[..., None]
    error = ((warped.rgb * coverage + 1 - coverage - truth) ** 2).mean(-1)
    shown = (warped.alpha >= 0.5) | (frame.alpha >= 0.5)
    unseen = (warped.alpha >= 0.5) & (frame.alpha >= 0.5) & (warped.seen < SEEN)
    return np.array([[(error * region).sum(), region.sum()] for region in (unseen, shown)])
