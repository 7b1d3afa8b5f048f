"""Gaussians as a textured triangle mesh, for engines that know no splats."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras
from img2world.core.mesh import Mesh
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.glb import check_glb, write_glb
from img2world.meshing.outlines import fit_outlines
from img2world.meshing.reconstruct import TRUNCATION, frustum_camera, reconstruct_surface
from img2world.meshing.surface import Surface, color_vertices, mesh_statistics, vertex_normals
from img2world.meshing.texture import bake_texture
from img2world.meshing.unwrap import unwrap

DEPTH_SCALE = 0.5
"""Length of a step in depth relative to one across, in the space in which a scene's texture is laid out: faces that
the cameras see from the side need few texels."""


@dataclass(frozen=True, kw_only=True)
class MeshExport:
    """mesh.glb: a triangle mesh with a texture baked from the views, +Y up."""

    resolution: Annotated[int, Range(8)] = 256
    """Grid points along the longest side. Time and memory grow with its square to cube."""
    max_faces: Annotated[int, Range(4)] = 20_000
    picture_size: Annotated[int, Range(16)] = 384
    """Pixels on the long side of the depth maps."""
    texture_size: Annotated[int, Range(0, 8192)] = 1024
    """Pixels on each side of the texture; 0 colors the vertices instead, which some engines do not show."""
    unlit: bool = True
    """Show the colours unshaded; they already contain the photo's light."""

    filename: ClassVar[str] = "mesh.glb"

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float | str]:
        """Write a GLB of the scene at time 0 and compare it with what trimesh reads.

        Returns the numbers of vertices, faces and bytes, whether the mesh is watertight, and the reader. Raises
        ExportError when the scene has no surface or the file reads back wrong.
        """
        mesh = self.mesh_from_scene(scene, views, progress=progress)
        mesh = mesh.transformed(scene.asset_from_world)
        statistics = mesh_statistics(mesh)
        write_glb(mesh, path, unlit=self.unlit, double_sided=not statistics["watertight"])
        check_glb(mesh, path)
        return {**statistics, "bytes": float(path.stat().st_size), "reader": name_with_version("trimesh")}

    def mesh_from_scene(self, scene: Scene, views: Views, *, progress: Progress = silent) -> Mesh:
        """Return the scene's surface in the world's axes. Raises ExportError when it has none."""
        surface, maps, tolerance = reconstruct_surface(
            scene,
            resolution=self.resolution,
            max_faces=self.max_faces,
            picture_size=self.picture_size,
            progress=progress,
        )
        if scene.is_object:
            surface = fit_outlines(surface, views, float(tolerance.min()) / (2 * TRUNCATION))
        colors, normals = color_vertices(surface, maps, tolerance), vertex_normals(surface).astype(np.float32)
        if not self.texture_size:
            return Mesh(
                vertices=surface.vertices.astype(np.float32),
                faces=surface.faces,
                normals=normals,
                colors=np.rint(255 * colors).astype(np.uint8),
            )
        points = surface.vertices if scene.is_object else layout_points(surface, scene.cameras)
        charts = unwrap(points, surface.faces, self.texture_size)
        return Mesh(
            vertices=surface.vertices[charts.vertices].astype(np.float32),
            faces=charts.faces,
            normals=normals[charts.vertices],
            uvs=charts.uvs,
            texture=bake_texture(surface, charts, colors, views, self.texture_size, progress=progress),
        )


def layout_points(surface: Surface, cameras: Cameras) -> Float64[np.ndarray, "M 3"]:
    """Return the vertices such that areas are as large as cameras which look one way see them."""
    pose = frustum_camera(cameras)
    if pose is None:
        return surface.vertices
    in_cam = (surface.vertices - pose[:3, 3]) @ pose[:3, :3]
    depth = np.maximum(in_cam[:, 2:], 1e-6)
    return np.concatenate([in_cam[:, :2] / depth, DEPTH_SCALE * np.log(depth)], 1)
