"""Video clips with known faults, made from clean ones, and clips of generated kinds that have one or none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from evaluation.degradations import Degradation, degrade_frames
from evaluation.generated_clips import GeneratedClip, make_clip, make_janus_clip
from evaluation.placement import square_cameras
from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.frames import Frames
from img2world.core.rotation import rotation_about
from img2world.video.synthetic import SyntheticVideo

NUM_FRAMES = 22
"""Frames of a clean clip."""

BLURRED_PERCENT = (30, 40)
"""Percentage of the frames that are blurred, from and to."""

BLUR_EXTENT = (0.035, 0.06)
"""Length of the motion, or diameter of the disc out of focus, as a fraction of the picture's side, from and to."""

SOUND_KINDS: dict[str, tuple[str, ...]] = {
    "rigid": (),
    "arc": (),
    # Where the camera turns back, two frames may be the same.
    "swing": ("repeated",),
    # What looks alike from several sides, or has a pattern that repeats around it, shows its front again at the back.
    "symmetric": ("janus",),
    "two fronts": ("janus",),
    "vase": ("janus",),
    "soft": (),
    "sails": (),
    "walk": (),
    # What moves by itself is told from what does not by the cameras, which the doctor does not have.
    "passer-by 15 %": (),
}
"""Generated kinds of clip without a fault, and what is nevertheless right to say about them."""

STILL_KINDS: dict[str, tuple[str, ...]] = {
    # "no motion" says of the same camera that it stands still.
    "still, room": ("still camera", "no motion"),
    # Before a plain background, a subject that slides and a camera that pans make the same picture.
    "still, sails": ("still camera", "no motion", "rotation only"),
    "still, walking": ("still camera", "no motion", "rotation only"),
}
"""Generated kinds of clip before a camera that stands still, and what names it.

"still, breathing" is left out: where all that can be seen changes its shape, nothing tells what the camera does.
"""

Rgb = UInt8[np.ndarray, "V H W 3"]


@dataclass(frozen=True, kw_only=True)
class CleanClips:
    """Clips without faults."""

    room: Rgb
    object_clip: Rgb
    panning: Rgb
    """The room seen by a camera that rotates in place."""
    creeping: Rgb
    """The same, and the camera also moves a little to the side."""
    leaping: UInt8[np.ndarray, "L H W 3"]
    """The room from places so far apart that neighbouring frames share little."""
    other_room: Rgb
    other_object: Rgb
    blurred_room: Rgb
    blurred_object: Rgb
    blurred_frames: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FaultyClip:
    """A clip with one fault or none."""

    frames: Frames
    expected: tuple[str, ...]
    """Kinds of finding that name the fault, its own name first; empty for a clip without one."""
    also_correct: tuple[str, ...] = ()
    """Kinds of finding that are not wrong either."""
    fault_frames: tuple[int, ...] = ()
    """Frames with the fault; empty where all have it."""


def render_clean_clips(seed: int, degradation: Degradation | None, size: int) -> CleanClips:
    """Render random clips, with the degradations of a generator."""
    rng = np.random.default_rng([seed, 5])
    walk = on_sphere(np.radians(60) * np.linspace(-0.5, 0.5, NUM_FRAMES), np.full(NUM_FRAMES, rng.uniform(0.1, 0.3)))
    circle = orbit(NUM_FRAMES, elevation=rng.uniform(0.1, 0.3))
    share = rng.uniform(*BLURRED_PERCENT) / 100
    blurred = sorted(rng.choice(NUM_FRAMES, round(share * NUM_FRAMES), replace=False).tolist())
    kernels = {i: _blur_kernel(rng, size) for i in blurred}

    def clip(poses: np.ndarray, kind: Literal["room", "object"], number: int = 10 * seed, *, blur: bool = False) -> Rgb:
        fov = np.radians(60.0 if kind == "room" else 40.0)
        cameras = square_cameras(poses.astype(np.float32), fov, size)
        video = SyntheticVideo(kind=kind).generate(None, cameras, seed=number)
        # A lens or a generator blurs before noise and compression come in.
        rgb = _blur(video.rgb, kernels) if blur else video.rgb
        return degrade_frames(Frames(rgb=rgb, alpha=video.alpha, times=video.times), degradation, seed=number).rgb

    return CleanClips(
        room=clip(walk, "room"),
        object_clip=clip(circle, "object"),
        panning=clip(_pan(0.0), "room"),
        creeping=clip(_pan(0.06), "room"),
        leaping=clip(orbit(8, elevation=0.2), "room"),
        other_room=clip(walk, "room", 10 * seed + 5),
        other_object=clip(circle, "object", 10 * seed + 5),
        blurred_room=clip(walk, "room", blur=True),
        blurred_object=clip(circle, "object", blur=True),
        blurred_frames=tuple(blurred),
    )


