"""Gaussians as a textured triangle mesh, for engines that know no splats."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Float64

from img2world.core.cameras import Cameras
from img2world.core.errors import ExportError
from img2world.core.mesh import Mesh
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.collider import check_collider, write_collider
from img2world.export.glb import check_glb, write_glb
from img2world.export.obj import check_obj, write_obj
from img2world.export.pictures import rendered_views
from img2world.export.skin import Skin, scene_in_pose, skin_vertices
from img2world.export.usdz import check_usdz, modules, write_usdz
from img2world.meshing.convex import convex_pieces
from img2world.meshing.outlines import fit_outlines
from img2world.meshing.poisson import open3d
from img2world.meshing.reconstruct import TRUNCATION, MeasuredSurface, frustum_camera, reconstruct_surface
from img2world.meshing.surface import Surface, color_vertices, mesh_statistics, vertex_normals
from img2world.meshing.texture import bake_texture
from img2world.meshing.unwrap import unwrap

MIN_LOD_FACES = 20
"""A level of detail with fewer faces would no longer have the shape."""

MIN_TEXTURE_SIZE = 16
"""Below, the charts of the smallest mesh and the space between them no longer fit."""

COLLIDER_FACES = 2000
"""Faces of the surface that a collider follows."""

DEPTH_SCALE = 0.5
"""Length of a step in depth relative to one across, in the space in which a scene's texture is laid out: faces that
the cameras see from the side need few texels."""


@dataclass(frozen=True, kw_only=True)
class MeshExport:
    """mesh.glb: a triangle mesh with a texture baked from the views, +Y up, animated by bones; also as OBJ and USDZ."""

    files: tuple[Literal["glb", "obj", "usdz"], ...] = ("glb",)
    """Kinds of file: glb for engines and 3D programs, obj (with .mtl and .png) for older ones, usdz for Quick Look."""
    method: Literal["tsdf", "poisson"] = "tsdf"
    """tsdf averages signed distances of depth maps; poisson fits a smooth surface to their points, by Open3D."""
    resolution: Annotated[int, Range(8)] = 256
    """Grid points along the longest side. Time and memory grow with its square to cube."""
    max_faces: Annotated[int, Range(4)] = 20_000
    """A simple shape gets fewer."""
    picture_size: Annotated[int, Range(16)] = 384
    """Pixels on the long side of the depth maps."""
    texture_size: Annotated[int, Range(0, 8192)] = 1024
    """Pixels on each side of the texture; 0 colors the vertices instead, which some engines do not show."""
    lods: Annotated[int, Range(0, 6)] = 0
    """Levels of detail to add, mesh_lod1 and so on, each with a quarter of the faces and half of the texture's side."""
    collider: bool = False
    """Add collider.glb: convex pieces of an object, or a simplified mesh of a scene."""
    unlit: bool = True
    """Show the colours unshaded; they already contain the photo's light."""
    pose_time: float = -1.0
    """Seconds of the motion of what moves at which the mesh is made, best where parts do not touch; -1 is at rest."""

    filename: ClassVar[str] = "mesh.glb"

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float | str]:
        """Write the scene beside `path`, in files of its name, and compare them with what other readers read.

        What moves is in one pose, without Gaussians that are there for less than half of the time; `path` itself has
        bones and an animation as well.

        Returns the numbers of vertices, faces and bytes, whether the mesh is watertight, the deviation from the surface
        before simplification in grid steps, and the readers. Raises ExportError when the scene has no surface or a file
        reads back wrong, MissingPackageError when a package is missing.
        """
        self._check_options()
        motion, pose = scene.motion, None if self.pose_time < 0 else self.pose_time
        if motion is not None:
            scene, motion = scene_in_pose(scene, pose)
            # Photos show it at other times.
            views = rendered_views(scene)
            self._warn_of_stills()
        measured = self.measure_surface(scene, progress=progress)
        size, statistics = 0, {}
        for level in range(self.lods + 1):
            if level > 0:
                count = len(measured.in_grid.faces) // 4
                if count < MIN_LOD_FACES:
                    made = f"{level - 1} of {self.lods} levels of detail are made"
                    warnings.warn(f"{made}: the next one would have {count} faces", stacklevel=2)
                    break
                measured = measured.simplified(count)
            mesh = self.mesh_from_surface(measured, scene, views, level=level, progress=progress)
            skin = None
            if motion is not None and level == 0:
                skin = skin_vertices(mesh.vertices, scene.gaussians, motion, pose)
                skin = skin.transformed(scene.asset_from_world)
            mesh = mesh.transformed(scene.asset_from_world)
            facts = mesh_statistics(mesh)
            if level == 0:
                statistics = {**facts, "deviation": measured.deviation}
                if self.collider:
                    write_scene_collider(measured, scene.asset_from_world, path.with_name("collider.glb"))
            target = path.with_stem(f"{path.stem}_lod{level}") if level else path
            size += self._write_files(mesh, target, skin, double_sided=not facts["watertight"])
        readers = ["trimesh", "usd-core"] if "usdz" in self.files else ["trimesh"]
        return {**statistics, "bytes": float(size), "reader": ", ".join(map(name_with_version, readers))}

    def _warn_of_stills(self) -> None:
        """Warn of files of what moves that have no animation."""
        stills = [kind for kind in self.files if kind != "glb"] + (["levels of detail"] if self.lods else [])
        if stills:
            warnings.warn(f"only mesh.glb is animated; {', '.join(stills)} keep the pose of the mesh", stacklevel=3)

    def check_programs(self) -> None:
        """Check that the packages which the options need are installed. Raises MissingPackageError if not."""
        if "usdz" in self.files:
            modules()
        if self.method == "poisson":
            open3d()

    def _check_options(self) -> None:
        """Raise ExportError when the options contradict each other."""
        if not self.files:
            raise ExportError("export.mesh.files is empty", hint="set it to glb, obj or usdz, or several of them")
        if 0 < self.texture_size < MIN_TEXTURE_SIZE:
            raise ExportError(
                f"export.mesh.texture_size is {self.texture_size}, needs 0 or at least {MIN_TEXTURE_SIZE}",
                hint="0 colors the vertices, 1024 is the default",
            )
        if not self.texture_size and set(self.files) != {"glb"}:
            raise ExportError(
                f"{' and '.join(set(self.files) - {'glb'})} files need a texture",
                hint="set export.mesh.texture_size=1024",
            )

    def _write_files(self, mesh: Mesh, path: Path, skin: Skin | None, *, double_sided: bool) -> int:
        """Write each kind of file, check it, and return their size in bytes."""
        size = 0
        if "glb" in self.files:
            write_glb(mesh, path, unlit=self.unlit, double_sided=double_sided, skin=skin)
            check_glb(mesh, path, skin)
            size += path.stat().st_size
        if "obj" in self.files:
            write_obj(mesh, path.with_suffix(".obj"), unlit=self.unlit)
            check_obj(mesh, path.with_suffix(".obj"))
            size += sum(path.with_suffix(suffix).stat().st_size for suffix in (".obj", ".mtl", ".png"))
        if "usdz" in self.files:
            write_usdz(mesh, path.with_suffix(".usdz"), unlit=self.unlit, double_sided=double_sided)
            check_usdz(mesh, path.with_suffix(".usdz"))
            size += path.with_suffix(".usdz").stat().st_size
        return size

    def mesh_from_scene(self, scene: Scene, views: Views, *, progress: Progress = silent) -> Mesh:
        """Return the scene's surface in the world's axes. Raises ExportError when it has none."""
        return self.mesh_from_surface(self.measure_surface(scene, progress=progress), scene, views, progress=progress)

    def measure_surface(self, scene: Scene, *, progress: Progress = silent) -> MeasuredSurface:
        """Return the scene's surface without colours. Raises ExportError when it has none."""
        return reconstruct_surface(
            scene,
            method=self.method,
            resolution=self.resolution,
            max_faces=self.max_faces,
            picture_size=self.picture_size,
            progress=progress,
        )

    def mesh_from_surface(
        self, measured: MeasuredSurface, scene: Scene, views: Views, *, level: int = 0, progress: Progress = silent
    ) -> Mesh:
        """Return the mesh of a surface in the world's axes, with the texture of a level of detail."""
        surface = measured.in_world
        if measured.solid:
            surface = fit_outlines(surface, views, float(measured.tolerance.min()) / (2 * TRUNCATION))
        colors = color_vertices(surface, measured.maps, measured.tolerance)
        normals = vertex_normals(surface).astype(np.float32)
        size = max(self.texture_size >> level, MIN_TEXTURE_SIZE)
        if not self.texture_size:
            return Mesh(
                vertices=surface.vertices.astype(np.float32),
                faces=surface.faces,
                normals=normals,
                colors=np.rint(255 * colors).astype(np.uint8),
            )
        points = surface.vertices if scene.is_object else layout_points(surface, scene.cameras)
        charts = unwrap(points, surface.faces, size)
        return Mesh(
            vertices=surface.vertices[charts.vertices].astype(np.float32),
            faces=charts.faces,
            normals=normals[charts.vertices],
            uvs=charts.uvs,
            texture=bake_texture(surface, charts, colors, views, size, progress=progress),
        )


def write_scene_collider(measured: MeasuredSurface, asset_from_world: Float[np.ndarray, "4 4"], path: Path) -> None:
    """Write convex pieces of an object, or a simplified surface of a scene, and check the file."""
    simple = measured.simplified(COLLIDER_FACES).in_world
    shapes = convex_pieces(simple) if measured.solid else [simple]
    linear, offset = asset_from_world[:3, :3], asset_from_world[:3, 3]
    shapes = [Surface(shape.vertices @ linear.T + offset, shape.faces) for shape in shapes]
    write_collider(shapes, path, convex=measured.solid)
    check_collider(shapes, path, convex=measured.solid)


def layout_points(surface: Surface, cameras: Cameras) -> Float64[np.ndarray, "M 3"]:
    """Return the vertices such that areas are as large as cameras which look one way see them."""
    pose = frustum_camera(cameras)
    if pose is None:
        return surface.vertices
    in_cam = (surface.vertices - pose[:3, 3]) @ pose[:3, :3]
    depth = np.maximum(in_cam[:, 2:], 1e-6)
    return np.concatenate([in_cam[:, :2] / depth, DEPTH_SCALE * np.log(depth)], 1)
