import numpy as np
import pytest

pytest.importorskip("numba")

import trimesh
from PIL import Image

from training.imported_assets import boxed, load_assets, redressed
from training.materials import Maker
from training.shapes import BOX, superquadric
from training.train_geo import GeoPlan
from training.trainer import LISTED_AS_OFTEN, studio_of


def write_model(path, mesh, picture=None):
    """A model without or with a texture."""
    if picture is not None:
        uv = np.random.default_rng(0).random((len(mesh.vertices), 2))
        mesh.visual = trimesh.visual.TextureVisuals(uv=uv, image=Image.fromarray(picture))
    mesh.export(path)
    return path


@pytest.fixture
def models(tmp_path):
    checks = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((4, 4))).astype(np.uint8)[..., None].repeat(3, 2) * 200
    meshes = {
        "a": (trimesh.creation.box((1, 2, 3)), None),
        "b": (trimesh.creation.icosphere(1), checks),
        "c": (trimesh.creation.cylinder(0.5, 2), checks),
        "d": (trimesh.creation.cone(1, 1), 255 - checks),
    }
    return [write_model(tmp_path / f"{name}.glb", *each) for name, each in meshes.items()]


def test_a_texture_of_several_models_is_there_once(models):
    compositions, pictures = load_assets(models, 10)
    assert len(pictures) == 3  # white and two of checks
    checks, others = ({shape.texture for shape in each.materials} for each in compositions[2:])
    assert {shape.texture for shape in compositions[0].materials} == {10}
    assert {shape.texture for shape in compositions[1].materials} == checks
    assert not checks & others
    np.testing.assert_array_equal(pictures[others.pop() - 10][0, 0], (255, 255, 255))


def test_further_models_are_trained_on_beside_those_of_the_manifest(models, tmp_path):
    manifest = tmp_path / "list" / "manifest.csv"
    manifest.parent.mkdir()
    manifest.write_text("file\n" + "".join(f"../{path.name}\n" for path in models))
    plan = {"steps": 1, "textures": 4}
    listed = studio_of(GeoPlan(**plan, assets=str(manifest)))  # a and d are kept aside
    assert len(listed.assets) == 2
    both = studio_of(GeoPlan(**plan, assets=str(manifest), more=str(tmp_path)))
    assert len(both.assets) == 2 * LISTED_AS_OFTEN + 4
    for each in both.assets:
        assert all(4 <= material.texture < len(both.bank) for material in each.materials)
    assert not studio_of(GeoPlan(**plan)).assets


@pytest.mark.parametrize("shape", [BOX, superquadric()], ids=["box", "round"])
def test_a_texture_laid_on_from_the_sides_is_nowhere_much_stretched(shape):
    laid = boxed(shape)
    before, after = shape.vertices[shape.faces], laid.vertices[laid.faces]
    np.testing.assert_array_equal(before, after)
    areas = np.linalg.norm(np.cross(after[:, 1] - after[:, 0], after[:, 2] - after[:, 0]), axis=1)
    one, other = (laid.uv[laid.faces[:, i]] - laid.uv[laid.faces[:, 0]] for i in (1, 2))
    on_texture = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    assert (on_texture <= areas + 1e-9).all()
    assert (on_texture >= areas / np.sqrt(3) - 1e-9).all()  # a face that looks at a corner of the box


def test_a_redressed_model_has_its_shape_and_other_materials(models):
    (model, *_), _ = load_assets(models, 0)
    other = redressed(model, Maker(rng=np.random.default_rng(1), num_textures=500))
    np.testing.assert_array_equal(model.bounds(), other.bounds())
    assert len(other.finished().faces) == len(model.finished().faces)
    assert other.materials[0].texture != model.materials[0].texture
