"""Gaussians as a triangle mesh with vertex colours, for engines that know no splats."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.mesh import Mesh
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.depth_maps import DepthMaps, depth_maps, remove_inner_surfaces, surface_colors
from img2world.export.glb import check_glb, write_glb
from img2world.export.grids import Grid, box_grid, frustum_grid
from img2world.export.surface import (
    Surface,
    clean_surface,
    color_surface,
    decimate,
    drop_unused_vertices,
    mesh_statistics,
)
from img2world.export.viewpoints import Viewpoints, object_viewpoints, opaque_extent, scene_viewpoints
from img2world.export.volume import extract_surface, fuse, smooth_volume
from img2world.render import render, render_each

FAR_QUANTILE = 0.998
MAX_DEPTH_RATIO = 12.0
"""Depth relative to the near part of a scene beyond which everything is sky or too far away to have a shape."""

MIN_ALIGNMENT = 0.6
"""Cosine to the mean viewing direction above which all cameras look one way, so that a frustum holds what they see."""

MIN_COSINE = 0.12
"""Cosine of incidence below which a face is a sheet stretched between two surfaces."""

MAX_RIM_DISTANCE = 1.0
"""Grid steps between a face and the measured surface above which the face is only the thickness of a rim."""


TRUNCATION = 4.0
"""Grid steps over which surfaces measured at different depths are averaged."""

SMOOTHING = 0.8
"""Standard deviation in grid steps of the blur that removes noise from the surface."""


@dataclass(frozen=True, kw_only=True)
class MeshExport:
    """mesh.glb: a vertex-coloured triangle mesh from fused depth maps, +Y up."""

    resolution: Annotated[int, Range(8)] = 192
    """Grid points along the longest side. Time and memory grow with its square to cube."""
    max_faces: Annotated[int, Range(4)] = 80_000
    picture_size: Annotated[int, Range(16)] = 384
    """Pixels on the long side of the depth maps."""
    unlit: bool = True
    """Show the colours unshaded; they already contain the photo's light."""

    filename: ClassVar[str] = "mesh.glb"

    def write(
        self, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
    ) -> dict[str, float | str]:
        """Write a GLB of the scene at time 0 and compare it with what trimesh reads.

        Returns the numbers of vertices, faces and bytes, whether the mesh is watertight, and the reader. Raises
        ExportError when the scene has no surface or the file reads back wrong.
        """
        mesh = self.mesh_from_scene(scene, progress=progress)
        if scene.metres_per_unit > 0:
            mesh = replace(mesh, vertices=mesh.vertices * np.float32(scene.metres_per_unit))
        statistics = mesh_statistics(mesh)
        write_glb(mesh, path, unlit=self.unlit, double_sided=not statistics["watertight"])
        check_glb(mesh, path)
        return {**statistics, "bytes": float(path.stat().st_size), "reader": name_with_version("trimesh")}

    def mesh_from_scene(self, scene: Scene, *, progress: Progress = silent) -> Mesh:
        """Return the scene's surface in the world's axes. Raises ExportError when it has none."""
        gaussians, solid, size = scene.at(0.0), scene.is_object, self.picture_size
        if not solid:
            gaussians = remove_far_background(gaussians, scene.cameras)
        extent = opaque_extent(gaussians)
        viewpoints = object_viewpoints(scene, extent, size) if solid else scene_viewpoints(scene, size)
        maps = render_depth_maps(gaussians, viewpoints, progress=progress)
        grid = box_grid(extent.low, extent.high, self.resolution) if solid else scene_grid(maps, self.resolution)
        if solid:
            reach = TRUNCATION * float(grid.pitch(np.zeros((1, 3)))[0])
            maps = remove_inner_surfaces(maps, viewpoints.keeps_hollows, reach)
        volume, seen = fuse(maps, grid, truncation=TRUNCATION, solid=solid)
        volume = smooth_volume(volume, seen, SMOOTHING, solid=solid)
        surface = clean_surface(Surface(*extract_surface(volume, seen, solid=solid)), solid=solid)
        if not solid:
            surface = clean_surface(remove_unseen_faces(surface, grid, maps), solid=False)
        if len(surface.faces) == 0:
            raise ExportError(
                f"no surface was found in {len(maps)} views of {len(gaussians)} Gaussians",
                hint="train the scene longer, or raise export.mesh.resolution for something very thin",
            )
        # Decimated in grid indices, a face may be larger the farther away it is.
        surface = clean_surface(decimate(surface, self.max_faces), solid=solid)
        tolerance = 2 * TRUNCATION * grid.pitch(surface.vertices)
        return color_surface(Surface(grid.to_world(surface.vertices), surface.faces), maps, tolerance)


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
    poses = maps.cameras.world_from_cam.astype(np.float64)
    forward = poses[:, :3, 2].mean(0)
    if (poses[:, :3, 2] @ forward).min() < MIN_ALIGNMENT * np.linalg.norm(forward):
        low, high = np.quantile(seen, [0.01, 0.99], axis=0)
        return box_grid(low, high, resolution)
    # The frustum's camera has the mean rotation and stands in the middle of the others, level with the rearmost.
    u, _, vt = np.linalg.svd(poses[:, :3, :3].mean(0))
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3] = rotation = u @ vt
    in_cam = poses[:, :3, 3] @ rotation
    world_from_cam[:3, 3] = rotation @ np.array([in_cam[:, 0].mean(), in_cam[:, 1].mean(), in_cam[:, 2].min()])
    return frustum_grid((seen - world_from_cam[:3, 3]) @ rotation, world_from_cam, resolution)


def remove_unseen_faces(surface: Surface, grid: Grid, maps: DepthMaps) -> Surface:
    """Drop faces that no view sees from the front at the measured depth, such as sheets across depth edges."""
    import trimesh

    normals = trimesh.Trimesh(grid.to_world(surface.vertices), surface.faces, process=False).face_normals
    index = surface.vertices[surface.faces].mean(1)
    tolerance = MAX_RIM_DISTANCE * grid.pitch(index)
    _, weights = surface_colors(grid.to_world(index), normals, tolerance, maps, min_cosine=MIN_COSINE)
    return drop_unused_vertices(Surface(surface.vertices, surface.faces[weights > 0]))
