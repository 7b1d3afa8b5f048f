"""What `nano` would know of a frame, made as it makes it: layers at guessed depths, or at true ones with errors."""

import cv2
import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.depth.predict import predict_object, predict_scene
from img2world.layered.anchor_frames import continued_rgb
from img2world.layered.depth_slices import Part, depth_slices
from img2world.layered.inpaint import nearest_known
from img2world.layered.layers import Layer, LayeredImage
from img2world.layered.layout import MIN_SKY, placed_parts
from img2world.layered.object_layers import MAX_RIM_SLOPE, CutOut, bevelled, colors_behind, layers_of_cut_out, shells
from img2world.layered.scene_layers import extended, parts_of_layout
from img2world.layered.warp import Warped, Warper
from training.sequences import Posed

NEAREST, FARTHEST = 0.4, 2.5
"""Depths of scenes that the layers are kept between."""


def cache_of(frame: Posed, rng: np.random.Generator | None, *, is_object: bool, guessed: bool) -> LayeredImage:
    """The layers of one frame: `guessed` by the embedded network, as they are in use, or true with errors.

    Without a generator, true layers have no errors.
    """
    if is_object:
        return object_cache(frame, rng, guessed=guessed)
    return scene_cache(frame, rng, guessed=guessed)


def object_cache(frame: Posed, rng: np.random.Generator | None, *, guessed: bool) -> LayeredImage:
    """Front and back."""
    inner = frame.alpha > 0.95
    own = continued_rgb(frame.rgb.astype(np.float32) / 255, inner if inner.any() else frame.alpha > 0.4)
    cut = CutOut(rgb=own, alpha=frame.alpha)
    if guessed:
        layers = layers_of_cut_out(cut, predict_object(cut.rgb, cut.alpha), frame.camera)
    else:
        layers = shells(cut, *true_halves(frame, rng), colors_behind(cut), frame.camera)
    return LayeredImage(layers=layers, is_object=True)


def true_halves(frame: Posed, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the middle and half thickness, with errors as a network makes them."""
    shape = frame.depth.shape
    size = shape[0]
    frame_width = INPUT_DISTANCE * size / float(frame.camera.intrinsics[0, 0, 0])
    inside = frame.alpha >= 0.5
    known = frame.known if frame.known.any() else inside
    _, rows, columns = nearest_known(known)
    both = (frame.depth[rows, columns], frame.hidden_depth[rows, columns])
    front, back = both if rng is None else (cv2.GaussianBlur(each, (0, 0), rng.uniform(0.3, 2)) for each in both)
    error = 0.0 if rng is None else rough(rng, shape, rng.uniform(0, 0.25)) + rng.normal(0, 0.15)
    thickness = np.maximum(back - front, 1e-3) * np.exp(error)
    half = bevelled((0.5 * size * thickness / frame_width).astype(np.float32), frame.alpha, MAX_RIM_SLOPE) / size
    middle = (front + back) / 2
    if rng is not None:
        middle = middle + frame_width * rough(rng, shape, rng.uniform(0, 0.04))
    return middle.astype(np.float32), (frame_width * half).astype(np.float32)


def scene_cache(frame: Posed, rng: np.random.Generator | None, *, guessed: bool) -> LayeredImage:
    """Layers cut and continued as `nano` does it."""
    if guessed:
        sky = (~frame.known).astype(np.float32)
        sky = cv2.GaussianBlur(sky, (0, 0), 0.7) if sky.mean() > MIN_SKY else None
        # The parts themselves are found too slowly for a training; the sky is the one that matters.
        parts = parts_of_layout(placed_parts(frame.rgb, predict_scene(frame.rgb), sky, None))
        return LayeredImage(layers=layers_of_parts(frame, parts), is_object=False)
    depth = np.where(frame.known, frame.depth, FARTHEST)
    log_depth = np.log(depth).astype(np.float32)
    if rng is not None:
        log_depth = cv2.GaussianBlur(log_depth, (0, 0), rng.uniform(0.3, 1.5))
        log_depth = log_depth * rng.uniform(0.7, 1.15) + rough(rng, depth.shape, rng.uniform(0, 0.12))
    inverse_depth = np.exp(-log_depth).clip(1 / FARTHEST, 1 / NEAREST)
    return LayeredImage(layers=layers_of_parts(frame, depth_slices(inverse_depth.astype(np.float32))), is_object=False)


def layers_of_parts(frame: Posed, parts: list[Part]) -> tuple[Layer, ...]:
    """Make a layer of each part of a scene."""
    color = frame.rgb.astype(np.float32) / 255
    return tuple(extended(frame.camera, color, part, textured=True) for part in parts)


def rough(rng: np.random.Generator, shape: tuple[int, ...], strength: float) -> Float32[np.ndarray, "H W"]:
    """Smooth noise."""
    coarse = rng.standard_normal((6, 6)).astype(np.float32)
    return np.float32(strength) * cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def warped_from(warpers: list[Warper], camera: Cameras) -> Warped:
    """What one camera sees of several caches: what was seen goes before what was not, then the nearer."""
    all_warped = [warper.draw(camera, supersample=1) for warper in warpers]
    best = all_warped[0]
    for other in all_warped[1:]:
        rank = [np.where(each.alpha > 0, 1.0 + each.seen, 0.0) for each in (best, other)]
        better = (rank[1] > rank[0]) | ((rank[1] == rank[0]) & (rank[1] > 0) & (other.depth < best.depth))
        best = Warped(
            rgb=np.where(better[..., None], other.rgb, best.rgb),
            alpha=np.where(better, other.alpha, best.alpha),
            depth=np.where(better, other.depth, best.depth),
            seen=np.where(better, other.seen, best.seen),
        )
    return best
