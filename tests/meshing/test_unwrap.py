import numpy as np
import trimesh
import xatlas

from img2world.core.cameras import Cameras
from img2world.meshing.unwrap import unwrap
from img2world.render.triangles import rasterize_triangles


def test_charts_have_the_same_faces_and_do_not_overlap():
    ball = trimesh.creation.icosphere(3)
    ball.vertices *= (1.0, 2.0, 0.7)
    faces = np.asarray(ball.faces, np.int32)
    charts = unwrap(np.asarray(ball.vertices, np.float64), faces, 256)
    np.testing.assert_array_equal(charts.vertices[charts.faces], faces)
    assert charts.uvs.min() >= 0
    assert charts.uvs.max() <= 1
    a, b, c = (256 * charts.uvs[charts.faces[:, corner]].astype(float) for corner in range(3))
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    # Drawn into the texture, every face keeps its area: none is covered by another.
    flat = np.concatenate([charts.uvs, np.ones((len(charts.uvs), 1))], 1).astype(np.float32)
    intrinsics = np.array([[[2048, 0, 0], [0, 2048, 0], [0, 0, 1]]], np.float32)
    camera = Cameras(world_from_cam=np.eye(4, dtype=np.float32)[None], intrinsics=intrinsics, width=2048, height=2048)
    seen = rasterize_triangles(flat, charts.faces, np.ones(len(flat), np.float32), camera).face
    drawn = np.bincount(seen[seen >= 0], minlength=len(faces)) / 64
    np.testing.assert_allclose(drawn, areas, atol=0.5)
    # Areas are kept up to one factor, roughly.
    ratio = areas / ball.area_faces
    assert ratio.std() / ratio.mean() < 0.2
    assert areas.sum() > 0.4 * 256**2


def test_an_atlas_outlives_its_use(monkeypatch):
    # Now and then, one that is freed waits forever for a thread that missed the call to end.
    freed = []

    class Atlas(xatlas.Atlas):
        def __del__(self):
            freed.append(self)

    monkeypatch.setattr(xatlas, "Atlas", Atlas)
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    unwrap(corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32), 32)
    assert not freed
