import numpy as np
import pytest

pytest.importorskip("numba")

import trimesh
from PIL import Image

from training.imported_assets import load_assets, retexture, with_box_projection
from training.materials import MaterialSampler
from training.shapes import BOX, superquadric
from training.train_geo import GeoConfig
from training.trainer import MANIFEST_REPEATS, make_view_generator


def write_asset(path, mesh, texture=None):
    """Write a mesh with or without a texture."""
    if texture is not None:
        uv = np.random.default_rng(0).random((len(mesh.vertices), 2))
        mesh.visual = trimesh.visual.TextureVisuals(uv=uv, image=Image.fromarray(texture))
    mesh.export(path)
    return path


@pytest.fixture
def assets(tmp_path):
    checks = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((4, 4))).astype(np.uint8)[..., None].repeat(3, 2) * 200
    meshes = {
        "a": (trimesh.creation.box((1, 2, 3)), None),
        "b": (trimesh.creation.icosphere(1), checks),
        "c": (trimesh.creation.cylinder(0.5, 2), checks),
        "d": (trimesh.creation.cone(1, 1), 255 - checks),
    }
    return [write_asset(tmp_path / f"{name}.glb", *each) for name, each in meshes.items()]


def test_shared_textures_are_loaded_once(assets):
    assemblies, textures = load_assets(assets, 10)
    assert len(textures) == 3  # White and two of checks.
    checks, others = ({shape.texture for shape in each.materials} for each in assemblies[2:])
    assert {shape.texture for shape in assemblies[0].materials} == {10}
    assert {shape.texture for shape in assemblies[1].materials} == checks
    assert not checks & others
    np.testing.assert_array_equal(textures[others.pop() - 10][0, 0], (255, 255, 255))


def test_extra_assets_are_used_beside_those_of_the_manifest(assets, tmp_path):
    manifest = tmp_path / "list" / "manifest.csv"
    manifest.parent.mkdir()
    manifest.write_text("file\n" + "".join(f"../{path.name}\n" for path in assets))
    config = {"steps": 1, "textures": 4}
    listed = make_view_generator(GeoConfig(**config, assets=str(manifest)))  # a and d are held out.
    assert len(listed.assets) == 2
    both = make_view_generator(GeoConfig(**config, assets=str(manifest), extra_assets=str(tmp_path)))
    assert len(both.assets) == 2 * MANIFEST_REPEATS + 4
    for each in both.assets:
        assert all(4 <= material.texture < len(both.bank) for material in each.materials)
    assert not make_view_generator(GeoConfig(**config)).assets


@pytest.mark.parametrize("shape", [BOX, superquadric()], ids=["box", "round"])
def test_box_projection_stretches_textures_little(shape):
    projected = with_box_projection(shape)
    before, after = shape.vertices[shape.faces], projected.vertices[projected.faces]
    np.testing.assert_array_equal(before, after)
    areas = np.linalg.norm(np.cross(after[:, 1] - after[:, 0], after[:, 2] - after[:, 0]), axis=1)
    one, other = (projected.uv[projected.faces[:, i]] - projected.uv[projected.faces[:, 0]] for i in (1, 2))
    uv_areas = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    assert (uv_areas <= areas + 1e-9).all()
    assert (uv_areas >= areas / np.sqrt(3) - 1e-9).all()  # Reached by a face along the diagonal.


def test_retextured_asset_keeps_its_shape(assets):
    (asset, *_), _ = load_assets(assets, 0)
    other = retexture(asset, MaterialSampler(rng=np.random.default_rng(1), num_textures=500))
    np.testing.assert_array_equal(asset.bounds(), other.bounds())
    assert len(other.build().faces) == len(asset.build().faces)
    assert other.materials[0].texture != asset.materials[0].texture
