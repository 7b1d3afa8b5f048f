"""How much nearer to the truth the frames of a path come when a world is filled as `nano` fills it."""

from collections.abc import Sequence as Many
from dataclasses import replace

import numpy as np

from img2world.core.cameras import concatenate_cameras
from img2world.layered.diffusion_fill import ANCHORS, STEPS, repainted
from img2world.layered.fill_network import NanoFill
from img2world.layered.inpaint import nearest_known
from img2world.layered.layers import SEEN
from img2world.layered.warp import Warped, Warper
from training.layered_frames import cache_of
from training.fill_metrics import decibels
from training.held_out import SEED
from training.sequences import OBJECT_SHARE_OF_SEQUENCES, Filming, Posed, Sequence
from training.views import Studio

BETWEEN = 4
"""Frames that are judged; the network draws others."""

SIDE = 96


def held_out_paths(
    count: int, *, seed: int = SEED + 1, textures: int = 160, objects: float = OBJECT_SHARE_OF_SEQUENCES
) -> list[Sequence]:
    """`count` sequences of a photo, ANCHORS frames to draw and BETWEEN to judge; `objects` is the share of things."""
    filming = Filming(Studio(seed, textures=textures), objects=objects)
    found: list[Sequence] = []
    number = 0
    while len(found) < count:
        made = filming.sequence(number, count=1 + ANCHORS + BETWEEN, width=SIDE, height=SIDE)
        if made is not None:
            found.append(made)
        number += 1
    return found


def in_use_table(
    network: NanoFill, sequences: Many[Sequence], *, steps: int = STEPS, guessed: bool = True
) -> dict[str, float]:
    """Mean PSNR in dB of frames between the drawn ones: where the photo shows nothing, and over all.

    Layers are `guessed`, as in use, or true, so that fill alone is measured. `_before` is the world as it was,
    `_nearest` each frame with the nearest colour that the photo shows.
    """
    rows: dict[str, list[float]] = {}
    for sequence in sequences:
        photo, drawn, judged = sequence.frames[0], sequence.frames[1 : 1 + ANCHORS], sequence.frames[1 + ANCHORS :]
        world = cache_of(photo, None, is_object=sequence.is_object, guessed=guessed)
        filled = repainted(
            network, world, photo.camera, concatenate_cameras([frame.camera for frame in drawn]), steps=steps
        )
        warpers = Warper(world), Warper(filled)
        pairs = [wrong(*warpers, frame) for frame in judged]
        before, nearest, after = (np.sum(each, 0) for each in zip(*pairs, strict=True))
        kind = "object" if sequence.is_object else "scene"
        for region, name in enumerate(("unseen", "all")):
            if before[region, 1] < 0.003 * BETWEEN * SIDE * SIDE:
                continue
            old, near, new = (decibels(each[region, 0] / each[region, 1]) for each in (before, nearest, after))
            for label, value in (("_before", old), ("_nearest", near), ("", new), ("_gain", new - old)):
                rows.setdefault(f"{kind}_{name}{label}", []).append(value)
    return {name: round(float(np.mean(values)), 3) for name, values in sorted(rows.items())}


def wrong(world: Warper, filled: Warper, frame: Posed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of squared errors and numbers of pixels, unseen and all: before, with nearest colours, and after."""
    truth = frame.rgb.astype(np.float32) / 255
    before, after = (each.draw(frame.camera) for each in (world, filled))
    return sums(before, truth, frame), sums(with_nearest(before), truth, frame), sums(after, truth, frame)


def with_nearest(warped: Warped) -> Warped:
    """The frame with the nearest seen colour wherever there is a surface that the photo does not show."""
    seen = (warped.seen == SEEN) & (warped.alpha >= 0.5)
    if not seen.any():
        return warped
    _, rows, columns = nearest_known(seen)
    return replace(warped, rgb=np.where(seen[..., None], warped.rgb, warped.rgb[rows, columns]))


def sums(warped: Warped, truth: np.ndarray, frame: Posed) -> np.ndarray:
    """[unseen, all] × [squared error, pixels], before white; all being what either shows."""
    cover = warped.alpha[..., None]
    error = ((warped.rgb * cover + 1 - cover - truth) ** 2).mean(-1)
    shown = (warped.alpha >= 0.5) | (frame.alpha >= 0.5)
    unseen = (warped.alpha >= 0.5) & (frame.alpha >= 0.5) & (warped.seen < SEEN)
    return np.array([[(error * region).sum(), region.sum()] for region in (unseen, shown)])
