"""Gaussians as a triangle mesh with vertex colours, for engines that know no splats."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras
from img2world.core.conventions import NEAR
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.mesh import Mesh
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.glb import check_glb, write_glb
from img2world.export.surface import (
    Surface,
    clean_surface,
    color_surface,
    decimate,
    face_normals,
    surface_facts,
    without_unused,
)
from img2world.export.viewpoints import Extent, Viewpoints, object_viewpoints, opaque_extent, scene_viewpoints
from img2world.export.volume import BoxGrid, DepthViews, FrustumGrid, Grid, depth_views, extract_surface, fuse, smoothed
from img2world.render import render

FAR_QUANTILE = 0.998
MAX_DEPTH_RATIO = 12.0
"""Farther than this times the near part of a scene is sky, or too far to have a shape."""

MIN_ALIGNMENT = 0.6
"""Cosine to the mean direction, above which all cameras look one way and a frustum holds what they see."""

MIN_COSINE = 0.12
"""Of incidence, below which a face is taken for a sheet between two surfaces."""


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
        facts = surface_facts(mesh)
        write_glb(mesh, path, unlit=self.unlit, double_sided=not facts["watertight"])
        check_glb(mesh, path)
        return {**facts, "bytes": float(path.stat().st_size)}

    def mesh_from_scene(self, scene: Scene, *, progress: Progress = silent) -> Mesh:
        """The scene's surface in the world's axes. Raises ExportError when it has none."""
        gaussians, solid = scene.at(0.0), scene.is_object
        extent = opaque_extent(gaussians)
        points = (
            object_viewpoints(scene, extent, self.picture_size) if solid else scene_viewpoints(scene, self.picture_size)
        )
        views = measure(gaussians, points, limit_depth=not solid, progress=progress)
        grid = object_grid(extent, self.resolution) if solid else scene_grid(views, self.resolution)
        volume, seen = fuse(views, grid, truncation=self.truncation, solid=solid)
        volume = smoothed(volume, seen, self.smoothing, solid=solid)
        surface = clean_surface(Surface(*extract_surface(volume, seen, solid=solid)), solid=solid)
        if not solid:
            surface = clean_surface(without_glancing_faces(surface, grid, views.cameras), solid=False)
        if len(surface.faces) == 0:
            raise ExportError(
                f"no surface was found in {len(views)} views of {len(gaussians)} Gaussians",
                hint="train the scene longer, or raise export.mesh.resolution for something very thin",
            )
        # In grid indices a far face may be as much larger as it is farther away.
        surface = clean_surface(decimate(surface, self.max_faces), solid=solid)
        tolerance = 2 * self.truncation * grid.pitch(surface.vertices)
        return color_surface(Surface(grid.to_world(surface.vertices), surface.faces), views, tolerance)


def measure(gaussians: Gaussians, points: Viewpoints, *, limit_depth: bool, progress: Progress = silent) -> DepthViews:
    """Depth and colours from the viewpoints, without what is far behind the rest if `limit_depth`."""
    rendered = render(gaussians, points.cameras, background=(0.0, 0.0, 0.0), progress=progress)
    far = np.inf
    if limit_depth and (opaque := rendered.alpha > 0.5).any():
        near, far = np.quantile(rendered.depth[opaque], [0.1, FAR_QUANTILE])
        far = min(1.05 * far, MAX_DEPTH_RATIO * near)
    return depth_views(
        rendered.rgb, rendered.alpha, rendered.depth, cameras=points.cameras, weights=points.weights, far=far
    )


def object_grid(extent: Extent, resolution: int) -> BoxGrid:
    """Cubes around the object, with two to spare on each side."""
    step = float((extent.high - extent.low).max()) / (resolution - 5)
    shape = tuple(int(size) for size in np.ceil((extent.high - extent.low) / step).astype(int) + 5)
    low = extent.center - step * (np.array(shape) - 1) / 2
    return BoxGrid(low=tuple(low.tolist()), step=step, shape=shape)


def scene_grid(views: DepthViews, resolution: int) -> Grid:
    """A frustum that holds what cameras looking one way see, or else a box."""
    seen = np.concatenate([seen_points(views, i) for i in range(len(views))])
    if len(seen) == 0:
        raise ExportError("no view sees a surface", hint="train the scene longer")
    poses = views.cameras.world_from_cam.astype(np.float64)
    forward = poses[:, :3, 2].mean(0)
    if (poses[:, :3, 2] @ forward).min() < MIN_ALIGNMENT * np.linalg.norm(forward):
        low, high = np.quantile(seen, [0.01, 0.99], axis=0)
        return object_grid(Extent(low=low, high=high), resolution)
    # Beside the cameras' middle, as far back as the rearmost of them.
    axes = np.linalg.svd(poses[:, :3, :3].mean(0))
    rotation = axes[0] @ axes[2]
    in_ref = poses[:, :3, 3] @ rotation
    center = rotation @ np.array([in_ref[:, 0].mean(), in_ref[:, 1].mean(), in_ref[:, 2].min()])
    return frustum_grid((seen - center) @ rotation, rotation, center, resolution)


def frustum_grid(
    points_in_ref: Float64[np.ndarray, "M 3"],
    rotation: Float64[np.ndarray, "3 3"],
    center: Float64[np.ndarray, "3"],
    resolution: int,
) -> FrustumGrid:
    """The frustum from `center` that holds nearly all of the points."""
    ahead = points_in_ref[points_in_ref[:, 2] > NEAR]
    near, far = np.quantile(ahead[:, 2], [0.0005, 1.0])
    low, high = np.quantile(ahead[:, :2] / ahead[:, 2:], [0.0005, 0.9995], axis=0)
    step = float((high - low).max()) / (resolution - 1)
    # Depth is known less well than direction, so twice the step is fine enough.
    ratio = 1 + 2 * step
    layers = int(np.ceil(np.log(1.05 * far / (0.95 * near)) / np.log(ratio))) + 1
    columns, rows = (int(size) for size in np.ceil((high - low) / step).astype(int) + 1)
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3], world_from_cam[:3, 3] = rotation, center
    return FrustumGrid(
        world_from_cam=world_from_cam,
        low=(float(low[0]), float(low[1]), float(0.95 * near)),
        step=step,
        depth_ratio=ratio,
        shape=(columns, rows, layers),
    )


def seen_points(views: DepthViews, i: int) -> Float64[np.ndarray, "M 3"]:
    """Places in the world of every fourth pixel in x and y of view i whose depth is known."""
    intrinsics, pose = (
        views.cameras.intrinsics[i].astype(np.float64),
        views.cameras.world_from_cam[i].astype(np.float64),
    )
    depth = views.depth[i, ::4, ::4].astype(np.float64)
    row, column = np.nonzero(depth > 0)
    z = depth[row, column]
    x = (4 * column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (4 * row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1] * z
    return np.stack([x, y, z], -1) @ pose[:3, :3].T + pose[:3, 3]


def without_glancing_faces(surface: Surface, grid: Grid, cameras: Cameras) -> Surface:
    """The surface without faces that no camera sees from the front but at a glance: sheets across depth edges."""
    world = Surface(grid.to_world(surface.vertices), surface.faces)
    normals, centers = face_normals(world), world.vertices[world.faces].mean(1)
    best = np.full(len(centers), -1.0)
    for eye in cameras.centers_in_world.astype(np.float64):
        rays = eye - centers
        np.maximum(best, np.einsum("fi,fi->f", rays, normals) / np.linalg.norm(rays, axis=1), out=best)
    return without_unused(Surface(surface.vertices, surface.faces[best > MIN_COSINE]))
