"""Surfaces for tests."""

import numpy as np
import trimesh

from img2world.meshing.surface import Surface


def as_surface(mesh: trimesh.Trimesh) -> Surface:
    return Surface(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32))


def as_trimesh(surface: Surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def bumpy_ball(subdivisions: int = 5) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions)
    mesh.vertices *= 1 + 0.1 * np.sin(7 * mesh.vertices[:, [0]]) * np.cos(5 * mesh.vertices[:, [1]])
    return mesh
