"""Shots of made worlds: both surfaces, their depth and their light."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from training import raster
from training.assembly import World
from training.scene import Light, Shot
from training.shading import occlusion, shade
from training.textures import TextureBank

SHADOW_SIZE = 224

WIDEST = 14.0
"""Radius of the largest world that one map of its shadows covers."""

FAR = 500.0
"""No depth is larger."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What the renderer gives for one shot."""

    linear: Float32[np.ndarray, "H W 3"]
    alpha: Float32[np.ndarray, "H W"]
    known: Bool[np.ndarray, "H W"]
    depth: Float32[np.ndarray, "H W"]
    hidden_known: Bool[np.ndarray, "H W"]
    hidden_depth: Float32[np.ndarray, "H W"]
    hidden_linear: Float32[np.ndarray, "H W 3"]


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """What a light sees."""

    seen: Float32[np.ndarray, "S S"]
    """Inverse depth."""
    rotation: np.ndarray
    source: np.ndarray
    focal: float


def cam_from_place(shot: Shot) -> np.ndarray:
    """Rotation from +Y-up axes to the camera's (+Y down, +Z forward)."""
    forward = shot.target - shot.eye
    forward = forward / np.linalg.norm(forward)
    right = _cross(forward, (np.sin(shot.roll) * 0.3, 1.0, 0.0))
    right /= np.linalg.norm(right)
    return np.stack([right, _cross(forward, right), forward])


def _cross(a: np.ndarray, b: np.ndarray | tuple) -> np.ndarray:
    """The cross product of two vectors, for which numpy takes ten times as long."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def framing_lens(world: World, shot: Shot, size: int, share: float) -> np.ndarray:
    """Focal length and centre with which the thing's box is centred and fills a share of the frame."""
    points = (world.vertices - shot.eye) @ cam_from_place(shot).T
    xy = points[:, :2] / points[:, 2:]
    low, high = xy.min(0), xy.max(0)
    focal = share * size / max(high - low)
    center = size / 2 - focal * (low + high) / 2
    return np.array([focal, focal, center[0], center[1]])


def draw(
    world: World,
    light: Light,
    shot: Shot,
    lens: np.ndarray,
    bank: TextureBank,
    rng: np.random.Generator,
    *,
    width: int,
    height: int,
    hidden: int,
    lamp: Lamp | None = None,
) -> Drawn:
    """Draw both surfaces; the first with 2 × 2 samples a pixel. A `lamp` that was drawn before need not be again."""
    turn = cam_from_place(shot)
    vertices = (world.vertices - shot.eye.astype(np.float32)) @ turn.T.astype(np.float32)
    fx, fy, cx, cy = 2 * lens
    near_w, near_face, back_w, back_face = raster.layers(
        vertices, world.faces, world.things, fx, fy, cx, cy, 2 * width, 2 * height, hidden
    )
    sun = light_in_cam(light, shot, turn)
    clouds = (rng.integers(len(bank)), rng.random(), rng.uniform(0.1, 0.4))
    sky = numbers((*light.horizon, *light.zenith, light.cloudiness, *clouds))
    of_world = (
        *(vertices, world.faces, world.corner_normals, world.corner_uv, world.material_of, world.textures),
        *(world.tints, world.looks, world.texel_density, bank.atlas),
    )
    rotation = tuple(numbers(row) for row in turn)
    at_light = (sky, *shadow_map(lamp or lamp_of(world, light, shot), light, shot, turn))
    with_sky = hidden != raster.LAST
    first = shade(near_face, near_w, 2, of_world, numbers(2 * lens), rotation, (sun, *at_light), with_sky)
    # Pixel centres lie between four samples; the first of them is as near as any.
    (face, w), (hidden_face, hidden_w) = (
        (np.ascontiguousarray(each[::2, ::2]), np.ascontiguousarray(its_w[::2, ::2]))
        for each, its_w in ((near_face, near_w), (back_face, back_w))
    )
    known, depth = face >= 0, 1 / np.maximum(w, 1 / FAR)
    reach = 0.15 if with_sky else 0.03 * float(np.linalg.norm(shot.target - shot.eye))
    first *= 0.35 + 0.65 * cv2.blur(occlusion(known, depth, lens[0], reach), (3, 3))[..., None]
    if hidden == raster.LAST:
        # The back is lit as the front would be: no picture tells how dark it is.
        sun = (*sun[:2], abs(sun[2]), *sun[3:])
    return Drawn(
        linear=first,
        alpha=cv2.resize((near_face >= 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA),
        known=known,
        depth=depth,
        hidden_known=hidden_face >= 0,
        hidden_depth=1 / np.maximum(hidden_w, 1 / FAR),
        hidden_linear=shade(hidden_face, hidden_w, 1, of_world, numbers(lens), rotation, (sun, *at_light), False),
    )


def numbers(values: np.ndarray | tuple) -> tuple[float, ...]:
    """Numbers for the shader, for which a short array is more work than a tuple."""
    return tuple(map(float, values))


def light_in_cam(light: Light, shot: Shot, turn: np.ndarray) -> tuple[float, ...]:
    """Direction or place of the light, 1 for a place, strength, ambient, fog, up vector, 0, reach."""
    place = turn @ (light.place - (shot.eye if light.is_near else 0))
    up = turn @ np.array([0.0, 1.0, 0.0])
    return numbers((*place, light.is_near, light.strength, light.ambient, light.fog, *up, 0.0, light.reach))


def one_lamp(world: World, light: Light) -> bool:
    """Whether the light sees the same from wherever a picture is taken."""
    return light.is_near or radius_of(world) < WIDEST


def radius_of(world: World) -> float:
    """Half the diagonal of the world's box."""
    return 0.5 * float(np.linalg.norm(world.bounds[1] - world.bounds[0]))


def lamp_of(world: World, light: Light, shot: Shot) -> Lamp:
    """What the light sees of a world; of a wide one, what is not far before the shot's camera."""
    if light.is_near:
        source, aim, focal = light.place, light.place - np.array([0.02, 1.0, 0.01]), 0.3 * SHADOW_SIZE
    else:
        low, high = world.bounds
        aim = (low + high) / 2 if one_lamp(world, light) else shot.eye + 0.35 * (shot.target - shot.eye)
        source = aim + light.place * 8 * min(radius_of(world), WIDEST)
        focal = 0.5 * SHADOW_SIZE * 8 / 1.1
    rotation = cam_from_place(Shot(eye=source, target=aim, fov=1.0))
    vertices = (world.vertices - source.astype(np.float32)) @ rotation.T.astype(np.float32)
    half = SHADOW_SIZE / 2
    seen, *_ = raster.layers(
        vertices, world.faces, world.things, focal, focal, half, half, SHADOW_SIZE, SHADOW_SIZE, raster.NONE
    )
    # What is beside the map is lit.
    seen[[0, -1]], seen[:, [0, -1]] = 0, 0
    return Lamp(seen=seen, rotation=rotation, source=source, focal=focal)


def shadow_map(lamp: Lamp, light: Light, shot: Shot, turn: np.ndarray) -> tuple[np.ndarray, tuple, tuple]:
    """Inverse depth from the light, how to get there from the camera, and its lens with softness and bias."""
    lamp_from_cam = np.concatenate([lamp.rotation @ turn.T, (lamp.rotation @ (shot.eye - lamp.source))[:, None]], 1)
    bias = 0.004 if not light.is_near else 0.02
    return lamp.seen, tuple(numbers(row) for row in lamp_from_cam), (lamp.focal, light.softness, bias)
