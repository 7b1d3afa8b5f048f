import numpy as np
import pytest

pytest.importorskip("numba")

from img2world.core.cameras import Cameras
from img2world.render.triangles import rasterize_triangles
from training import raster
from training.assembly import Assembly
from training.materials import Material
from training.renderer import cam_from_scene
from training.scene_kinds import SCENE_MAKERS
from training.shapes import BOX, superquadric
from training.views import ViewGenerator


@pytest.fixture(scope="module")
def generator():
    return ViewGenerator(3, textures=8)


def first_views(generator, is_object):
    """The first views of an object or of a scene."""
    for number in range(60):
        views = generator.views(number, count=2, width=64, height=48)
        if views and views[0].is_object == is_object:
            return views
    raise AssertionError


def test_number_determines_the_views(generator):
    again = ViewGenerator(3, textures=8)
    for number in (4, 1):
        for one, other in zip(generator.views(number, count=2), again.views(number, count=2), strict=True):
            np.testing.assert_array_equal(one.rgb, other.rgb)
            np.testing.assert_array_equal(one.front, other.front)
            np.testing.assert_array_equal(one.hidden_rgb, other.hidden_rgb)
    first = generator.views(1, count=1)[0]
    assert (first.rgb != ViewGenerator(4, textures=8).views(1, count=1)[0].rgb).any()


def test_hidden_surface_is_behind(generator):
    for is_object in (True, False):
        for view in first_views(generator, is_object):
            where = view.hidden_known
            assert where[~view.known].sum() == 0
            assert (view.hidden[where] >= view.front[where] - 1e-4).all()
            assert view.rgb.shape == view.hidden_rgb.shape == (*view.known.shape, 3)
            assert np.isfinite(view.front).all()


def test_objects_are_on_white_and_fill_the_frame(generator):
    for view in first_views(generator, True):
        rows, columns = np.nonzero(view.known)
        longest = max(np.ptp(rows), np.ptp(columns)) / len(view.known)
        assert 0.55 < longest < 0.95
        assert view.rgb[~view.known & (view.alpha == 0)].mean() > 235  # White with noise and blur.
        assert abs(view.front[view.known].min() + view.hidden[view.known].max()) < 1e-4  # The centre is at 0.


@pytest.mark.parametrize("name", sorted(SCENE_MAKERS))
def test_every_kind_of_scene_gives_views(generator, name):
    from training.materials import MaterialSampler

    views = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        position = SCENE_MAKERS[name](MaterialSampler(rng=rng, num_textures=8), 3)
        views += generator.scene_views(rng, position, width=48, height=48)
    assert views
    for view in views:
        assert view.rgb.std() > 3
        assert view.front[view.known].std() > 1e-3


def test_depths_match_the_native_rasterizer():
    assembly = Assembly()
    material = Material(texture=0)
    assembly.add(BOX, material, at=(0.3, 0.1, 4), size=(1, 2, 0.5))
    assembly.start_object()
    assembly.add(superquadric(), material, at=(-0.2, 0, 3), size=1.5)
    mesh = assembly.build()
    lens = (70.0, 70.0, 32.0, 24.0)
    w, face, back_w, back_face = raster.rasterize(
        mesh.vertices, mesh.faces, mesh.object_ids, *lens, 64, 48, raster.LAST
    )
    camera = Cameras(
        world_from_cam=np.eye(4, dtype=np.float32)[None],
        intrinsics=np.array([[[70, 0, 32], [0, 70, 24], [0, 0, 1]]], np.float32), width=64, height=48,
    )  # fmt: skip
    alphas = np.ones(len(mesh.vertices), np.float32)
    expected = rasterize_triangles(mesh.vertices, mesh.faces, alphas, camera)
    both = (face >= 0) & (expected.face >= 0)
    assert ((face >= 0) == (expected.face >= 0)).mean() > 0.995  # Pixels on an edge may go either way.
    np.testing.assert_allclose(1 / w[both], expected.depth[both], rtol=1e-3)
    assert (back_face[both] >= 0).all()
    assert (1 / back_w[both]).max() > 4  # The far side of the box behind the ball.


def test_hidden_surface_of_scenes_belongs_to_another_object():
    assembly = Assembly()
    assembly.add(BOX, Material(texture=0), at=(0, 0, 3))
    assembly.start_object()
    assembly.add(BOX, Material(texture=0), at=(0, 0, 6), size=(9, 9, 0.1))
    mesh = assembly.build()
    w, _, back_w, back_face = raster.rasterize(
        mesh.vertices, mesh.faces, mesh.object_ids, 60.0, 60.0, 32.0, 32.0, 64, 64, raster.OTHER_OBJECT
    )
    assert 1 / w[32, 32] == pytest.approx(2.5, rel=1e-4)
    assert 1 / back_w[32, 32] == pytest.approx(5.95, rel=1e-4)  # Not the near box's own back.
    assert 1 / w[2, 2] == pytest.approx(5.95, rel=1e-4)
    assert back_face[2, 2] == -1


def test_cameras_look_at_their_target():
    from training.scene import Viewpoint

    turn = cam_from_scene(Viewpoint(eye=np.array([0.0, 1, 5]), target=np.array([0.0, 1, 0]), fov=1.0))
    np.testing.assert_allclose(turn @ [0, 0, -1], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [0, 1, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(turn @ [1, 0, 0], [1, 0, 0], atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
