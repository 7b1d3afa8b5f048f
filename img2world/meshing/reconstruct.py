"""The surface of a scene, from depth maps of many views fused into a truncated signed distance."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.cameras import Cameras
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.meshing.decimation import collapse_short_edges, decimate, deviation, simplify
from img2world.meshing.depth_maps import DepthMaps, depth_maps, remove_inner_surfaces, surface_colors
from img2world.meshing.grids import Grid, box_grid, frustum_grid
from img2world.meshing.poisson import poisson_surface
from img2world.meshing.surface import (
    MIN_COLOR_WEIGHT,
    Surface,
    clean_surface,
    drop_unused_vertices,
    spread,
    vertex_normals,
)
from img2world.meshing.viewpoints import Viewpoints, object_viewpoints, opaque_extent, scene_viewpoints
from img2world.meshing.volume import extract_surface, fuse, smooth_volume
from img2world.render import render, render_each

FAR_QUANTILE = 0.998
MAX_DEPTH_RATIO = 12.0
"""Depth relative to the near part of a scene beyond which everything is sky or too far away to have a shape."""

MIN_ALIGNMENT = 0.6
"""Cosine to the mean viewing direction above which all cameras look one way, so that a frustum holds what they see."""

MIN_COSINE = 0.12
"""Cosine of incidence below which a face is a sheet stretched between two surfaces."""

MAX_UNSEEN_DISTANCE = 2.0
"""Grid steps between a vertex and the measured surface above which it is unseen."""

MIN_PATCH_RADIUS = 4
"""Grid steps to each side below which an unseen patch is only the rim of a seen one."""

MAX_PATCH_DISTANCE = 1.0
"""Grid steps by which the decimation moves a vertex of a patch."""

MIN_PATCH_EDGE = 0.05
"""Grid steps; a patch that hangs on a narrow neck shrinks to a point, with shorter edges than this."""

MAX_RIM_DISTANCE = 1.0
"""Grid steps between a face and the measured surface above which the face is only the thickness of a rim."""

MAX_DEVIATION = {True: 0.175, False: 0.07}
"""Grid steps by which the simplification may move the surface of an object and of a scene, most of which is flat."""

TRUNCATION = 4.0
"""Grid steps over which surfaces measured at different depths are averaged."""

SMOOTHING = 0.8
"""Standard deviation in grid steps of the blur that removes noise from the surface."""


@dataclass(frozen=True, kw_only=True)
class MeasuredSurface:
    """A surface and what it was measured from."""

    in_grid: Surface
    """In grid indices."""
    grid: Grid
    maps: DepthMaps
    solid: bool
    """True for the closed surface of an object."""
    deviation: float
    """Distance of the surface that was measured from the simplified one in grid steps, the 95th percentile."""

    @property
    def in_world(self) -> Surface:
        """The surface in the world's axes and units."""
        return Surface(self.grid.to_world(self.in_grid.vertices), self.in_grid.faces)

    @property
    def tolerance(self) -> Float32[np.ndarray, "M"]:
        """Distance from each vertex up to which a depth map shows it."""
        return 2 * TRUNCATION * self.grid.pitch(self.in_grid.vertices)

    def simplified(self, max_faces: int) -> "MeasuredSurface":
        """Return the surface with at most about `max_faces` faces."""
        simpler = clean_surface(decimate(self.in_grid, max_faces), solid=self.solid)
        return replace(self, in_grid=simpler, deviation=self.deviation + deviation(self.in_grid, simpler))


