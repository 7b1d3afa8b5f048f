"""USDZ packages are opened by OpenUSD and checked by its validators and those of NVIDIA."""

import zipfile

import numpy as np
import pytest

from img2world.core.errors import ExportError, MissingPackageError
from img2world.core.mesh import Mesh
from img2world.export import usdz
from img2world.export.usdz import check_usdz, write_usdz

pytest.importorskip("pxr", reason="needs pip install 'img2world[usd]'")


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    rng = np.random.default_rng(0)
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
    normals = vertices + np.float32(0.1)
    return Mesh(
        vertices=vertices,
        faces=np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        uvs=rng.random((4, 2)).astype(np.float32),
        texture=rng.integers(0, 256, (6, 4, 3)).astype(np.uint8),
    )


@pytest.fixture(scope="module", params=[True, False], ids=["unlit", "lit"])
def package(request, mesh, tmp_path_factory):
    path = tmp_path_factory.mktemp("usdz") / "mesh.usdz"
    write_usdz(mesh, path, unlit=request.param, double_sided=request.param)
    return path, request.param


def test_validators_find_nothing(package):
    from pxr import Usd, UsdValidation
    from usd_validation_nvidia import ValidationEngine

    path, _ = package
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert "usdUtilsValidators:UsdzPackageValidator" in {validator.GetMetadata().name for validator in validators}
    stage = Usd.Stage.Open(str(path))
    assert not [error.GetMessage() for error in UsdValidation.ValidationContext(validators).Validate(stage)]
    assert not [issue.message for issue in ValidationEngine().validate(str(path)).issues()]


def test_the_package_is_as_quick_look_needs_it(package):
    with zipfile.ZipFile(package[0]) as archive:
        infos = archive.infolist()
        assert [info.filename for info in infos] == ["mesh.usdc", "texture.png"]
        data = package[0].read_bytes()
        for info in infos:
            assert info.compress_type == zipfile.ZIP_STORED
            # The local header has the lengths of name and extra field in its last four bytes.
            name, extra = np.frombuffer(data, "<u2", 2, info.header_offset + 26).tolist()
            start = info.header_offset + 30 + name + extra
            assert start % 64 == 0
            assert data[start : start + info.file_size] == archive.read(info)


def test_mesh_and_material_are_as_written(package, mesh):
    from pxr import Usd, UsdGeom, UsdShade

    path, unlit = package
    stage = Usd.Stage.Open(str(path))
    assert (UsdGeom.GetStageUpAxis(stage), UsdGeom.GetStageMetersPerUnit(stage)) == ("Y", 1)
    (prim,) = [prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    found = UsdGeom.Mesh(prim)
    np.testing.assert_array_equal(found.GetPointsAttr().Get(), mesh.vertices * [1, -1, -1])
    np.testing.assert_array_equal(np.reshape(found.GetFaceVertexIndicesAttr().Get(), (-1, 3)), mesh.faces)
    uvs = np.array(UsdGeom.PrimvarsAPI(found).GetPrimvar("st").Get())
    np.testing.assert_allclose(uvs, mesh.uvs * [1, -1] + [0, 1], atol=1e-7)
    assert found.GetDoubleSidedAttr().Get() is unlit
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    surface, _, _ = material.ComputeSurfaceSource()
    shown, dark = ("emissiveColor", "diffuseColor") if unlit else ("diffuseColor", "emissiveColor")
    texture = surface.GetInput(shown).GetConnectedSources()[0][0].source
    assert texture.GetPrim().GetAttribute("inputs:file").Get().path == "texture.png"
    assert not surface.GetInput(dark) or surface.GetInput(dark).Get() == (0, 0, 0)


def test_no_time_is_written_and_the_same_mesh_gives_the_same_bytes(mesh, tmp_path, package):
    write_usdz(mesh, tmp_path / "again.usdz", unlit=package[1], double_sided=package[1])
    assert (tmp_path / "again.usdz").read_bytes() == package[0].read_bytes()
    with zipfile.ZipFile(package[0]) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_damaged_file_is_detected(package, mesh, tmp_path):
    check_usdz(mesh, package[0])
    data = package[0].read_bytes()
    texture = data.rindex(b"IDAT")
    other = Mesh(**{**vars(mesh), "texture": 255 - mesh.texture, "faces": mesh.faces[:, [1, 2, 0]]})
    with pytest.raises(ExportError, match="wrong faces, texture"):
        check_usdz(other, package[0])
    for start in (64, texture + 4):
        (tmp_path / "bad.usdz").write_bytes(data[:start] + b"\xff\xff" + data[start + 2 :])
        with pytest.raises(ExportError, match="cannot be read"):
            check_usdz(mesh, tmp_path / "bad.usdz")


def test_without_usd_core_the_error_says_how_to_get_it(mesh, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(MissingPackageError, match="usd-core") as error:
        usdz.write_usdz(mesh, tmp_path / "mesh.usdz", unlit=True, double_sided=True)
    assert "img2world[usd]" in error.value.hint
