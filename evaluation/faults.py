"""Faults put into clips that have none, each where it is known."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from evaluation.degradations import Faults, degraded
from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.frames import Frames
from img2world.core.rotation import rotation_about
from img2world.video.synthetic import SyntheticVideo

COUNT = 22
"""Frames of a clip."""

Rgb = UInt8[np.ndarray, "V H W 3"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Sound clips, of which faulty ones are made."""

    room: Rgb
    thing: Rgb
    turning: Rgb
    """The room by a camera that turns in place."""
    other_room: Rgb
    other_thing: Rgb


@dataclass(frozen=True, kw_only=True)
class Spoilt:
    """A clip with one fault, or none."""

    frames: Frames
    kinds: tuple[str, ...]
    """What the doctor may call it; nothing for a sound clip."""
    where: tuple[int, ...] = ()
    """Frames of the fault; empty where it is in all."""


def material(seed: int, dose: Faults | None, size: int) -> Material:
    """Clips by seed; `dose` is what a generator would spoil in them anyway."""

    def clip(poses: np.ndarray, kind: Literal["room", "object"], fov_deg: float, number: int) -> Rgb:
        cameras = Cameras(
            world_from_cam=poses.astype(np.float32),
            intrinsics=np.repeat(intrinsics_from_fov(np.radians(fov_deg), size, size)[None], len(poses), 0),
            width=size,
            height=size,
        )
        made = SyntheticVideo(kind=kind).generate(None, cameras, seed=number)
        return degraded(Frames(rgb=made.rgb, alpha=made.alpha, times=made.times), dose, seed=number).rgb

    random = np.random.default_rng([seed, 5])
    walk = on_sphere(np.radians(60) * np.linspace(-0.5, 0.5, COUNT), np.full(COUNT, random.uniform(0.1, 0.3)))
    circle = orbit(COUNT, elevation=random.uniform(0.1, 0.3))
    turn = np.tile(np.eye(4), (COUNT, 1, 1))
    turn[:, 2, 3] = -0.9
    for i in range(COUNT):
        turn[i, :3, :3] = rotation_about(np.array([0.0, 1.0, 0.0]), 0.6 * (i / (COUNT - 1) - 0.5))
    return Material(
        room=clip(walk, "room", 60.0, 10 * seed),
        thing=clip(circle, "object", 40.0, 10 * seed),
        turning=clip(turn, "room", 60.0, 10 * seed),
        other_room=clip(walk, "room", 60.0, 10 * seed + 5),
        other_thing=clip(circle, "object", 40.0, 10 * seed + 5),
    )


def _clip(rgb: Rgb) -> Frames:
    return Frames(rgb=np.ascontiguousarray(rgb), times=np.arange(len(rgb)) / 12.0)


def _cut(first: Rgb, second: Rgb) -> Spoilt:
    return Spoilt(frames=_clip(np.concatenate([first[:11], second[:11]])), kinds=("cut",), where=(11,))


def _alike(rgb: Rgb, wanted: Rgb) -> Rgb:
    """A shot with the mean colours and contrast of another."""
    mean, spread = rgb.mean((0, 1, 2)), rgb.std((0, 1, 2))
    even = (rgb - mean) / spread * wanted.std((0, 1, 2)) + wanted.mean((0, 1, 2))
    return np.clip(even, 0, 255).astype(np.uint8)


def _jump(rgb: Rgb) -> Spoilt:
    return Spoilt(frames=_clip(np.concatenate([rgb[:8], rgb[15:]])), kinds=("jump",), where=(8,))


def _frozen(rgb: Rgb) -> Spoilt:
    return Spoilt(frames=_clip(np.repeat(rgb[:1], 12, 0)), kinds=("frozen",))


def _repeated(rgb: Rgb) -> Spoilt:
    order = [*range(8), 7, *range(8, 15), 14, *range(15, len(rgb))]
    return Spoilt(frames=_clip(rgb[order]), kinds=("repeated",), where=(8, 16))


def _flicker(rgb: Rgb, random: np.random.Generator) -> Spoilt:
    gains = 1 + 0.15 * random.normal(size=(len(rgb), 1, 1, 1))
    return Spoilt(frames=_clip(np.clip(rgb * gains, 0, 255).astype(np.uint8)), kinds=("flicker",))


def _mirrored(rgb: Rgb) -> Spoilt:
    rgb = rgb.copy()
    rgb[9:13] = rgb[9:13, :, ::-1]
    return Spoilt(frames=_clip(rgb), kinds=("mirrored",), where=(9, 10, 11, 12))


def _backwards(rgb: Rgb) -> Spoilt:
    rgb = rgb.copy()
    rgb[7:15] = rgb[7:15][::-1]
    return Spoilt(frames=_clip(rgb), kinds=("backwards",), where=tuple(range(7, 15)))


def _bars(rgb: Rgb) -> Spoilt:
    rgb, high = rgb.copy(), rgb.shape[1] // 8
    rgb[:, :high] = rgb[:, -high:] = 2
    return Spoilt(frames=_clip(rgb), kinds=("letterbox",))


def _zoom(rgb: Rgb) -> Spoilt:
    """One picture, nearer and nearer."""
    import cv2

    size = rgb.shape[1]
    shots = []
    for i in range(16):
        side = round(size / (1 + 0.03 * i))
        first = (size - side) // 2
        shots.append(cv2.resize(rgb[i, first : first + side, first : first + side], (size, size)))
    return Spoilt(frames=_clip(np.stack(shots)), kinds=("zoom only",))


def _still(rgb: Rgb, random: np.random.Generator) -> Spoilt:
    """A camera that hardly moves, with the noise of a sensor."""
    noisy = np.repeat(rgb[:1], 14, 0) + random.normal(0, 3, (14, *rgb.shape[1:]))
    return Spoilt(frames=_clip(np.clip(noisy, 0, 255).astype(np.uint8)), kinds=("no motion",))


def spoilt_clips(given: Material, random: np.random.Generator) -> dict[str, Callable[[], Spoilt]]:
    """Each fault by its name and the clip it is put into."""
    room, thing = given.room, given.thing
    still = np.repeat(room[:1], 16, 0)
    makers: dict[str, Callable[[], Spoilt]] = {
        "none, room": lambda: Spoilt(frames=_clip(room), kinds=()),
        "none, object": lambda: Spoilt(frames=_clip(thing), kinds=()),
        "cut to another kind of shot": lambda: _cut(room, thing),
        "cut to another room": lambda: _cut(room, given.other_room),
        "cut to a room of like colours": lambda: _cut(room, _alike(given.other_room, room)),
        "cut to another object": lambda: _cut(thing, given.other_thing),
        "pure rotation": lambda: Spoilt(frames=_clip(given.turning), kinds=("rotation only",)),
        "zoom without parallax": lambda: _zoom(still),
        "too little motion": lambda: _still(room, random),
        "letterbox": lambda: _bars(room),
    }
    for name, rgb in (("room", room), ("object", thing)):
        makers |= {
            f"jump, {name}": lambda rgb=rgb: _jump(rgb),
            f"frozen, {name}": lambda rgb=rgb: _frozen(rgb),
            f"repeated frames, {name}": lambda rgb=rgb: _repeated(rgb),
            f"flicker, {name}": lambda rgb=rgb: _flicker(rgb, random),
            f"mirrored frames, {name}": lambda rgb=rgb: _mirrored(rgb),
            f"reversed frames, {name}": lambda rgb=rgb: _backwards(rgb),
        }
    return makers
