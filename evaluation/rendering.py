"""Render textured meshes with exact depth, alpha and the last surface behind all others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from evaluation.assets import TexturedMesh
from evaluation.textures import srgb_from_linear
from img2world.core.camera_paths import orbit_center
from img2world.core.cameras import Cameras
from img2world.core.progress import Progress, silent
from img2world.render.triangles import TriangleHits, rasterize_triangles


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """One distant light (Lambertian) and ambient light, brighter from above."""

    direction: tuple[float, float, float] = tuple(orbit_center(np.radians(-35), np.radians(50)))
    """Direction towards the light in the world; by default from the upper left, in front of the object."""
    ambient: float = 0.6
    """Fraction of the linear light that is ambient; a face towards the light gets 1 in total."""
    sky: float = 0.15
    """Fraction of the ambient light missing on faces that look sideways; twice as much on faces that look down."""
    warmth: Float32[np.ndarray, "3"] | None = None
    """Linear colour of the light; None is white."""


UNLIT = Lighting(ambient=1.0, sky=0.0)
"""Shows plain albedo."""


def seeded_lighting(seed: int) -> Lighting:
    """Return a light from above, on the side that the input camera sees."""
    rng = np.random.default_rng(seed)
    azimuth, elevation = np.radians(rng.uniform(-75, 75)), np.radians(rng.uniform(30, 70))
    x, y, z = orbit_center(azimuth, elevation).tolist()
    return Lighting(direction=(x, y, z), ambient=float(rng.uniform(0.45, 0.7)))


@dataclass(frozen=True, kw_only=True)
class RenderedViews:
    """Renders of a mesh, or photos in their place, with their cameras."""

    cameras: Cameras
    rgb: UInt8[np.ndarray, "V H W 3"]
    """Blended with the background."""
    alpha: UInt8[np.ndarray, "V H W"]
    """Coverage, 0 to 255."""
    depth: Float32[np.ndarray, "V H W"]
    """Depth of the first surface at pixel centres; 0 where there is none."""
    last_depth: Float32[np.ndarray, "V H W"] | None = None
    """Depth of the last surface on the same ray, where requested."""
    last_rgb: UInt8[np.ndarray, "V H W 3"] | None = None
    """Colours of the last surface seen from behind, blended with the background."""


def stack_renders(views: Sequence[RenderedViews]) -> RenderedViews:
    """Return renders of one camera each as those of all."""
    first = views[0].cameras
    cameras = Cameras(
        world_from_cam=np.concatenate([each.cameras.world_from_cam for each in views]),
        intrinsics=np.concatenate([each.cameras.intrinsics for each in views]),
        width=first.width,
        height=first.height,
    )
    rgb, alpha, depth = (np.concatenate([getattr(each, name) for each in views]) for name in ("rgb", "alpha", "depth"))
    return RenderedViews(cameras=cameras, rgb=rgb, alpha=alpha, depth=depth)


class SampleHits(NamedTuple):
    """Visible face of each sample of an image."""

    covered: np.ndarray
    """[H, W] bool"""
    face: np.ndarray
    """[C]"""
    weights: Float32[np.ndarray, "C 3"]
    """Barycentric coordinates."""
    depth: Float32[np.ndarray, "H W"]


def render_asset(
    mesh: TexturedMesh,
    cameras: Cameras,
    *,
    lighting: Lighting | None = None,
    supersample: int = 2,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    last_surface: bool = False,
    progress: Progress = silent,
) -> RenderedViews:
    """Render the mesh from each camera with `supersample`² samples per pixel, averaged in sRGB as viewers do.

    Faces are two-sided. A face that reaches behind a camera is not rendered.
    """
    lighting = Lighting() if lighting is None else lighting
    shape = (len(cameras), cameras.height, cameras.width)
    images = {False: np.empty((*shape, 3), np.uint8), True: np.empty((*shape, 3), np.uint8)}
    depth_maps = {False: np.empty(shape, np.float32), True: np.empty(shape, np.float32)}
    alpha = np.empty(shape, np.uint8)
    for i in range(len(cameras)):
        camera = cameras.select([i])
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        for last in (False, True) if last_surface else (False,):
            hits = _find_hits(mesh, fine, last=last)
            images[last][i], alpha[i] = _downsample(
                hits, _shade(mesh, hits, fine, lighting, behind=last), supersample, background
            )
            depth_maps[last][i] = _depth_at_pixel_centers(mesh, camera, hits, supersample, last=last)
        progress(i + 1, len(cameras))
    rendered = RenderedViews(cameras=cameras, rgb=images[False], alpha=alpha, depth=depth_maps[False])
    return replace(rendered, last_depth=depth_maps[True], last_rgb=images[True]) if last_surface else rendered


def _find_hits(mesh: TexturedMesh, camera: Cameras, *, last: bool) -> SampleHits:
    """Return the first or the last face on each ray."""
    vertices = _vertices_in_cam(mesh, camera)
    if last:
        return _find_last_hits(mesh, vertices, camera)
    hits = rasterize_triangles(vertices, mesh.faces, np.ones(len(vertices), np.float32), camera)
    covered = hits.face >= 0
    return SampleHits(covered, hits.face[covered], _barycentric_weights(hits, covered), hits.depth)


def _find_last_hits(mesh: TexturedMesh, vertices: Float32[np.ndarray, "M 3"], camera: Cameras) -> SampleHits:
    """Return the last faces, by rasterizing with 1/z' = m - 1/z.

    This inverts the order of depths and preserves lines, planes and the projection.
    """
    inverse = 1 / np.maximum(vertices[:, 2].astype(np.float64), 1e-6)
    limit = 1.5 * inverse[mesh.faces].max()
    flipped_inverse = limit - inverse
    flipped = vertices * (inverse / flipped_inverse)[:, None]
    hits = rasterize_triangles(flipped.astype(np.float32), mesh.faces, np.ones(len(vertices), np.float32), camera)
    covered = hits.face >= 0
    corners = mesh.faces[hits.face[covered]]
    # Weights on the face go through those on the screen, which both depths share.
    screen = _barycentric_weights(hits, covered) / flipped_inverse[corners]
    weights = screen * inverse[corners]
    weights /= weights.sum(1, keepdims=True)
    depth = np.zeros(covered.shape, np.float32)
    depth[covered] = (weights * vertices[corners, 2]).sum(1)
    return SampleHits(covered, hits.face[covered], weights.astype(np.float32), depth)


def _vertices_in_cam(mesh: TexturedMesh, camera: Cameras) -> Float32[np.ndarray, "M 3"]:
    """Return the vertices in camera space."""
    cam_from_world = camera.cam_from_world[0]
    return np.ascontiguousarray(mesh.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3])


def _barycentric_weights(hits: TriangleHits, covered: np.ndarray) -> Float32[np.ndarray, "C 3"]:
    """Return the barycentric coordinates of the covered samples."""
    second, third = hits.barycentric[covered].T
    return np.stack([1 - second - third, second, third], -1)


def _shade(
    mesh: TexturedMesh, hits: SampleHits, camera: Cameras, lighting: Lighting, *, behind: bool
) -> Float32[np.ndarray, "C 3"]:
    """Return sRGB colours, 0 to 1, of the covered samples."""
    attributes = np.concatenate([mesh.uv, mesh.tints, mesh.normals], 1)
    uv, tints, normals = np.split(_interpolate(attributes, mesh, hits), [2, 5], axis=1)
    mips = mesh.atlas.mip_index(mesh.face_textures, _mip_levels(mesh, camera))
    albedo = mesh.atlas.sample_linear(mips[hits.face], uv) * tints
    return srgb_from_linear(
        albedo * irradiance(normals, _facing_normals(mesh, camera, behind=behind)[hits.face], lighting)
    )


def _interpolate(
    values: Float32[np.ndarray, "M D"], mesh: TexturedMesh, hits: SampleHits
) -> Float32[np.ndarray, "C D"]:
    """Return vertex attributes interpolated at the covered samples."""
    corners = mesh.faces.take(hits.face, 0)  # [C, 3]
    result = hits.weights[:, :1] * values.take(corners[:, 0], 0)
    for k in (1, 2):
        result += hits.weights[:, k : k + 1] * values.take(corners[:, k], 0)
    return result


def _mip_levels(mesh: TexturedMesh, camera: Cameras) -> Float[np.ndarray, "F"]:
    """Return the mipmap level of each face at which a texel is about one sample."""
    points = _vertices_in_cam(mesh, camera)
    screen = points[:, :2] / np.maximum(points[:, 2:], 1e-6) * camera.intrinsics[0, [0, 1], [0, 1]]
    first = mesh.atlas.first_levels[mesh.face_textures]
    size = np.stack([mesh.atlas.widths[first], mesh.atlas.heights[first]], -1)
    texels = _doubled_areas(mesh.uv[mesh.faces] * size[:, None])
    return 0.5 * np.log2(np.maximum(texels, 1e-12) / np.maximum(_doubled_areas(screen[mesh.faces]), 1e-12))


def _doubled_areas(corners: Float[np.ndarray, "F 3 2"]) -> Float[np.ndarray, "F"]:
    """Return twice the area of each 2D triangle."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _facing_normals(mesh: TexturedMesh, camera: Cameras, *, behind: bool) -> Float32[np.ndarray, "F 3"]:
    """Return normals of the faces on the side towards the camera, or away from it if `behind`; not of unit length."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    planes = np.cross(b - a, c - a)
    away = np.einsum("fd,fd->f", planes, a - camera.centers_in_world[0]) > 0
    planes[away != behind] *= -1
    return planes


def irradiance(
    normals: Float32[np.ndarray, "C 3"], sides: Float32[np.ndarray, "C 3"], lighting: Lighting
) -> Float32[np.ndarray, "C _"]:
    """Return the linear light on each sample."""
    # Files differ in which way normals and faces look: the side that is seen is the one that is lit.
    lengths = np.sqrt(np.einsum("cd,cd->c", normals, normals))
    flips = np.where(np.einsum("cd,cd->c", normals, sides) < 0, -1, 1).astype(np.float32)
    unit = normals * (flips / np.maximum(lengths, 1e-9))[:, None]
    direction = np.array(lighting.direction, np.float32)
    lamp = np.maximum(unit @ (direction / np.linalg.norm(direction)), 0)[:, None]
    around = np.float32(1 - lighting.sky) - np.float32(lighting.sky) * unit[:, 1:2]
    color = np.ones(1, np.float32) if lighting.warmth is None else lighting.warmth
    return np.float32(lighting.ambient) * around + np.float32(1 - lighting.ambient) * lamp * color


def _downsample(
    hits: SampleHits, colors: Float32[np.ndarray, "C 3"], supersample: int, background: tuple[float, float, float]
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Return samples blended with the background and averaged to pixels, and the coverage of each pixel."""
    height, width = hits.covered.shape
    rgb = np.empty((height, width, 3), np.float32)
    rgb[:] = background
    rgb[hits.covered] = colors
    steps = [
        (slice(i, None, supersample), slice(j, None, supersample)) for i, j in np.ndindex(supersample, supersample)
    ]
    small = sum(rgb[rows, columns] for rows, columns in steps) / np.float32(supersample**2)
    coverage = sum(hits.covered[rows, columns].astype(np.float32) for rows, columns in steps) / supersample**2
    return np.round(small * 255).astype(np.uint8), np.round(coverage * 255).astype(np.uint8)


def _depth_at_pixel_centers(
    mesh: TexturedMesh, camera: Cameras, hits: SampleHits, supersample: int, *, last: bool
) -> Float32[np.ndarray, "H W"]:
    """Return the depth at pixel centres, where the middle sample lies if their number is odd."""
    middle = supersample // 2
    if supersample % 2:
        return hits.depth[middle::supersample, middle::supersample]
    return _find_hits(mesh, camera, last=last).depth
