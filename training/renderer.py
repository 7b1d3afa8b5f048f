"""Render meshes from a viewpoint: the first and a hidden surface, each with depth and shaded colours."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from training import raster
from training.assembly import SceneMesh
from training.scene import SceneLighting, Viewpoint
from training.shading import occlusion, shade
from training.textures import TextureBank

SHADOW_SIZE = 224

MAX_SHADOW_RADIUS = 14.0
"""Radius of the largest mesh that one shadow map covers."""

MAX_DEPTH = 500.0


@dataclass(frozen=True, kw_only=True)
class RenderBuffers:
    """Output of the renderer for one view; colours are in linear light."""

    linear: Float32[np.ndarray, "H W 3"]
    alpha: Float32[np.ndarray, "H W"]
    known: Bool[np.ndarray, "H W"]
    """True where there is a surface."""
    depth: Float32[np.ndarray, "H W"]
    hidden_known: Bool[np.ndarray, "H W"]
    hidden_depth: Float32[np.ndarray, "H W"]
    hidden_linear: Float32[np.ndarray, "H W 3"]


@dataclass(frozen=True, kw_only=True)
class ShadowMap:
    """Depth map from the light's position."""

    inverse_depth: Float32[np.ndarray, "S S"]
    rotation: Float[np.ndarray, "3 3"]
    """Light from scene."""
    position: Float[np.ndarray, "3"]
    focal: float


def cam_from_scene(viewpoint: Viewpoint) -> Float[np.ndarray, "3 3"]:
    """Return the rotation from the scene's axes (+Y up) to the camera's (+Y down, +Z forward)."""
    forward = viewpoint.target - viewpoint.eye
    forward = forward / np.linalg.norm(forward)
    right = _cross(forward, (np.sin(viewpoint.roll) * 0.3, 1.0, 0.0))
    right /= np.linalg.norm(right)
    return np.stack([right, _cross(forward, right), forward])


def _cross(a: np.ndarray, b: np.ndarray | tuple) -> np.ndarray:
    """Return the cross product of two vectors, ten times as fast as `np.cross`."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def fit_lens(mesh: SceneMesh, viewpoint: Viewpoint, size: int, fraction: float) -> Float[np.ndarray, "4"]:
    """Return fx, fy, cx, cy with which the mesh is centred and fills a fraction of a square image."""
    points = (mesh.vertices - viewpoint.eye) @ cam_from_scene(viewpoint).T
    xy = points[:, :2] / points[:, 2:]
    low, high = xy.min(0), xy.max(0)
    focal = fraction * size / max(high - low)
    center = size / 2 - focal * (low + high) / 2
    return np.array([focal, focal, center[0], center[1]])


def render_view(
    mesh: SceneMesh,
    lighting: SceneLighting,
    viewpoint: Viewpoint,
    lens: Float[np.ndarray, "4"],
    bank: TextureBank,
    rng: np.random.Generator,
    *,
    width: int,
    height: int,
    hidden: int,
    shadows: ShadowMap | None = None,
) -> RenderBuffers:
    """Render both surfaces, the first with 2 × 2 samples per pixel.

    `lens` is fx, fy, cx, cy; `hidden` selects the hidden surface (see `raster`); `shadows` avoids rendering the shadow
    map again.
    """
    rotation = cam_from_scene(viewpoint)
    vertices = (mesh.vertices - viewpoint.eye.astype(np.float32)) @ rotation.T.astype(np.float32)
    fx, fy, cx, cy = 2 * lens
    near_w, near_face, back_w, back_face = raster.rasterize(
        vertices, mesh.faces, mesh.object_ids, fx, fy, cx, cy, 2 * width, 2 * height, hidden
    )
    light = light_in_cam(lighting, viewpoint, rotation)
    clouds = (rng.integers(len(bank)), rng.random(), rng.uniform(0.1, 0.4))
    sky = as_floats((*lighting.horizon, *lighting.zenith, lighting.cloudiness, *clouds))
    surfaces = (
        *(vertices, mesh.faces, mesh.corner_normals, mesh.corner_uv, mesh.face_materials, mesh.textures),
        *(mesh.tints, mesh.reflectance, mesh.texel_density, bank.atlas),
    )
    rows = tuple(as_floats(row) for row in rotation)
    shadows = shadows or render_shadow_map(mesh, lighting, viewpoint)
    surroundings = (sky, *shadow_inputs(shadows, lighting, viewpoint, rotation))
    with_sky = hidden != raster.LAST
    linear = shade(near_face, near_w, 2, surfaces, as_floats(2 * lens), rows, (light, *surroundings), with_sky)
    # A pixel's centre lies between its four samples; the first of them is as near as any.
    (face, w), (hidden_face, hidden_w) = (
        (np.ascontiguousarray(faces[::2, ::2]), np.ascontiguousarray(inverse_depths[::2, ::2]))
        for faces, inverse_depths in ((near_face, near_w), (back_face, back_w))
    )
    known, depth = face >= 0, 1 / np.maximum(w, 1 / MAX_DEPTH)
    reach = 0.15 if with_sky else 0.03 * float(np.linalg.norm(viewpoint.target - viewpoint.eye))
    linear *= 0.35 + 0.65 * cv2.blur(occlusion(known, depth, lens[0], reach), (3, 3))[..., None]
    if hidden == raster.LAST:
        # The back is lit from the front: no photo tells how dark it is.
        light = (*light[:2], abs(light[2]), *light[3:])
    return RenderBuffers(
        linear=linear,
        alpha=cv2.resize((near_face >= 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA),
        known=known,
        depth=depth,
        hidden_known=hidden_face >= 0,
        hidden_depth=1 / np.maximum(hidden_w, 1 / MAX_DEPTH),
        hidden_linear=shade(hidden_face, hidden_w, 1, surfaces, as_floats(lens), rows, (light, *surroundings), False),
    )


def as_floats(values: np.ndarray | tuple) -> tuple[float, ...]:
    """Return values as a tuple, which compiled code takes faster than a short array."""
    return tuple(map(float, values))


def light_in_cam(lighting: SceneLighting, viewpoint: Viewpoint, rotation: np.ndarray) -> tuple[float, ...]:
    """Return the shader's light: position or direction, 1 if near, strength, ambient, fog, up vector, 0, reach."""
    position = rotation @ (lighting.position - (viewpoint.eye if lighting.is_near else 0))
    up = rotation @ np.array([0.0, 1.0, 0.0])
    return as_floats(
        (*position, lighting.is_near, lighting.strength, lighting.ambient, lighting.fog, *up, 0.0, lighting.reach)
    )


