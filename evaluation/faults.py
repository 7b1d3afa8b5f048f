"""Video clips with known faults, made from clean ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from evaluation.degradations import Degradation, degrade_frames
from evaluation.placement import square_cameras
from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.frames import Frames
from img2world.core.rotation import rotation_about
from img2world.video.synthetic import SyntheticVideo

NUM_FRAMES = 22
"""Frames of a clean clip."""

Rgb = UInt8[np.ndarray, "V H W 3"]


@dataclass(frozen=True, kw_only=True)
class CleanClips:
    """Clips without faults."""

    room: Rgb
    object_clip: Rgb
    panning: Rgb
    """The room seen by a camera that rotates in place."""
    other_room: Rgb
    other_object: Rgb


@dataclass(frozen=True, kw_only=True)
class FaultyClip:
    """A clip with one fault or none."""

    frames: Frames
    expected: tuple[str, ...]
    """Kinds of finding that name the fault; empty for a clip without one."""
    fault_frames: tuple[int, ...] = ()
    """Frames with the fault; empty where all have it."""


def render_clean_clips(seed: int, degradation: Degradation | None, size: int) -> CleanClips:
    """Render random clips, with the degradations of a generator."""

    def clip(poses: np.ndarray, kind: Literal["room", "object"], fov_deg: float, number: int) -> Rgb:
        cameras = square_cameras(poses.astype(np.float32), np.radians(fov_deg), size)
        video = SyntheticVideo(kind=kind).generate(None, cameras, seed=number)
        return degrade_frames(Frames(rgb=video.rgb, alpha=video.alpha, times=video.times), degradation, seed=number).rgb

    rng = np.random.default_rng([seed, 5])
    walk = on_sphere(np.radians(60) * np.linspace(-0.5, 0.5, NUM_FRAMES), np.full(NUM_FRAMES, rng.uniform(0.1, 0.3)))
    circle = orbit(NUM_FRAMES, elevation=rng.uniform(0.1, 0.3))
    pan = np.tile(np.eye(4), (NUM_FRAMES, 1, 1))
    pan[:, 2, 3] = -0.9
    for i in range(NUM_FRAMES):
        pan[i, :3, :3] = rotation_about(np.array([0.0, 1.0, 0.0]), 0.6 * (i / (NUM_FRAMES - 1) - 0.5))
    return CleanClips(
        room=clip(walk, "room", 60.0, 10 * seed),
        object_clip=clip(circle, "object", 40.0, 10 * seed),
        panning=clip(pan, "room", 60.0, 10 * seed),
        other_room=clip(walk, "room", 60.0, 10 * seed + 5),
        other_object=clip(circle, "object", 40.0, 10 * seed + 5),
    )


def _make_frames(rgb: Rgb) -> Frames:
    return Frames(rgb=np.ascontiguousarray(rgb), times=np.arange(len(rgb)) / 12.0)


def _cut(first: Rgb, second: Rgb) -> FaultyClip:
    return FaultyClip(
        frames=_make_frames(np.concatenate([first[:11], second[:11]])), expected=("cut",), fault_frames=(11,)
    )


def _match_colors(rgb: Rgb, target: Rgb) -> Rgb:
    """Return a clip with the mean colours and contrast of another."""
    mean, spread = rgb.mean((0, 1, 2)), rgb.std((0, 1, 2))
    matched = (rgb - mean) / spread * target.std((0, 1, 2)) + target.mean((0, 1, 2))
    return np.clip(matched, 0, 255).astype(np.uint8)


def _jump(rgb: Rgb) -> FaultyClip:
    return FaultyClip(frames=_make_frames(np.concatenate([rgb[:8], rgb[15:]])), expected=("jump",), fault_frames=(8,))


def _frozen(rgb: Rgb) -> FaultyClip:
    return FaultyClip(frames=_make_frames(np.repeat(rgb[:1], 12, 0)), expected=("frozen",))


def _repeated(rgb: Rgb) -> FaultyClip:
    order = [*range(8), 7, *range(8, 15), 14, *range(15, len(rgb))]
    return FaultyClip(frames=_make_frames(rgb[order]), expected=("repeated",), fault_frames=(8, 16))


def _flicker(rgb: Rgb, rng: np.random.Generator) -> FaultyClip:
    gains = 1 + 0.15 * rng.normal(size=(len(rgb), 1, 1, 1))
    return FaultyClip(frames=_make_frames(np.clip(rgb * gains, 0, 255).astype(np.uint8)), expected=("flicker",))


def _mirrored(rgb: Rgb) -> FaultyClip:
    rgb = rgb.copy()
    rgb[9:13] = rgb[9:13, :, ::-1]
    return FaultyClip(frames=_make_frames(rgb), expected=("mirrored",), fault_frames=(9, 10, 11, 12))


def _backwards(rgb: Rgb) -> FaultyClip:
    rgb = rgb.copy()
    rgb[7:15] = rgb[7:15][::-1]
    return FaultyClip(frames=_make_frames(rgb), expected=("backwards",), fault_frames=tuple(range(7, 15)))


def _bars(rgb: Rgb) -> FaultyClip:
    rgb, high = rgb.copy(), rgb.shape[1] // 8
    rgb[:, :high] = rgb[:, -high:] = 2
    return FaultyClip(frames=_make_frames(rgb), expected=("letterbox",))


def _zoom(rgb: Rgb) -> FaultyClip:
    """Return frames cropped ever closer."""
    import cv2

    size = rgb.shape[1]
    frames = []
    for i in range(16):
        side = round(size / (1 + 0.03 * i))
        first = (size - side) // 2
        frames.append(cv2.resize(rgb[i, first : first + side, first : first + side], (size, size)))
    return FaultyClip(frames=_make_frames(np.stack(frames)), expected=("zoom only",))


def _still(rgb: Rgb, rng: np.random.Generator) -> FaultyClip:
    """Return an almost still camera with sensor noise."""
    noisy = np.repeat(rgb[:1], 14, 0) + rng.normal(0, 3, (14, *rgb.shape[1:]))
    return FaultyClip(frames=_make_frames(np.clip(noisy, 0, 255).astype(np.uint8)), expected=("no motion",))


def faulty_clips(clips: CleanClips, rng: np.random.Generator) -> dict[str, Callable[[], FaultyClip]]:
    """Return functions that make each faulty clip, by the name of the fault and of its clip."""
    room, object_clip = clips.room, clips.object_clip
    still = np.repeat(room[:1], 16, 0)
    makers: dict[str, Callable[[], FaultyClip]] = {
        "none, room": lambda: FaultyClip(frames=_make_frames(room), expected=()),
        "none, object": lambda: FaultyClip(frames=_make_frames(object_clip), expected=()),
        "cut to another kind of shot": lambda: _cut(room, object_clip),
        "cut to another room": lambda: _cut(room, clips.other_room),
        "cut to a room of like colours": lambda: _cut(room, _match_colors(clips.other_room, room)),
        "cut to another object": lambda: _cut(object_clip, clips.other_object),
        "pure rotation": lambda: FaultyClip(frames=_make_frames(clips.panning), expected=("rotation only",)),
        "zoom without parallax": lambda: _zoom(still),
        "too little motion": lambda: _still(room, rng),
        "letterbox": lambda: _bars(room),
    }
    for name, rgb in (("room", room), ("object", object_clip)):
        makers |= {
            f"jump, {name}": lambda rgb=rgb: _jump(rgb),
            f"frozen, {name}": lambda rgb=rgb: _frozen(rgb),
            f"repeated frames, {name}": lambda rgb=rgb: _repeated(rgb),
            f"flicker, {name}": lambda rgb=rgb: _flicker(rgb, rng),
            f"mirrored frames, {name}": lambda rgb=rgb: _mirrored(rgb),
            f"reversed frames, {name}": lambda rgb=rgb: _backwards(rgb),
        }
    return makers
