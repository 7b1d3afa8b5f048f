"""The parts of a layout at the depths that the embedded network guesses.

The parts' outlines come from the full picture and are sharper than what the network sees. Where no part ends, the
depth is one unbroken surface: a wrong cut shows more than a stretched step.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.depth.predict import SceneGuess, guess_scene
from img2world.layered.inpaint import nearest_known
from img2world.layered.layout import WORK_SIZE, Layout, refined

NEAREST, FARTHEST = 0.5, 4.0
"""Depths that the guesses are kept between; the middle of the picture's depths is 1."""

STANDS_OUT = 1.03
"""A part is at least this much nearer than what is behind it."""


LEAST_SKY = 0.06
"""Less of the picture is not cut out as sky."""


def with_learned_depth(layout: Layout, rgb: UInt8[np.ndarray, "H W 3"]) -> Layout:
    """The same parts at their guessed depths, with a sky where the network sees one, and only there.

    Raises MissingPackageError without weights.
    """
    guess = guess_scene(rgb)
    sky = layout.sky if is_sky(layout.sky, guess) else None
    if sky is None and layout.subject is None:
        sky = own_sky(guess, rgb)
    far = np.float32(1 / FARTHEST)
    inverse_depth = guess.inverse_depth.clip(far, 1 / NEAREST)
    if sky is not None:
        # Of the sky's depth the network has learned nothing. Where no sky is cut out, a petal or a wall that it takes
        # for one with little certainty would be torn from what is beside it.
        inverse_depth = inverse_depth * (1 - guess.sky) + far * guess.sky
    nothing = np.zeros(inverse_depth.shape, np.float32)
    behind = nothing if sky is None else sky
    before = nothing if layout.subject is None else layout.subject
    ground = filled_from_beside(inverse_depth, ~widened((behind > 0.2) | (before > 0.2)))
    backdrop = filled_from_beside(inverse_depth, ~widened(behind < 0.8))
    backdrop = np.minimum(backdrop, ground / np.float32(STANDS_OUT))
    standing = inverse_depth
    if layout.subject is not None:
        inner = ~widened(before < 0.8)
        if inner.any():
            _, rows, columns = nearest_known(inner)
            standing = inverse_depth[rows, columns]
        standing = np.maximum(standing, np.float32(STANDS_OUT) * ground)
    return replace(layout, ground=ground, sky=sky, subject_inverse_depth=standing, sky_inverse_depth=backdrop)


def is_sky(alpha: Float32[np.ndarray, "H W"] | None, guess: SceneGuess) -> bool:
    """Whether most of what stands out as a sky is one to the network, and not a wall."""
    return alpha is not None and bool((alpha * guess.sky).sum() > 0.5 * alpha.sum())


def own_sky(guess: SceneGuess, rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"] | None:
    """Alpha of the sky that the network sees, or None when it sees little."""
    import cv2

    small = cv2.resize(guess.sky, None, fx=WORK_SIZE / max(rgb.shape), fy=WORK_SIZE / max(rgb.shape))
    mask = cv2.morphologyEx((small > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)) > 0
    return refined(mask, rgb) if mask.mean() > LEAST_SKY else None


def widened(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The mask and what lies so close to it that the network's depths are mixed there."""
    import cv2

    reach = 2 * round(max(mask.shape) / 128) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0


def filled_from_beside(
    inverse_depth: Float32[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W"]:
    """Known depths, and between them those of the nearest, smoothed."""
    import cv2

    if known.all() or not known.any():
        return inverse_depth
    _, rows, columns = nearest_known(known)
    filled = cv2.GaussianBlur(inverse_depth[rows, columns], (0, 0), max(known.shape) / 40)
    return np.where(known, inverse_depth, filled).astype(np.float32)
