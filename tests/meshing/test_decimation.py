import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree
from surfaces import as_surface, as_trimesh, bumpy_ball

from img2world.meshing.decimation import (
    collapse_short_edges,
    decimate,
    deviation,
    drop_double_faces,
    simplify,
    split_nonmanifold,
)
from img2world.meshing.surface import Surface


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


def test_faces_in_one_place_are_dropped_only_in_pairs():
    """Of two that look one way and one that looks back, one remains."""
    vertices = np.random.default_rng(0).normal(size=(4, 3))
    faces = np.array([[0, 1, 2], [1, 2, 0], [0, 2, 1], [3, 1, 0], [1, 3, 0]], np.int32)
    (left,) = drop_double_faces(Surface(vertices, faces)).faces
    assert left.tolist() in ([0, 1, 2], [1, 2, 0])


def test_deviation_is_the_distance_to_the_surface_and_not_to_its_vertices():
    flat = trimesh.creation.box((2, 2, 1))
    fine = flat.subdivide().subdivide().subdivide().subdivide()
    assert deviation(as_surface(fine), as_surface(flat)) < 1e-9
    fine.vertices *= 1 + 0.25 * (np.abs(fine.vertices[:, [2]]) == 0.5) * [0, 0, 1]
    # The two raised sides are more than a tenth of the vertices.
    assert deviation(as_surface(fine), as_surface(flat)) == pytest.approx(0.125)


def test_flat_sides_need_few_faces_and_bumps_many():
    box, ball = trimesh.creation.box(), bumpy_ball(4)
    fine = box.subdivide_to_size(0.1)
    plain = simplify(as_surface(fine), max_faces=3000, max_deviation=0.01)
    assert len(plain.faces) <= 100
    assert as_trimesh(plain).is_watertight
    bumpy = simplify(as_surface(ball), max_faces=2000, max_deviation=0.02)
    assert 200 < len(bumpy.faces) < 1900
    # Densely subdivided, vertices are as good as the surface.
    distance, _ = KDTree(as_trimesh(bumpy).subdivide_to_size(0.02).vertices).query(ball.vertices)
    assert 0.01 < np.quantile(distance, 0.95) < 0.022
    assert len(simplify(as_surface(ball), max_faces=600, max_deviation=1e-9).faces) in range(550, 601)


def test_a_needle_collapses_and_the_surface_stays_closed():
    ball = bumpy_ball(3)
    surface = as_surface(ball.copy())
    near = np.linalg.norm(ball.vertices - ball.vertices[0], axis=1) < 0.4
    surface.vertices[near] = ball.vertices[0] + 1e-9 * surface.vertices[near]
    clean = collapse_short_edges(surface, 1e-3)
    assert len(clean.vertices) == len(ball.vertices) - near.sum() + 1
    assert as_trimesh(clean).is_watertight
    assert as_trimesh(clean).edges_unique_length.min() > 1e-3
    same = collapse_short_edges(as_surface(ball), 1e-3)
    np.testing.assert_array_equal(same.faces, ball.faces)