def _pan(sideways: float) -> np.ndarray:
    """Return the poses of a camera in a room that rotates by 0.6 radians and moves to the side by a distance."""
    poses = np.tile(np.eye(4), (NUM_FRAMES, 1, 1))
    poses[:, 2, 3] = -0.9
    for i, part in enumerate(np.linspace(-0.5, 0.5, NUM_FRAMES)):
        poses[i, :3, :3] = rotation_about(np.array([0.0, 1.0, 0.0]), 0.6 * part)
        poses[i, 0, 3] = sideways * part
    return poses


def _blur_kernel(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return the kernel of a motion in a random direction, or of a lens out of focus."""
    import cv2

    extent = float(rng.uniform(*BLUR_EXTENT)) * size
    kernel = np.zeros((2 * round(extent / 2) + 3,) * 2, np.float32)
    middle = len(kernel) // 2
    if rng.random() < 0.5:
        angle = rng.uniform(0, np.pi)
        reach = extent / 2 * np.array([np.cos(angle), np.sin(angle)])
        x, y = np.round(16 * reach).astype(int).tolist()
        center = 16 * middle
        cv2.line(kernel, (center - x, center - y), (center + x, center + y), (1.0,), 1, cv2.LINE_AA, 4)
    else:
        cv2.circle(kernel, (16 * middle, 16 * middle), round(8 * extent), (1.0,), -1, cv2.LINE_AA, 4)
    return kernel / kernel.sum()


def _blur(rgb: Rgb, kernels: dict[int, np.ndarray]) -> Rgb:
    """Return the frames, some of them blurred by a kernel."""
    import cv2

    rgb = rgb.copy()
    for i, kernel in kernels.items():
        rgb[i] = cv2.filter2D(rgb[i], -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return rgb


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


def _sound(rgb: Rgb) -> FaultyClip:
    return FaultyClip(frames=_make_frames(rgb), expected=())


def _whole(rgb: Rgb, *expected: str, also: tuple[str, ...] = ()) -> FaultyClip:
    """Return a clip that is faulty from the first frame to the last."""
    return FaultyClip(frames=_make_frames(rgb), expected=expected, also_correct=also)


def _blurred(rgb: Rgb, frames: tuple[int, ...]) -> FaultyClip:
    return FaultyClip(frames=_make_frames(rgb), expected=("blur",), fault_frames=frames)


def faulty_clips(clips: CleanClips, rng: np.random.Generator) -> dict[str, Callable[[], FaultyClip]]:
    """Return functions that make each faulty clip, by the name of the fault and of its clip."""
    room, object_clip = clips.room, clips.object_clip
    still = np.repeat(room[:1], 16, 0)
    makers: dict[str, Callable[[], FaultyClip]] = {
        "none, room": lambda: _sound(room),
        "none, object": lambda: _sound(object_clip),
        "cut to another kind of shot": lambda: _cut(room, object_clip),
        "cut to another room": lambda: _cut(room, clips.other_room),
        "cut to a room of like colours": lambda: _cut(room, _match_colors(clips.other_room, room)),
        "cut to another object": lambda: _cut(object_clip, clips.other_object),
        "pure rotation": lambda: _whole(clips.panning, "rotation only"),
        # Depth that is far below the frames' own distortion cannot be told from none.
        "rotation with little parallax": lambda: _whole(clips.creeping, "little parallax", also=("rotation only",)),
        "zoom without parallax": lambda: _zoom(still),
        "too little motion": lambda: _still(room, rng),
        "too few frames per second": lambda: _whole(clips.leaping, "no link"),
        "two frames": lambda: _whole(room[:2], "too short"),
        "letterbox": lambda: _bars(room),
        "blurred frames, room": lambda: _blurred(clips.blurred_room, clips.blurred_frames),
        "blurred frames, object": lambda: _blurred(clips.blurred_object, clips.blurred_frames),
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


def generated_clips(seed: int, degradation: Degradation | None, size: int) -> dict[str, Callable[[], FaultyClip]]:
    """Return functions that make a clip of each generated kind, with a fault or without one, by name."""

    def frames_of(clip: GeneratedClip) -> Rgb:
        return degrade_frames(clip.frames, degradation, seed=seed).rgb

    return {
        **{
            f"none, {kind}": lambda kind=kind, also=also: _whole(frames_of(make_clip(kind, seed, size)), also=also)
            for kind, also in SOUND_KINDS.items()
        },
        **{
            kind: lambda kind=kind, names=names: _whole(frames_of(make_clip(kind, seed, size)), *names)
            for kind, names in STILL_KINDS.items()
        },
        "front as back": lambda: _whole(frames_of(make_janus_clip(seed, size)), "janus"),
    }
