"""Textured meshes to pictures with exact depth, mask and the surface that is hidden behind all others."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from evaluation.assets import TexturedMesh
from evaluation.textures import srgb
from img2world.core.camera_paths import orbit_center
from img2world.core.cameras import Cameras
from img2world.core.progress import Progress, silent
from img2world.render.triangles import TriangleHits, rasterize_triangles


@dataclass(frozen=True, kw_only=True)
class Light:
    """One far lamp (Lambert's law) and light from everywhere, brighter from above."""

    towards: tuple[float, float, float] = tuple(orbit_center(np.radians(-35), np.radians(50)))
    """Direction to the lamp in the world; the default is from the upper left, before the object."""
    ambient: float = 0.6
    """Share of the linear light that comes from everywhere; a face that looks at the lamp gets 1 in all."""
    sky: float = 0.15
    """Share of the light from everywhere that a face looking sideways lacks; one that looks down lacks it twice."""
    warmth: Float32[np.ndarray, "3"] | None = None
    """Colour of the lamp, linear; None is white."""


UNLIT = Light(ambient=1.0, sky=0.0)
"""Colours as they are."""


def seeded_light(seed: int) -> Light:
    """A lamp somewhere above, on the side that the input camera sees."""
    random = np.random.default_rng(seed)
    azimuth, elevation = np.radians(random.uniform(-75, 75)), np.radians(random.uniform(30, 70))
    x, y, z = orbit_center(azimuth, elevation).tolist()
    return Light(towards=(x, y, z), ambient=float(random.uniform(0.45, 0.7)))


@dataclass(frozen=True, kw_only=True)
class RenderedAsset:
    """What the cameras see of a mesh."""

    cameras: Cameras
    rgb: UInt8[np.ndarray, "V H W 3"]
    """On the background."""
    alpha: UInt8[np.ndarray, "V H W"]
    """Coverage, 255 inside."""
    depth: Float32[np.ndarray, "V H W"]
    """Of the first surface along +Z at pixel centres, 0 where there is none."""
    last_depth: Float32[np.ndarray, "V H W"] | None = None
    """Of the last surface on the same line of sight, where it was asked for."""
    last_rgb: UInt8[np.ndarray, "V H W 3"] | None = None
    """The last surface's colours on the background, as seen from behind."""


class Hits(NamedTuple):
    """Which faces the samples of one picture see, and where."""

    covered: np.ndarray
    """[H, W] bool"""
    face: np.ndarray
    """[C]"""
    weights: Float32[np.ndarray, "C 3"]
    """Of the corners of the face."""
    depth: Float32[np.ndarray, "H W"]


def render_asset(
    mesh: TexturedMesh,
    cameras: Cameras,
    *,
    light: Light | None = None,
    supersample: int = 2,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    last_surface: bool = False,
    progress: Progress = silent,
) -> RenderedAsset:
    """Draw the mesh as each camera sees it; pixels average `supersample`² samples, in sRGB as viewers do.

    Both sides of a face are seen and lit. A face that reaches behind a camera is not drawn at all.
    """
    light = Light() if light is None else light
    shape = (len(cameras), cameras.height, cameras.width)
    pictures = {False: np.empty((*shape, 3), np.uint8), True: np.empty((*shape, 3), np.uint8)}
    depths = {False: np.empty(shape, np.float32), True: np.empty(shape, np.float32)}
    alpha = np.empty(shape, np.uint8)
    for i in range(len(cameras)):
        camera = cameras.select([i])
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        for last in (False, True) if last_surface else (False,):
            hits = _hits(mesh, fine, last=last)
            pictures[last][i], alpha[i] = _averaged(
                hits, _shade(mesh, hits, fine, light, behind=last), supersample, background
            )
            depths[last][i] = _depth_at_centers(mesh, camera, hits, supersample, last=last)
        progress(i + 1, len(cameras))
    rendered = RenderedAsset(cameras=cameras, rgb=pictures[False], alpha=alpha, depth=depths[False])
    return replace(rendered, last_depth=depths[True], last_rgb=pictures[True]) if last_surface else rendered


def _hits(mesh: TexturedMesh, camera: Cameras, *, last: bool) -> Hits:
    """The first or the last face on each line of sight."""
    vertices = _in_cam(mesh, camera)
    if last:
        return _last_hits(mesh, vertices, camera)
    hits = rasterize_triangles(vertices, mesh.faces, np.ones(len(vertices), np.float32), camera)
    covered = hits.face >= 0
    return Hits(covered, hits.face[covered], _weights(hits, covered), hits.depth)


def _last_hits(mesh: TexturedMesh, vertices: Float32[np.ndarray, "M 3"], camera: Cameras) -> Hits:
    """The last faces: with 1/z' = most - 1/z far becomes near, and lines, planes and the picture stay as they are."""
    inverse = 1 / np.maximum(vertices[:, 2].astype(np.float64), 1e-6)
    most = 1.5 * inverse[mesh.faces].max()
    flipped_inverse = most - inverse
    flipped = vertices * (inverse / flipped_inverse)[:, None]
    hits = rasterize_triangles(flipped.astype(np.float32), mesh.faces, np.ones(len(vertices), np.float32), camera)
    covered = hits.face >= 0
    corners = mesh.faces[hits.face[covered]]
    # Weights on the face go through those on the screen, which both depths share.
    screen = _weights(hits, covered) / flipped_inverse[corners]
    weights = screen * inverse[corners]
    weights /= weights.sum(1, keepdims=True)
    depth = np.zeros(covered.shape, np.float32)
    depth[covered] = (weights * vertices[corners, 2]).sum(1)
    return Hits(covered, hits.face[covered], weights.astype(np.float32), depth)


def _in_cam(mesh: TexturedMesh, camera: Cameras) -> Float32[np.ndarray, "M 3"]:
    """The vertices before one camera."""
    cam_from_world = camera.cam_from_world[0]
    return np.ascontiguousarray(mesh.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3])


