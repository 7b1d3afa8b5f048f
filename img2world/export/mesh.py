"""Gaussians as a triangle mesh with vertex colours, for engines that know no splats."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.mesh import Mesh
from img2world.core.progress import Progress, silent
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
    surface_facts,
    without_unused,
)
from img2world.export.viewpoints import Viewpoints, object_viewpoints, opaque_extent, scene_viewpoints
from img2world.export.volume import extract_surface, fuse, smoothed
from img2world.render import render

FAR_QUANTILE = 0.998
MAX_DEPTH_RATIO = 12.0
"""Farther than this times the near part of a scene is sky, or too far to have a shape."""

MIN_ALIGNMENT = 0.6
"""Cosine to the mean direction, above which all cameras look one way and a frustum holds what they see."""

MIN_COSINE = 0.12
"""Of incidence, below which a face is taken for a sheet between two surfaces."""

MAX_STEPS_OFF = 1.0
"""Grid steps between a face and the surface that is measured there, above which it is only the rim's thickness."""


@dataclass(frozen=True, kw_only=True)
class MeshExport:
    """mesh.glb: depth seen from many sides, fused, cut out as triangles, coloured; +Y up."""

    resolution: int = 192
    """Grid points along the longest side. Time and memory grow with its square to cube."""
    truncation: float = 4.0
    """Grid steps over which surfaces seen at different depths are averaged."""
    smoothing: float = 0.8
    """Grid steps over which the surface's noise is averaged out."""
    max_faces: int = 80_000
    picture_size: int = 384
    """Pixels on the long side of the views that are measured."""
    unlit: bool = True
    """Show the colours as they are; the photo's light is in them already."""

    filename: ClassVar[str] = "mesh.glb"

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float]:
        """Write a GLB of the scene at time 0 and compare it with what trimesh reads.

        Raises ExportError when the scene has no surface or the file reads back wrong.
        """
        mesh = self.mesh_from_scene(scene, progress=progress)
        if scene.metres_per_unit > 0:
            mesh = replace(mesh, vertices=mesh.vertices * np.float32(scene.metres_per_unit))
        facts = surface_facts(mesh)
        write_glb(mesh, path, unlit=self.unlit, double_sided=not facts["watertight"])
        check_glb(mesh, path)
        return {**facts, "bytes": float(path.stat().st_size)}

    def mesh_from_scene(self, scene: Scene, *, progress: Progress = silent) -> Mesh:
        """The scene's surface in the world's axes. Raises ExportError when it has none."""
        gaussians, solid = scene.at(0.0), scene.is_object
        if not solid:
            gaussians = without_far_background(gaussians, scene.cameras)
        extent = opaque_extent(gaussians)
        points = (
            object_viewpoints(scene, extent, self.picture_size) if solid else scene_viewpoints(scene, self.picture_size)
        )
        views = measure(gaussians, points, progress=progress)
        grid = box_grid(extent.low, extent.high, self.resolution) if solid else scene_grid(views, self.resolution)
        if solid:
            views = remove_inner_surfaces(views, points.outer, self.truncation * float(grid.pitch(np.zeros((1, 3)))[0]))
        volume, seen = fuse(views, grid, truncation=self.truncation, solid=solid)
        volume = smoothed(volume, seen, self.smoothing, solid=solid)
        surface = clean_surface(Surface(*extract_surface(volume, seen, solid=solid)), solid=solid)
        if not solid:
            surface = clean_surface(without_unseen_faces(surface, grid, views), solid=False)
        if len(surface.faces) == 0:
            raise ExportError(
                f"no surface was found in {len(views)} views of {len(gaussians)} Gaussians",
                hint="train the scene longer, or raise export.mesh.resolution for something very thin",
            )
        # In grid indices a far face may be as much larger as it is farther away.
        surface = clean_surface(decimate(surface, self.max_faces), solid=solid)
        tolerance = 2 * self.truncation * grid.pitch(surface.vertices)
        return color_surface(Surface(grid.to_world(surface.vertices), surface.faces), views, tolerance)


def measure(gaussians: Gaussians, points: Viewpoints, *, progress: Progress = silent) -> DepthMaps:
    """Depth and colours from the viewpoints."""
    # Before black, so that dividing by alpha takes the background out of the colours.
    seen = render(gaussians, points.cameras, background=(0.0, 0.0, 0.0), progress=progress)
    return depth_maps(seen.rgb, seen.alpha, seen.depth, cameras=points.cameras, weights=points.weights)


def without_far_background(gaussians: Gaussians, cameras: Cameras) -> Gaussians:
    """The Gaussians without sky and what else is too far from all cameras to have a shape.

    They must go before the depth is measured: a wall lets a few thousandths of the sky through, and
    the sky is so far that this moves the wall's mean depth.
    """
    few = cameras.select(np.unique(np.linspace(0, len(cameras) - 1, 6).astype(int)))
    seen = render(gaussians, few)
    if not (opaque := seen.alpha > 0.5).any():
        return gaussians
    near, far = np.quantile(seen.depth[opaque], [0.1, FAR_QUANTILE])
    limit = min(1.05 * far, MAX_DEPTH_RATIO * near)
    distance = np.min([np.linalg.norm(gaussians.means - eye, axis=1) for eye in cameras.centers_in_world], axis=0)
    # Depth is along the axis, distance along the ray, which is longer towards the corners.
    half = np.array([cameras.width, cameras.height]) / 2 / cameras.intrinsics[0, [0, 1], [0, 1]]
    return gaussians.select(distance < limit * np.sqrt(1 + (half**2).sum()))


def scene_grid(views: DepthMaps, resolution: int) -> Grid:
    """A frustum that holds what cameras looking one way see, or else a box."""
    seen = np.concatenate([views.surface_points(i, stride=4) for i in range(len(views))])
    if len(seen) == 0:
        raise ExportError("no view sees a surface", hint="train the scene longer")
    poses = views.cameras.world_from_cam.astype(np.float64)
    forward = poses[:, :3, 2].mean(0)
    if (poses[:, :3, 2] @ forward).min() < MIN_ALIGNMENT * np.linalg.norm(forward):
        low, high = np.quantile(seen, [0.01, 0.99], axis=0)
        return box_grid(low, high, resolution)
    # Beside the cameras' middle, as far back as the rearmost of them.
    axes = np.linalg.svd(poses[:, :3, :3].mean(0))
    rotation = axes[0] @ axes[2]
    in_ref = poses[:, :3, 3] @ rotation
    center = rotation @ np.array([in_ref[:, 0].mean(), in_ref[:, 1].mean(), in_ref[:, 2].min()])
    return frustum_grid((seen - center) @ rotation, rotation, center, resolution)


def without_unseen_faces(surface: Surface, grid: Grid, maps: DepthMaps) -> Surface:
    """The surface without sheets across depth edges: faces that no view sees from the front, not at a glance, there."""
    import trimesh

    normals = trimesh.Trimesh(grid.to_world(surface.vertices), surface.faces, process=False).face_normals
    index = surface.vertices[surface.faces].mean(1)
    tolerance = MAX_STEPS_OFF * grid.pitch(index)
    _, weights = surface_colors(grid.to_world(index), normals, tolerance, maps, min_cosine=MIN_COSINE)
    return without_unused(Surface(surface.vertices, surface.faces[weights > 0]))