def reconstruct_surface(
    scene: Scene,
    *,
    method: Literal["tsdf", "poisson"] = "tsdf",
    resolution: int,
    max_faces: int,
    picture_size: int,
    progress: Progress = silent,
) -> MeasuredSurface:
    """Return the surface of a scene at its first key, with at most about `max_faces` faces.

    `resolution` is the number of grid points along the longest side, `picture_size` that of pixels of the depth maps.
    `method` is how the depth maps are fused: averaged, or by `poisson_surface`. Fewer faces suffice for a simple shape.
    An object's surface is closed. Raises ExportError when there is none.
    """
    gaussians, solid = scene.at(scene.start), scene.is_object
    if not solid:
        gaussians = remove_far_background(gaussians, scene.cameras)
    extent = opaque_extent(gaussians)
    viewpoints = object_viewpoints(scene, extent, picture_size) if solid else scene_viewpoints(scene, picture_size)
    maps = render_depth_maps(gaussians, viewpoints, progress=progress)
    grid = box_grid(extent.low, extent.high, resolution) if solid else scene_grid(maps, resolution)
    if solid:
        reach = TRUNCATION * float(grid.pitch(np.zeros((1, 3)))[0])
        maps = remove_inner_surfaces(maps, viewpoints.keeps_hollows, reach)
    surface = fused_surface(maps, grid, solid=solid)
    if method == "poisson":
        closed = (surface.vertices.astype(np.float64), vertex_normals(surface)) if solid else None
        surface = _clean(poisson_surface(maps, grid, closed=closed), grid, maps, solid=solid)
    if len(surface.faces) == 0:
        raise ExportError(
            f"no surface was found in {len(maps)} views of {len(gaussians)} Gaussians",
            hint="raise export.mesh.resolution for something thin or small beside the rest, train the scene longer, or "
            "remove what is far away: `img2world convert --drop-floaters` or `--crop-sphere`",
        )
    patches = surface.vertices[unseen_patches(surface, grid, maps)] if solid else surface.vertices[:0]
    # In grid indices, a face may be larger the farther away it is.
    simple = simplify(surface, max_faces=max_faces, max_deviation=MAX_DEVIATION[solid])
    return MeasuredSurface(
        # After the simplification, which cannot handle a sheet that is folded onto itself.
        in_grid=smooth_patches(clean_surface(simple, solid=solid), patches.astype(np.float64)),
        grid=grid,
        maps=maps,
        solid=solid,
        deviation=deviation(surface, simple),
    )


def fused_surface(maps: DepthMaps, grid: Grid, *, solid: bool) -> Surface:
    """Return the zero surface of the mean signed distance, in grid indices."""
    volume, seen = fuse(maps, grid, truncation=TRUNCATION, solid=solid)
    volume = smooth_volume(volume, seen, SMOOTHING, solid=solid)
    return _clean(Surface(*extract_surface(volume, seen, solid=solid)), grid, maps, solid=solid)


def _clean(surface: Surface, grid: Grid, maps: DepthMaps, *, solid: bool) -> Surface:
    """Drop floaters and, of an open surface, faces that no view sees."""
    surface = clean_surface(surface, solid=solid)
    return surface if solid else clean_surface(remove_unseen_faces(surface, grid, maps), solid=False)


def render_depth_maps(gaussians: Gaussians, viewpoints: Viewpoints, *, progress: Progress = silent) -> DepthMaps:
    """Render depth and colours from the viewpoints."""
    # On black, so that dividing by alpha removes the background from the colours.
    views = render_each(gaussians, viewpoints.cameras, background=(0.0, 0.0, 0.0))
    return depth_maps(views, cameras=viewpoints.cameras, weights=viewpoints.weights, progress=progress)


def remove_far_background(gaussians: Gaussians, cameras: Cameras) -> Gaussians:
    """Return the Gaussians without the sky and whatever else is too far from all cameras to have a shape.

    They have to go before depth is measured: a wall lets a few thousandths of the sky through, which is so far away
    that the wall's mean depth would move.
    """
    few = cameras.select(np.unique(np.linspace(0, len(cameras) - 1, 6).astype(int)))
    rendered = render(gaussians, few)
    if not (opaque := rendered.alpha > 0.5).any():
        return gaussians
    near, far = np.quantile(rendered.depth[opaque], [0.1, FAR_QUANTILE])
    limit = min(1.05 * far, MAX_DEPTH_RATIO * near)
    distance = np.min([np.linalg.norm(gaussians.means - eye, axis=1) for eye in cameras.centers_in_world], axis=0)
    # Depth is measured along the optical axis, distance along the ray, which is longer towards the corners.
    half = np.array([cameras.width, cameras.height]) / 2 / cameras.intrinsics[0, [0, 1], [0, 1]]
    return gaussians.select(distance < limit * np.sqrt(1 + (half**2).sum()))