def _weights(hits: TriangleHits, covered: np.ndarray) -> Float32[np.ndarray, "C 3"]:
    """Of the three corners, at the covered samples."""
    second, third = hits.barycentric[covered].T
    return np.stack([1 - second - third, second, third], -1)


def _shade(
    mesh: TexturedMesh, hits: Hits, camera: Cameras, light: Light, *, behind: bool
) -> Float32[np.ndarray, "C 3"]:
    """Colours of the covered samples, sRGB 0 to 1."""
    attributes = np.concatenate([mesh.uv, mesh.tints, mesh.normals], 1)
    uv, tints, normals = np.split(_interpolated(attributes, mesh, hits), [2, 5], axis=1)
    copies = mesh.atlas.copy_at(mesh.face_textures, _levels(mesh, camera))
    albedo = mesh.atlas.light_at(copies[hits.face], uv) * tints
    return srgb(albedo * _brightness(normals, _visible_sides(mesh, camera, behind=behind)[hits.face], light))


def _interpolated(values: Float32[np.ndarray, "M D"], mesh: TexturedMesh, hits: Hits) -> Float32[np.ndarray, "C D"]:
    """What the vertices have, at the covered samples."""
    corners = mesh.faces.take(hits.face, 0)  # [C, 3]
    result = hits.weights[:, :1] * values.take(corners[:, 0], 0)
    for k in (1, 2):
        result += hits.weights[:, k : k + 1] * values.take(corners[:, k], 0)
    return result


def _levels(mesh: TexturedMesh, camera: Cameras) -> Float[np.ndarray, "F"]:
    """How often each face's texture has to be halved until one of its texels is one sample."""
    points = _in_cam(mesh, camera)
    screen = points[:, :2] / np.maximum(points[:, 2:], 1e-6) * camera.intrinsics[0, [0, 1], [0, 1]]
    first = mesh.atlas.firsts[mesh.face_textures]
    size = np.stack([mesh.atlas.widths[first], mesh.atlas.heights[first]], -1)
    texels = _areas(mesh.uv[mesh.faces] * size[:, None])
    return 0.5 * np.log2(np.maximum(texels, 1e-12) / np.maximum(_areas(screen[mesh.faces]), 1e-12))


def _areas(corners: Float[np.ndarray, "F 3 2"]) -> Float[np.ndarray, "F"]:
    """Twice the areas of flat triangles."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _visible_sides(mesh: TexturedMesh, camera: Cameras, *, behind: bool) -> Float32[np.ndarray, "F 3"]:
    """Normals of the faces' planes on the side that the camera sees, or on the other; not of unit length."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    planes = np.cross(b - a, c - a)
    away = np.einsum("fd,fd->f", planes, a - camera.centers_in_world[0]) > 0
    planes[away != behind] *= -1
    return planes


def _brightness(
    normals: Float32[np.ndarray, "C 3"], sides: Float32[np.ndarray, "C 3"], light: Light
) -> Float32[np.ndarray, "C _"]:
    """Linear light on each sample."""
    # Files differ in which way normals and faces look: the side that is seen is the one that is lit.
    lengths = np.sqrt(np.einsum("cd,cd->c", normals, normals))
    flips = np.where(np.einsum("cd,cd->c", normals, sides) < 0, -1, 1).astype(np.float32)
    unit = normals * (flips / np.maximum(lengths, 1e-9))[:, None]
    towards = np.array(light.towards, np.float32)
    lamp = np.maximum(unit @ (towards / np.linalg.norm(towards)), 0)[:, None]
    around = np.float32(1 - light.sky) - np.float32(light.sky) * unit[:, 1:2]
    color = np.ones(1, np.float32) if light.warmth is None else light.warmth
    return np.float32(light.ambient) * around + np.float32(1 - light.ambient) * lamp * color


def _averaged(
    hits: Hits, colors: Float32[np.ndarray, "C 3"], supersample: int, background: tuple[float, float, float]
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Samples on the background brought together to pixels, and the share of each that is covered."""
    height, width = hits.covered.shape
    rgb = np.empty((height, width, 3), np.float32)
    rgb[:] = background
    rgb[hits.covered] = colors
    steps = [
        (slice(i, None, supersample), slice(j, None, supersample)) for i, j in np.ndindex(supersample, supersample)
    ]
    small = sum(rgb[rows, columns] for rows, columns in steps) / np.float32(supersample**2)
    share = sum(hits.covered[rows, columns].astype(np.float32) for rows, columns in steps) / supersample**2
    return np.round(small * 255).astype(np.uint8), np.round(share * 255).astype(np.uint8)


def _depth_at_centers(
    mesh: TexturedMesh, camera: Cameras, hits: Hits, supersample: int, *, last: bool
) -> Float32[np.ndarray, "H W"]:
    """Depth at pixel centres, which is where the middle sample lies when their number is odd."""
    middle = supersample // 2
    if supersample % 2:
        return hits.depth[middle::supersample, middle::supersample]
    return _hits(mesh, camera, last=last).depth