def shares_shadow_map(mesh: SceneMesh, lighting: SceneLighting) -> bool:
    """Return True if one shadow map serves all viewpoints of a scene."""
    return lighting.is_near or bounding_radius(mesh) < MAX_SHADOW_RADIUS


def bounding_radius(mesh: SceneMesh) -> float:
    """Return half the diagonal of the bounding box."""
    return 0.5 * float(np.linalg.norm(mesh.bounds[1] - mesh.bounds[0]))


def render_shadow_map(mesh: SceneMesh, lighting: SceneLighting, viewpoint: Viewpoint) -> ShadowMap:
    """Render the shadow map of a mesh; for large meshes, of the part in front of the viewpoint."""
    if lighting.is_near:
        position, focal = lighting.position, 0.3 * SHADOW_SIZE
        target = position - np.array([0.02, 1.0, 0.01])
    else:
        low, high = mesh.bounds
        target = (low + high) / 2
        if not shares_shadow_map(mesh, lighting):
            target = viewpoint.eye + 0.35 * (viewpoint.target - viewpoint.eye)
        position = target + lighting.position * 8 * min(bounding_radius(mesh), MAX_SHADOW_RADIUS)
        focal = 0.5 * SHADOW_SIZE * 8 / 1.1
    rotation = cam_from_scene(Viewpoint(eye=position, target=target, fov=1.0))
    vertices = (mesh.vertices - position.astype(np.float32)) @ rotation.T.astype(np.float32)
    half = SHADOW_SIZE / 2
    inverse_depth, *_ = raster.rasterize(
        vertices, mesh.faces, mesh.object_ids, focal, focal, half, half, SHADOW_SIZE, SHADOW_SIZE, raster.NONE
    )
    # Whatever lies outside the map is lit.
    inverse_depth[[0, -1]], inverse_depth[:, [0, -1]] = 0, 0
    return ShadowMap(inverse_depth=inverse_depth, rotation=rotation, position=position, focal=focal)


def shadow_inputs(
    shadows: ShadowMap, lighting: SceneLighting, viewpoint: Viewpoint, rotation: np.ndarray
) -> tuple[np.ndarray, tuple, tuple]:
    """Return the shader's shadows: inverse depths, light-from-camera rows [3, 4], and focal length, softness, bias."""
    offset = shadows.rotation @ (viewpoint.eye - shadows.position)
    light_from_cam = np.concatenate([shadows.rotation @ rotation.T, offset[:, None]], 1)
    bias = 0.02 if lighting.is_near else 0.004
    return (
        shadows.inverse_depth,
        tuple(as_floats(row) for row in light_from_cam),
        (shadows.focal, lighting.softness, bias),
    )
