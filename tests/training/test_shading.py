from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("numba")

from training import raster
from training.assembly import Assembly, compute_normals
from training.materials import Material
from training.renderer import fit_lens, render_shadow_map, render_view, shares_shadow_map
from training.scene import Viewpoint, daylight
from training.shading import CORNER_TAPS, mip_level, occlusion, sample_texture
from training.shapes import BOX, superquadric
from training.textures import make_texture_bank


@pytest.fixture(scope="module")
def bank():
    return make_texture_bank(5, 6)


@pytest.fixture(scope="module")
def mesh():
    assembly = Assembly()
    assembly.add(superquadric(), Material(texture=1, gloss=0.4), size=1.5)
    assembly.start_object()
    assembly.add(BOX, Material(texture=2), at=(0.4, 0.2, -1), size=(1, 2, 0.5))
    return assembly.build()


@pytest.mark.parametrize("level", [0, 3])
def test_texels_are_those_of_the_mipmap_level(bank, level):
    side = 256 >> level
    row, column = (0, 0) if level == 0 else (256 - (512 >> level), 256)
    mip = bank.atlas[3, row : row + side, column : column + side].astype(np.float32)
    rng = np.random.default_rng(0)
    for u, v in rng.uniform(-2, 3, (50, 2)):
        position = np.array([[u % 1 * side, v % 1 * side]], np.float32)
        expected = (
            cv2.remap(mip, position[:, :1], position[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[0, 0] / 255
        )
        np.testing.assert_allclose(
            sample_texture(bank.atlas, 3, u, v, level), expected, atol=0.03
        )  # cv2.remap rounds to 1/32 pixels.


def test_mip_level_is_the_rounded_logarithm():
    for footprint in (1e-3, 0.9, 1.3, 1.5, 5, 6, 40, 1e4):
        assert mip_level(footprint) == np.clip(np.floor(np.log2(footprint) + 0.5), 0, 6)


def test_corner_normals_of_flat_and_smooth_faces(mesh):
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat, areas = compute_normals(mesh.vertices, mesh.faces, np.zeros(len(mesh.faces), bool))
    lengths = np.linalg.norm(cross, axis=1)
    np.testing.assert_allclose(areas, lengths, atol=1e-6)
    real = lengths > 1e-6
    np.testing.assert_allclose(flat[real, 1], cross[real] / lengths[real, None], atol=1e-4)
    smooth, _ = compute_normals(mesh.vertices, mesh.faces, np.ones(len(mesh.faces), bool))
    at_vertex = np.zeros((len(mesh.vertices), 3))
    for corner in range(3):
        np.add.at(at_vertex, mesh.faces[:, corner], cross)
    expected = at_vertex[mesh.faces] / (np.linalg.norm(at_vertex, axis=1)[mesh.faces][..., None] + 1e-12)
    np.testing.assert_allclose(smooth, expected, atol=1e-4)


def test_occlusion_is_in_corners_only():
    x, y = np.meshgrid(np.arange(64.0), np.arange(64.0))
    known = np.ones((64, 64), bool)
    plane = (3 + 0.01 * x + 0.004 * y).astype(np.float32)
    # The mean over two opposite points of a plane is on the plane.
    np.testing.assert_array_equal(occlusion(known, plane, 60.0, 0.15), 1)
    corner = (4 - 0.05 * np.abs(x - 32)).astype(np.float32)
    light = occlusion(known, corner, 60.0, 0.15)
    assert light[20:44, 32].mean() < 0.9
    assert light[20:44, 15].mean() == 1
    assert (occlusion(np.zeros((64, 64), bool), corner, 60.0, 0.15) == 1).all()
    assert CORNER_TAPS.shape == (8, 6, 2)


@pytest.mark.parametrize("hidden", [raster.LAST, raster.OTHER_OBJECT])
def test_sky_is_blended_into_outlines_of_scenes_only(mesh, bank, hidden):
    viewpoint = Viewpoint(eye=np.array([1.0, 1.5, -6]), target=np.zeros(3), fov=0.5)
    lens = fit_lens(mesh, viewpoint, 64, 0.8)
    lighting = daylight(np.random.default_rng(2))
    bright = replace(lighting, horizon=(90.0,) * 3, zenith=(90.0,) * 3, cloudiness=0.0)
    drawn = render_view(
        mesh, bright, viewpoint, lens, bank, np.random.default_rng(0), width=64, height=64, hidden=hidden
    )
    outline = (drawn.alpha > 0) & (drawn.alpha < 1)
    matte = drawn.linear[outline].max(-1) < 45
    assert outline.sum() > 50
    assert matte.mean() > 0.9 if hidden == raster.LAST else matte.mean() < 0.6


def test_reused_shadow_map_gives_the_same_image(mesh, bank):
    viewpoints = [Viewpoint(eye=np.array([x, 1.5, -6]), target=np.zeros(3), fov=0.9) for x in (0.5, 2.0)]
    lighting = daylight(np.random.default_rng(1))
    assert shares_shadow_map(mesh, lighting)
    shadows = render_shadow_map(mesh, lighting, viewpoints[0])
    lens = np.array([60.0, 60.0, 24.0, 24.0])
    one, other = (
        render_view(
            mesh, lighting, viewpoints[1], lens, bank, np.random.default_rng(0), width=48, height=48,
            hidden=raster.OTHER_OBJECT, shadows=given,
        )
        for given in (shadows, None)
    )  # fmt: skip
    np.testing.assert_array_equal(one.linear, other.linear)
    np.testing.assert_array_equal(one.hidden_linear, other.hidden_linear)
