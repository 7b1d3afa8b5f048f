import numpy as np
import pytest

pytest.importorskip("numba")

from img2world.core.cameras import Cameras
from img2world.render.triangles import rasterize_triangles
from training import raster
from training.assembly import Composition, Material
from training.renderer import cam_from_place
from training.scene_kinds import PLACES
from training.shapes import BOX, superquadric
from training.views import Studio


@pytest.fixture(scope="module")
def studio():
    return Studio(3, textures=8)


def first_of(studio, wanted):
    """The first views of objects or of a scene."""
    for number in range(60):
        views = studio.views(number, count=2, width=64, height=48)
        if views and views[0].is_object == wanted:
            return views
    raise AssertionError


def test_the_same_number_gives_the_same_views_whatever_came_before(studio):
    again = Studio(3, textures=8)
    for number in (4, 1):
        for one, other in zip(studio.views(number, count=2), again.views(number, count=2), strict=True):
            np.testing.assert_array_equal(one.rgb, other.rgb)
            np.testing.assert_array_equal(one.front, other.front)
            np.testing.assert_array_equal(one.hidden_rgb, other.hidden_rgb)
    first = studio.views(1, count=1)[0]
    assert (first.rgb != Studio(4, textures=8).views(1, count=1)[0].rgb).any()


def test_what_is_hidden_is_behind(studio):
    for wanted in (True, False):
        for view in first_of(studio, wanted):
            where = view.hidden_known
            assert where[~view.known].sum() == 0
            assert (view.hidden[where] >= view.front[where] - 1e-4).all()
            assert view.rgb.shape == view.hidden_rgb.shape == (*view.known.shape, 3)
            assert np.isfinite(view.front).all()


def test_objects_stand_before_white_and_fill_their_frame(studio):
    for view in first_of(studio, True):
        rows, columns = np.nonzero(view.known)
        longest = max(np.ptp(rows), np.ptp(columns)) / len(view.known)
        assert 0.55 < longest < 0.95
        assert view.rgb[~view.known & (view.alpha == 0)].mean() > 235  # white with noise and blur
        assert abs(view.front[view.known].min() + view.hidden[view.known].max()) < 1e-4  # the middle is 0


@pytest.mark.parametrize("name", sorted(PLACES))
def test_every_kind_of_place_gives_pictures(studio, name):
    from training.materials import Maker

    made = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        place = PLACES[name](Maker(rng=rng, num_textures=8), 3)
        made += studio.place_views(rng, place, width=48, height=48)
    assert made
    for view in made:
        assert view.rgb.std() > 3
        assert view.front[view.known].std() > 1e-3


def test_depths_are_those_of_the_projects_own_rasterizer():
    made = Composition()
    material = Material(texture=0)
    made.put(BOX, material, at=(0.3, 0.1, 4), size=(1, 2, 0.5))
    made.next_thing()
    made.put(superquadric(), material, at=(-0.2, 0, 3), size=1.5)
    world = made.finished()
    lens = (70.0, 70.0, 32.0, 24.0)
    w, face, back_w, back_face = raster.layers(world.vertices, world.faces, world.things, *lens, 64, 48, raster.LAST)
    camera = Cameras(
        world_from_cam=np.eye(4, dtype=np.float32)[None],
        intrinsics=np.array([[[70, 0, 32], [0, 70, 24], [0, 0, 1]]], np.float32), width=64, height=48,
    )  # fmt: skip
    alphas = np.ones(len(world.vertices), np.float32)
    expected = rasterize_triangles(world.vertices, world.faces, alphas, camera)
    both = (face >= 0) & (expected.face >= 0)
    assert ((face >= 0) == (expected.face >= 0)).mean() > 0.995  # pixels on an edge may fall either way
    np.testing.assert_allclose(1 / w[both], expected.depth[both], rtol=1e-3)
    assert (back_face[both] >= 0).all()
    assert (1 / back_w[both]).max() > 4  # the box's far side is seen through the ball


def test_another_thing_is_what_is_hidden_in_scenes():
    made = Composition()
    made.put(BOX, Material(texture=0), at=(0, 0, 3))
    made.next_thing()
    made.put(BOX, Material(texture=0), at=(0, 0, 6), size=(9, 9, 0.1))
    world = made.finished()
    w, _, back_w, back_face = raster.layers(
        world.vertices, world.faces, world.things, 60.0, 60.0, 32.0, 32.0, 64, 64, raster.OTHER_THING
    )
    assert 1 / w[32, 32] == pytest.approx(2.5, rel=1e-4)
    assert 1 / back_w[32, 32] == pytest.approx(5.95, rel=1e-4)  # not the near box's own back
    assert 1 / w[2, 2] == pytest.approx(5.95, rel=1e-4)
    assert back_face[2, 2] == -1


def test_cameras_of_places_look_where_they_should():
    from training.scene import Shot

    turn = cam_from_place(Shot(eye=np.array([0.0, 1, 5]), target=np.array([0.0, 1, 0]), fov=1.0))
    np.testing.assert_allclose(turn @ [0, 0, -1], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [0, 1, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(turn @ [1, 0, 0], [1, 0, 0], atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
