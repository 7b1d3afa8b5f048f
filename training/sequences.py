"""Made things and places seen by several cameras whose positions are known, the first being the photo's."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.object_layers import OBJECT_FOV, OBJECT_FRACTION
from training import raster
from training.assembly import World
from training.renderer import Drawn, cam_from_place, draw
from training.materials import Maker
from training.camera_effects import photographed
from training.scene import Light, Place, Shot, daylight
from training.scene_kinds import PLACES, SHARES
from training.views import Studio

OBJECT_SHARE_OF_SEQUENCES = 0.5

SHARE_OF_FAULTY = 0.3
"""Of photos, those with blur, noise and compression."""

NEAREST = 0.2
"""A camera that has more than a little nearer than this before it stands in something."""


@dataclass(frozen=True, kw_only=True)
class Posed:
    """One picture of a sequence and the truth about it, in the world of the first one's camera."""

    rgb: UInt8[np.ndarray, "H W 3"]
    """The first may have a camera's faults; an object's background is white."""
    linear_rgb: UInt8[np.ndarray, "H W 3"]
    """The same without any background, and without faults."""
    alpha: Float32[np.ndarray, "H W"]
    known: Bool[np.ndarray, "H W"]
    """Where there is a surface."""
    depth: Float32[np.ndarray, "H W"]
    hidden_depth: Float32[np.ndarray, "H W"]
    camera: Cameras


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A made thing or place from several sides."""

    frames: tuple[Posed, ...]
    is_object: bool
    kind: str


class Filming:
    """Makes sequences. The same seed and number give the same sequence, whatever was made before."""

    def __init__(self, studio: Studio, *, objects: float = OBJECT_SHARE_OF_SEQUENCES) -> None:
        """`objects` is their share of the sequences."""
        self.studio, self.objects = studio, objects

    def sequence(self, number: int, *, count: int, width: int, height: int) -> Sequence | None:
        """A sequence of `count` frames; None where a camera would stand in something or see nothing."""
        rng = np.random.default_rng((self.studio.seed, 2, number))
        if rng.random() < self.objects:
            return self.around_object(rng, count=count, size=round(np.sqrt(width * height) / 16) * 16)
        return self.before_scene(rng, count=count, width=width, height=height)

    def around_object(self, rng: np.random.Generator, *, count: int, size: int) -> Sequence | None:
        """A thing from all around, as `nano` takes objects to be: see `object_world`."""
        world = self.studio.thing(rng).finished()
        turn, up = rng.uniform(0, 2 * np.pi), float(np.clip(rng.normal(0.25, 0.15), -0.1, 0.6))
        first, unit = framed_shot(world, turn, up)
        span = rng.choice([2 * np.pi, 2 * np.pi, np.pi])
        turns = turn + rng.uniform(0, 2 * np.pi) + span * (np.arange(count - 1) + rng.uniform(-0.3, 0.3)) / (count - 1)
        rises = (up + rng.choice([0.0, 0.3]) * np.sin(2 * (turns - turn)) + rng.normal(0, 0.06, count - 1)).clip(
            -0.5, 1
        )
        others = [Shot(eye=first.target + unit * direction(t, e), target=first.target, fov=OBJECT_FOV)
                  for t, e in zip(rng.permutation(turns), rises, strict=True)]  # fmt: skip
        return self.filmed(
            world, daylight(rng), [first, *others], unit, rng, width=size, height=size, is_object=True, kind="object"
        )

    def before_scene(self, rng: np.random.Generator, *, count: int, width: int, height: int) -> Sequence | None:
        """A place along an arc before the photo's camera."""
        name = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        place = PLACES[name](Maker(rng=rng, num_textures=len(self.studio.bank)), 1)
        world, light = still(place)
        found = level_shot(place, world, width, height)
        if found is None:
            return None
        first, unit = found
        reach = rng.uniform(0.08, 0.45)
        others = []
        for _ in range(count - 1):
            turn, rise = reach * rng.uniform(-1, 1), 0.3 * reach * rng.uniform(-1, 1)
            others.append(turned_shot(first, turn, rise, rng.normal(0, 0.2 * reach, 3) * unit))
        return self.filmed(
            world, light, [first, *others], unit, rng, width=width, height=height, is_object=False, kind=name
        )

    def filmed(
        self,
        world: World,
        light: Light,
        shots: list[Shot],
        unit: float,
        rng: np.random.Generator,
        *,
        width: int,
        height: int,
        is_object: bool,
        kind: str,
    ) -> Sequence | None:
        """All shots with one exposure."""
        focal = 0.5 * max(width, height) / np.tan(shots[0].fov / 2)
        lens = np.array([focal, focal, width / 2, height / 2])
        hidden = raster.LAST if is_object else raster.OTHER_THING
        sky, developing = rng.integers(2**31), rng.integers(2**31)
        # Large photos, which become small before they are looked at, have few faults left.
        faulty = rng.random() < SHARE_OF_FAULTY
        drawn: list[Drawn] = []
        for shot in shots:
            seed = np.random.default_rng(sky)
            drawn.append(
                draw(world, light, shot, lens, self.studio.bank, seed, width=width, height=height, hidden=hidden)
            )
            known = drawn[-1].known
            nearest = np.percentile(drawn[-1].depth[known], 2) / unit if known.any() else 0.0
            if known.mean() < 0.03 or nearest < NEAREST:
                return None
        frames = []
        for i, (shot, each) in enumerate(zip(shots, drawn, strict=True)):
            camera = camera_of(shot, shots[0], unit, focal, width, height)
            perfect = photographed(
                each.linear, np.random.default_rng(developing), alpha=drawn[0].alpha if is_object else None,
                exposed_for=drawn[0].linear, perfect=True,
            )  # fmt: skip
            rgb = perfect
            if i == 0 and faulty:
                alpha = each.alpha if is_object else None
                rgb = photographed(each.linear, np.random.default_rng(developing), alpha=alpha)
            elif is_object:
                cover = each.alpha[..., None]
                rgb = np.round(perfect * cover + 255 * (1 - cover)).astype(np.uint8)
            frames.append(
                Posed(
                    rgb=rgb,
                    linear_rgb=perfect,
                    alpha=each.alpha if is_object else np.ones_like(each.alpha),
                    known=each.known,
                    depth=(each.depth / unit).astype(np.float32),
                    hidden_depth=(each.hidden_depth / unit).astype(np.float32),
                    camera=camera,
                )
            )
        return Sequence(frames=tuple(frames), is_object=is_object, kind=kind)


