import sys

import numpy as np
import pytest
import trimesh
from skimage.measure import marching_cubes

from img2world.core.errors import MissingPackageError
from img2world.meshing.convex import MAX_PIECES, MAX_VERTICES, convex_pieces
from img2world.meshing.decimation import decimate
from img2world.meshing.surface import Surface


def test_pieces_are_convex_and_hold_the_surface():
    """A table, whose convex hull would be a block."""
    pytest.importorskip("coacd", reason="needs pip install 'img2world[mesh]'")
    solid = np.zeros((24, 17, 14), np.float32)
    solid[2:22, 2:5, 2:12] = 1  # the top
    solid[2:5, 2:15, 5:9] = solid[19:22, 2:15, 5:9] = 1  # two legs
    table = decimate(Surface(*marching_cubes(solid, 0.5)[:2]), 300)
    pieces = convex_pieces(table)
    assert 3 <= len(pieces) <= MAX_PIECES
    shapes = [trimesh.Trimesh(*piece, process=False) for piece in pieces]
    assert all(shape.is_convex and shape.is_watertight and len(shape.vertices) <= MAX_VERTICES for shape in shapes)
    assert sum(shape.volume for shape in shapes) == pytest.approx(solid.sum(), rel=0.25)
    # In voxels, of which the table is 20 long.
    assert distance_outside(shapes, table.vertices).max() < 0.8
    # Nothing is below the top between the legs.
    assert distance_outside(shapes, np.array([[11.5, 10, 6.5]])).min() > 4


def distance_outside(shapes: list[trimesh.Trimesh], points: np.ndarray) -> np.ndarray:
    """Return how far points are outside the nearest of the convex shapes."""
    return np.min(
        [
            np.einsum("pfi,fi->pf", points[:, None] - shape.triangles[:, 0], shape.face_normals).max(1)
            for shape in shapes
        ],
        axis=0,
    )


def test_without_coacd_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "coacd", None)
    with pytest.raises(MissingPackageError, match="coacd") as error:
        convex_pieces(Surface(np.zeros((3, 3)), np.array([[0, 1, 2]], np.int32)))
    assert "pip install coacd" in error.value.hint
