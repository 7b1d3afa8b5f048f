import cv2
import numpy as np
import pytest

pytest.importorskip("numba")

from training import raster
from training.assembly import Composition, Material, normals_of
from training.renderer import draw, framing_lens, lamp_of, one_lamp
from training.scene import Shot, daylight
from training.shading import CORNER_TAPS, level_of, occlusion, texel
from training.shapes import BOX, superquadric
from training.textures import texture_bank


@pytest.fixture(scope="module")
def bank():
    return texture_bank(5, 6)


@pytest.fixture(scope="module")
def world():
    made = Composition()
    made.put(superquadric(), Material(texture=1, gloss=0.4), size=1.5)
    made.next_thing()
    made.put(BOX, Material(texture=2), at=(0.4, 0.2, -1), size=(1, 2, 0.5))
    return made.finished()


@pytest.mark.parametrize("level", [0, 3])
def test_texels_are_those_of_the_smaller_copy(bank, level):
    side = 256 >> level
    row, column = (0, 0) if level == 0 else (256 - (512 >> level), 256)
    copy = bank.atlas[3, row : row + side, column : column + side].astype(np.float32)
    rng = np.random.default_rng(0)
    for u, v in rng.uniform(-2, 3, (50, 2)):
        place = np.array([[u % 1 * side, v % 1 * side]], np.float32)
        expected = cv2.remap(copy, place[:, :1], place[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[0, 0] / 255
        np.testing.assert_allclose(texel(bank.atlas, 3, u, v, level), expected, atol=0.03)  # remap knows 1/32 pixels


def test_the_level_is_the_rounded_logarithm():
    for footprint in (1e-3, 0.9, 1.3, 1.5, 5, 6, 40, 1e4):
        assert level_of(footprint) == np.clip(np.floor(np.log2(footprint) + 0.5), 0, 6)


def test_corner_normals_are_unit_and_those_of_flat_faces_their_own(world):
    corners = world.vertices[world.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat, areas = normals_of(world.vertices, world.faces, np.zeros(len(world.faces), bool))
    lengths = np.linalg.norm(cross, axis=1)
    np.testing.assert_allclose(areas, lengths, atol=1e-6)
    real = lengths > 1e-6
    np.testing.assert_allclose(flat[real, 1], cross[real] / lengths[real, None], atol=1e-4)
    smooth, _ = normals_of(world.vertices, world.faces, np.ones(len(world.faces), bool))
    at_vertex = np.zeros((len(world.vertices), 3))
    for corner in range(3):
        np.add.at(at_vertex, world.faces[:, corner], cross)
    expected = at_vertex[world.faces] / (np.linalg.norm(at_vertex, axis=1)[world.faces][..., None] + 1e-12)
    np.testing.assert_allclose(smooth, expected, atol=1e-4)


def test_occlusion_is_in_corners_alone():
    x, y = np.meshgrid(np.arange(64.0), np.arange(64.0))
    known = np.ones((64, 64), bool)
    plane = (3 + 0.01 * x + 0.004 * y).astype(np.float32)
    # The mean over two places of a plane is the plane, so only rounding could shade it.
    np.testing.assert_array_equal(occlusion(known, plane, 60.0, 0.15), 1)
    corner = (4 - 0.05 * np.abs(x - 32)).astype(np.float32)
    light = occlusion(known, corner, 60.0, 0.15)
    assert light[20:44, 32].mean() < 0.9
    assert light[20:44, 15].mean() == 1
    assert (occlusion(np.zeros((64, 64), bool), corner, 60.0, 0.15) == 1).all()
    assert CORNER_TAPS.shape == (8, 6, 2)


@pytest.mark.parametrize("hidden", [raster.LAST, raster.OTHER_THING])
def test_only_places_mix_the_sky_into_an_outline(world, bank, hidden):
    shot = Shot(eye=np.array([1.0, 1.5, -6]), target=np.zeros(3), fov=0.5)
    lens = framing_lens(world, shot, 64, 0.8)
    light = daylight(np.random.default_rng(2))
    bright = type(light)(**{**vars(light), "horizon": (90.0,) * 3, "zenith": (90.0,) * 3, "cloudiness": 0.0})
    drawn = draw(world, bright, shot, lens, bank, np.random.default_rng(0), width=64, height=64, hidden=hidden)
    outline = (drawn.alpha > 0) & (drawn.alpha < 1)
    matte = drawn.linear[outline].max(-1) < 45
    assert outline.sum() > 50
    assert matte.mean() > 0.9 if hidden == raster.LAST else matte.mean() < 0.6


def test_a_light_drawn_before_gives_the_same_picture(world, bank):
    shots = [Shot(eye=np.array([x, 1.5, -6]), target=np.zeros(3), fov=0.9) for x in (0.5, 2.0)]
    light = daylight(np.random.default_rng(1))
    assert one_lamp(world, light)
    lamp = lamp_of(world, light, shots[0])
    lens = np.array([60.0, 60.0, 24.0, 24.0])
    one, other = (
        draw(
            world, light, shots[1], lens, bank, np.random.default_rng(0), width=48, height=48,
            hidden=raster.OTHER_THING, lamp=given,
        )
        for given in (lamp, None)
    )  # fmt: skip
    np.testing.assert_array_equal(one.linear, other.linear)
    np.testing.assert_array_equal(one.hidden_linear, other.hidden_linear)
