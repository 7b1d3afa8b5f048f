"""Writing and checking of collision shapes as GLB, with the names that engines look for.

Nodes are named for Godot's importer ("Node type customization using name suffixes": -convcolonly, -colonly), and meshes
for Unreal's ("UCX_" and the name of the mesh that they belong to).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import ExportError
from img2world.meshing.surface import Surface

if TYPE_CHECKING:
    import trimesh


def write_collider(shapes: list[Surface], path: Path, *, convex: bool) -> None:
    """Write collision shapes in the world's axes, without material and +Y up.

    They are convex pieces, or surfaces of things that do not move.
    """
    import trimesh

    scene = trimesh.Scene()
    for name, node, mesh in _meshes(shapes, convex):
        scene.add_geometry(mesh, geom_name=name, node_name=node)
    path.write_bytes(scene.export(file_type="glb"))  # pyright: ignore[reportArgumentType]


def check_collider(shapes: list[Surface], path: Path, *, convex: bool) -> None:
    """Compare the shapes with what trimesh reads. Raises ExportError when they differ."""
    import trimesh

    read = trimesh.load_scene(path, process=False)
    for name, node, mesh in _meshes(shapes, convex):
        found = read.geometry.get(name)
        if (
            found is None
            or node not in read.graph.nodes_geometry
            or not np.array_equal(found.vertices, mesh.vertices.astype(np.float32))
            or not np.array_equal(found.faces, mesh.faces)
        ):
            raise ExportError(f"{node} of the collider reads back wrong", hint=f"write it again ({path})")


def _meshes(shapes: list[Surface], convex: bool) -> list[tuple[str, str, "trimesh.Trimesh"]]:
    """Return the names of mesh and node and the mesh of each shape."""
    import trimesh

    meshes = [trimesh.Trimesh(shape.vertices @ Y_UP_FROM_WORLD[:3, :3], shape.faces, process=False) for shape in shapes]
    prefix, suffix = ("UCX_world", "convcolonly") if convex else ("world_trimesh", "colonly")
    return [(f"{prefix}_{i:02}", f"world_{i:02}-{suffix}", mesh) for i, mesh in enumerate(meshes)]
