import numpy as np
import pytest
import trimesh
from surfaces import as_surface, as_trimesh, bumpy_ball

from img2world.core.mesh import Mesh
from img2world.meshing.surface import Surface, clean_surface, mesh_statistics, vertex_normals


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


def test_vertex_normals_are_weighted_by_area():
    ball = trimesh.creation.icosphere(4)
    np.testing.assert_allclose(vertex_normals(as_surface(ball)), ball.vertices, atol=0.01)
    # The floor has twice the area of the wall, which meets it in the edge 0-1.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1], [9, 9, 9]], np.float64)
    corner = vertex_normals(Surface(vertices, np.array([[0, 1, 2], [0, 3, 1]], np.int32)))
    np.testing.assert_allclose(corner[0], np.array([0, 1, 2]) / 5**0.5)
    np.testing.assert_array_equal(corner[4], [0, 1, 0])


def test_a_face_without_area_does_not_open_a_closed_surface():
    """Vertices in one place are one vertex; the faces between them are lines."""
    box = trimesh.creation.box()
    vertices, faces = np.asarray(box.vertices, np.float32), np.asarray(box.faces, np.int32)
    a, b, c = faces[0]
    split = np.concatenate([[[a, b, 8], [8, b, c], [c, a, 8]], faces[1:]]).astype(np.int32)
    for place in (vertices[a], vertices[[a, b, c]].mean(0)):
        placed = np.concatenate([vertices, place[None]])
        assert statistics_of(placed, split)["watertight"] == 1
        assert statistics_of(placed, np.delete(split, 1, 0))["watertight"] == 0


def statistics_of(vertices, faces) -> dict[str, float]:
    up = np.tile(np.float32([0, 0, 1]), (len(vertices), 1))
    colors = np.zeros((len(vertices), 3), np.uint8)
    return mesh_statistics(Mesh(vertices=vertices, faces=faces, normals=up, colors=colors))
