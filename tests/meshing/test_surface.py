import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree

from img2world.meshing.surface import (
    Surface,
    clean_surface,
    decimate,
    drop_double_faces,
    split_nonmanifold,
    vertex_normals,
)


def as_surface(mesh: trimesh.Trimesh) -> Surface:
    return Surface(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32))


def as_trimesh(surface: Surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def bumpy_ball(subdivisions: int = 5) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions)
    mesh.vertices *= 1 + 0.1 * np.sin(7 * mesh.vertices[:, [0]]) * np.cos(5 * mesh.vertices[:, [1]])
    return mesh


def test_floaters_cavities_and_degenerate_faces_are_dropped():
    ball, floater, cavity = bumpy_ball(4), trimesh.creation.icosphere(1, 0.02), trimesh.creation.icosphere(2, 0.5)
    floater.apply_translation([3, 0, 0])
    cavity.invert()
    whole = as_surface(trimesh.util.concatenate([ball, floater, cavity]))
    flat = Surface(whole.vertices, np.concatenate([whole.faces, [[4, 4, 9]]]).astype(np.int32))
    solid = clean_surface(flat, solid=True)
    assert len(solid.faces) == len(ball.faces)
    assert len(solid.vertices) == len(ball.vertices)
    assert as_trimesh(solid).volume == pytest.approx(ball.volume)
    assert len(clean_surface(flat, solid=False).faces) == len(ball.faces) + len(cavity.faces)


def test_decimation_keeps_shape_and_stays_closed():
    ball = bumpy_ball()
    light = decimate(as_surface(ball), 3000)
    assert 2800 <= len(light.faces) <= 3000
    mesh = as_trimesh(light)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(ball.volume, rel=0.005)
    distance, _ = KDTree(ball.vertices).query(mesh.vertices)
    assert distance.max() < 0.03  # half an edge of the fine ball


def test_a_surface_of_few_faces_is_returned_as_is():
    surface = as_surface(trimesh.creation.box())
    assert decimate(surface, 12) is surface


def test_two_boxes_that_share_an_edge_come_apart():
    first, second = trimesh.creation.box(), trimesh.creation.box()
    second.apply_translation([1, 1, 0])
    both = trimesh.util.concatenate([first, second])
    both.merge_vertices()
    surface = as_surface(both)
    assert len(surface.vertices) == 14
    assert not as_trimesh(surface).is_watertight
    apart = split_nonmanifold(surface)
    assert len(apart.vertices) == 16
    assert as_trimesh(apart).is_watertight
    assert as_trimesh(apart).volume == pytest.approx(2)


def test_a_manifold_surface_is_not_split():
    surface = as_surface(bumpy_ball(2))
    same = split_nonmanifold(drop_double_faces(surface))
    assert len(same.vertices) == len(surface.vertices)
    np.testing.assert_allclose(same.vertices[same.faces], surface.vertices[surface.faces])


def test_back_to_back_faces_are_dropped():
    surface = as_surface(trimesh.creation.box())
    vertices = np.concatenate([surface.vertices, [[2.0, 2, 2]]])
    fin = np.array([[0, 1, 8], [1, 0, 8]], np.int32)
    assert len(drop_double_faces(Surface(vertices, np.concatenate([surface.faces, fin]))).faces) == 12


def test_vertex_normals_are_weighted_by_area():
    ball = trimesh.creation.icosphere(4)
    np.testing.assert_allclose(vertex_normals(as_surface(ball)), ball.vertices, atol=0.01)
    # The floor has twice the area of the wall, which meets it in the edge 0-1.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1], [9, 9, 9]], np.float64)
    corner = vertex_normals(Surface(vertices, np.array([[0, 1, 2], [0, 3, 1]], np.int32)))
    np.testing.assert_allclose(corner[0], np.array([0, 1, 2]) / 5**0.5)
    np.testing.assert_array_equal(corner[4], [0, 1, 0])