def still(place: Place) -> tuple[World, Light]:
    """A place ready to be drawn, without clouds, which are drawn as if they turned with the camera."""
    return place.composition.finished(), replace(place.light, cloudiness=0.0)


def level_shot(place: Place, world: World, width: int, height: int) -> tuple[Shot, float] | None:
    """The first shot, upright and aimed as far as most of what it shows, and that distance; None if it shows little."""
    first = replace(place.shots[0], roll=0.0)
    focal = 0.5 * max(width, height) / np.tan(first.fov / 2)
    depth = drawn_depth(world, first, focal, width, height)
    if (depth < raster.NEAR * 2).mean() > 0.5:
        return None
    unit = float(np.median(depth[depth > 0])) / INPUT_DISTANCE
    return replace(first, target=first.eye + unit * cam_from_place(first)[2]), unit


def direction(turn: float, up: float) -> np.ndarray:
    """From a thing to a camera around it."""
    return np.array([np.sin(turn) * np.cos(up), np.sin(up), np.cos(turn) * np.cos(up)])


def framed_shot(world: World, turn: float, up: float) -> tuple[Shot, float]:
    """The shot from one side in which the thing fills OBJECT_FRACTION, centred, and the distance of its middle."""
    low, high = world.vertices.min(0), world.vertices.max(0)
    target, distance = (low + high).astype(np.float64) / 2, 4 * float(np.linalg.norm(high - low))
    towards = direction(turn, up)
    for _ in range(5):
        shot = Shot(eye=target + distance * towards, target=target, fov=OBJECT_FOV)
        turn_in_place = cam_from_place(shot)
        points = (world.vertices - shot.eye) @ turn_in_place.T
        xy = points[:, :2] / points[:, 2:]
        near, far = xy.min(0), xy.max(0)
        middle = 0.5 * (points[:, 2].min() + points[:, 2].max())
        shift = np.append((near + far) / 2 * middle, middle - distance)
        target = target + shift @ turn_in_place
        share = float((far - near).max()) / (2 * np.tan(OBJECT_FOV / 2))
        distance *= share / OBJECT_FRACTION
    return Shot(eye=target + distance * towards, target=target, fov=OBJECT_FOV), distance


def turned_shot(first: Shot, turn: float, rise: float, shift: np.ndarray) -> Shot:
    """A shot moved around the first one's target and a little shifted."""
    arm = first.eye - first.target
    flat = np.hypot(arm[0], arm[2])
    around, above = np.arctan2(arm[0], arm[2]) + turn, np.clip(np.arctan2(arm[1], flat) + rise, -1.3, 1.3)
    eye = first.target + np.linalg.norm(arm) * direction(around, above) + shift
    return replace(first, eye=eye)


def drawn_depth(world: World, shot: Shot, focal: float, width: int, height: int) -> np.ndarray:
    """Depth of one shot at a quarter of the size, 0 where nothing is."""
    vertices = (world.vertices - shot.eye.astype(np.float32)) @ cam_from_place(shot).T.astype(np.float32)
    near, *_ = raster.layers(
        vertices, world.faces, world.things, focal / 4, focal / 4, width / 8, height / 8, width // 4, height // 4,
        raster.OTHER_THING,
    )  # fmt: skip
    return np.where(near > 0, 1 / np.maximum(near, 1e-6), 0)


def camera_of(shot: Shot, first: Shot, unit: float, focal: float, width: int, height: int) -> Cameras:
    """The shot's camera in the first one's world."""
    world_from_place = cam_from_place(first)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = world_from_place @ cam_from_place(shot).T
    pose[:3, 3] = world_from_place @ (shot.eye - first.eye) / unit - (0, 0, INPUT_DISTANCE)
    intrinsics = intrinsics_from_fov(2 * np.arctan(0.5 * width / focal), width, height)
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics[None], width=width, height=height)
