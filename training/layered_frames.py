"""Layered images of frames as `nano` builds them, at predicted depths or at true depths with errors."""

import cv2
import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.depth.predict import predict_object, predict_scene
from img2world.layered.depth_slices import Part, slice_depth
from img2world.layered.inpaint import extend_colors, nearest_known
from img2world.layered.layers import DETAIL, Layer, LayeredImage
from img2world.layered.layout import MIN_SKY, place_parts
from img2world.layered.mirror import mirror_along_lines
from img2world.layered.object_layers import MAX_RIM_SLOPE, CutOut, bevel, colors_behind, layers_of_cut_out, shell_layers
from img2world.layered.scene_layers import extend_part, margins_of, parts_of_layout
from img2world.layered.warp import Warped, Warper
from training.sequences import PosedFrame

MIN_DEPTH, MAX_DEPTH = 0.4, 2.5
"""Range that the depths of scenes are clamped to."""


def build_layers(
    frame: PosedFrame, rng: np.random.Generator | None, *, is_object: bool, predicted: bool
) -> LayeredImage:
    """Return the layers of a frame: `predicted` by the embedded network, as in use, or true.

    Given a generator, true layers have errors like those of a network.
    """
    if is_object:
        return build_object_layers(frame, rng, predicted=predicted)
    return build_scene_layers(frame, rng, predicted=predicted)


def build_object_layers(frame: PosedFrame, rng: np.random.Generator | None, *, predicted: bool) -> LayeredImage:
    """Return the front and back layers of an object."""
    inner = frame.alpha > 0.95
    rgb = extend_colors(frame.rgb.astype(np.float32) / 255, inner if inner.any() else frame.alpha > 0.4)
    cut = CutOut(rgb=rgb, alpha=frame.alpha)
    if predicted:
        layers = layers_of_cut_out(cut, predict_object(cut.rgb, cut.alpha), frame.camera)
    else:
        layers = shell_layers(cut, *true_center_and_thickness(frame, rng), colors_behind(cut), frame.camera)
    return LayeredImage(layers=layers, is_object=True)


def true_center_and_thickness(frame: PosedFrame, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth of the centre between front and back and half the thickness; given a generator, with errors."""
    shape = frame.depth.shape
    size = shape[0]
    frame_width = INPUT_DISTANCE * size / float(frame.camera.intrinsics[0, 0, 0])
    inside = frame.alpha >= 0.5
    known = frame.known if frame.known.any() else inside
    _, rows, columns = nearest_known(known)
    front, back = frame.depth[rows, columns], frame.hidden_depth[rows, columns]
    if rng is not None:
        front, back = (cv2.GaussianBlur(depth, (0, 0), rng.uniform(0.3, 2)) for depth in (front, back))
    error = 0.0 if rng is None else smooth_noise(rng, shape, rng.uniform(0, 0.25)) + rng.normal(0, 0.15)
    thickness = np.maximum(back - front, 1e-3) * np.exp(error)
    half = bevel((0.5 * size * thickness / frame_width).astype(np.float32), frame.alpha, MAX_RIM_SLOPE) / size
    center = (front + back) / 2
    if rng is not None:
        center = center + frame_width * smooth_noise(rng, shape, rng.uniform(0, 0.04))
    return center.astype(np.float32), (frame_width * half).astype(np.float32)


def build_scene_layers(frame: PosedFrame, rng: np.random.Generator | None, *, predicted: bool) -> LayeredImage:
    """Return the layers of a scene, cut at depth edges and continued behind them."""
    if predicted:
        sky = (~frame.known).astype(np.float32)
        sky = cv2.GaussianBlur(sky, (0, 0), 0.7) if sky.mean() > MIN_SKY else None
        # Segmenting the subject is too slow for training; the sky matters more.
        parts = parts_of_layout(place_parts(frame.rgb, predict_scene(frame.rgb), sky, None))
        return LayeredImage(layers=make_layers(frame, parts), is_object=False)
    depth = np.where(frame.known, frame.depth, MAX_DEPTH)
    log_depth = np.log(depth).astype(np.float32)
    if rng is not None:
        log_depth = cv2.GaussianBlur(log_depth, (0, 0), rng.uniform(0.3, 1.5))
        log_depth = log_depth * rng.uniform(0.7, 1.15) + smooth_noise(rng, depth.shape, rng.uniform(0, 0.12))
    inverse_depth = np.exp(-log_depth).clip(1 / MAX_DEPTH, 1 / MIN_DEPTH)
    return LayeredImage(layers=make_layers(frame, slice_depth(inverse_depth.astype(np.float32))), is_object=False)


def make_layers(frame: PosedFrame, parts: list[Part]) -> tuple[Layer, ...]:
    """Return a layer for each part of a scene."""
    color, fine = frame.rgb.astype(np.float32) / 255, frame.rgb.repeat(DETAIL, 0).repeat(DETAIL, 1)
    mirror = mirror_along_lines(color, margins_of(color))
    return tuple(extend_part(frame.camera, color, mirror, part, fine=fine) for part in parts)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], strength: float) -> Float32[np.ndarray, "H W"]:
    """Return smooth normal noise with the given standard deviation."""
    coarse = rng.standard_normal((6, 6)).astype(np.float32)
    return np.float32(strength) * cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def merge_warps(warpers: list[Warper], camera: Cameras) -> Warped:
    """Return one camera's view of several layered images, preferring seen pixels, then nearer ones."""
    best, *others = (warper.draw(camera, supersample=1) for warper in warpers)
    for other in others:
        rank = [np.where(each.alpha > 0, 1.0 + each.seen, 0.0) for each in (best, other)]
        better = (rank[1] > rank[0]) | ((rank[1] == rank[0]) & (rank[1] > 0) & (other.depth < best.depth))
        best = Warped(
            rgb=np.where(better[..., None], other.rgb, best.rgb),
            alpha=np.where(better, other.alpha, best.alpha),
            depth=np.where(better, other.depth, best.depth),
            seen=np.where(better, other.seen, best.seen),
        )
    return best