def scene_grid(maps: DepthMaps, resolution: int) -> Grid:
    """Return a frustum around what is seen when all cameras look one way, otherwise a box.

    Raises ExportError when no view sees a surface.
    """
    seen = np.concatenate([maps.surface_points(i, stride=4) for i in range(len(maps))])
    if len(seen) == 0:
        raise ExportError("no view sees a surface", hint="train the scene longer")
    world_from_cam = frustum_camera(maps.cameras)
    if world_from_cam is None:
        low, high = np.quantile(seen, [0.01, 0.99], axis=0)
        return box_grid(low, high, resolution)
    return frustum_grid((seen - world_from_cam[:3, 3]) @ world_from_cam[:3, :3], world_from_cam, resolution)


def frustum_camera(cameras: Cameras) -> Float64[np.ndarray, "4 4"] | None:
    """Return the pose of a camera that sees all that the others do, or None when they do not look one way.

    It has the mean rotation and stands in the middle of the others, level with the rearmost.
    """
    poses = cameras.world_from_cam.astype(np.float64)
    forward = poses[:, :3, 2].mean(0)
    if (poses[:, :3, 2] @ forward).min() < MIN_ALIGNMENT * np.linalg.norm(forward):
        return None
    u, _, vt = np.linalg.svd(poses[:, :3, :3].mean(0))
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3] = rotation = u @ vt
    in_cam = poses[:, :3, 3] @ rotation
    world_from_cam[:3, 3] = rotation @ np.array([in_cam[:, 0].mean(), in_cam[:, 1].mean(), in_cam[:, 2].min()])
    return world_from_cam


def unseen_patches(surface: Surface, grid: Grid, maps: DepthMaps) -> Bool[np.ndarray, "M"]:
    """Return the vertices of patches that no view sees; narrow ones do not count."""
    from scipy.sparse import coo_array

    in_world = Surface(grid.to_world(surface.vertices), surface.faces)
    tolerance = MAX_UNSEEN_DISTANCE * grid.pitch(surface.vertices)
    _, weights = surface_colors(in_world.vertices, vertex_normals(in_world), tolerance, maps, min_cosine=MIN_COSINE)
    count = len(surface.vertices)
    ends = (surface.faces.reshape(-1), np.roll(surface.faces, 1, 1).reshape(-1))
    links = coo_array((np.ones(len(ends[0]), np.int32), ends), shape=(count, count)).tocsr()
    unseen = weights <= MIN_COLOR_WEIGHT
    for _ in range(MIN_PATCH_RADIUS):
        unseen &= (links @ ~unseen == 0) & (links.T @ ~unseen == 0)
    for _ in range(MIN_PATCH_RADIUS):
        unseen |= (links @ unseen > 0) | (links.T @ unseen > 0)
    return unseen


def smooth_patches(surface: Surface, patches: Float64[np.ndarray, "K 3"]) -> Surface:
    """Span patches, given by points on them, smoothly between what surrounds them, so that there are no pits."""
    from scipy.spatial import KDTree

    vertices = surface.vertices.astype(np.float64)
    if len(patches) == 0:
        return Surface(vertices, surface.faces)
    distance, _ = KDTree(patches).query(vertices, distance_upper_bound=MAX_PATCH_DISTANCE)
    spanned = Surface(spread(vertices, distance > MAX_PATCH_DISTANCE, surface), surface.faces)
    return clean_surface(collapse_short_edges(spanned, MIN_PATCH_EDGE), solid=True)


def remove_unseen_faces(surface: Surface, grid: Grid, maps: DepthMaps) -> Surface:
    """Drop faces that no view sees from the front at the measured depth, such as sheets across depth edges."""
    import trimesh

    normals = trimesh.Trimesh(grid.to_world(surface.vertices), surface.faces, process=False).face_normals
    index = surface.vertices[surface.faces].mean(1)
    tolerance = MAX_RIM_DISTANCE * grid.pitch(index)
    _, weights = surface_colors(grid.to_world(index), normals, tolerance, maps, min_cosine=MIN_COSINE)
    return drop_unused_vertices(Surface(surface.vertices, surface.faces[weights > 0]))
