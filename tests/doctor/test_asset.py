"""Splat and mesh files of other programs: what readers make of them, and what is suspicious."""

import json

import numpy as np
import pytest
import trimesh
from known_scene import gaussians_from, known_splats
from PIL import Image
from pxr import Usd, UsdGeom
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from img2world.core.mesh import Mesh
from img2world.doctor import mesh_file
from img2world.doctor.asset import examine_asset, is_asset
from img2world.export.usdz import write_usdz
from img2world.formats import readers
from img2world.formats.files import write_splats


def textured_box(size: int = 8) -> trimesh.Trimesh:
    box = trimesh.creation.box((1, 2, 3))
    box.vertex_normals  # noqa: B018 - computed here, so that they are written
    material = PBRMaterial(baseColorTexture=Image.new("RGB", (size, 4)))
    box.visual = TextureVisuals(uv=box.vertices[:, :2] + 0.5, material=material)
    return box


def warnings_of(mesh: trimesh.Trimesh, path) -> str:
    """Return the warnings on a mesh as trimesh reads it, here rather than in a process of its own."""
    mesh.export(path)
    read = mesh_file.READERS["trimesh"][2]
    facts = read(path)
    bounds = {name: tuple(facts[name]) for name in ("low", "high", "textures")}
    return "\n".join(mesh_file.mesh_warnings(mesh_file.MeshReading(reader="trimesh", **{**facts, **bounds})))


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".sog", ".glb", ".usdc", ".ksplat"])
def test_splat_files_are_read_by_all_readers(call, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_splats(gaussians_from(known_splats(1)), path)
    code, out, _ = call("doctor", path)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("img2world ")
    assert all("5 Gaussians" in line and "(-0.9, -0.8, -1.5) to (1.3, 1.1, 1.2)" in line for line in lines[:-1])
    assert lines[-1] == "usable"
    names = {line.split()[0] for line in lines[:-1]}
    assert names == {
        ".ply": {"img2world", "gaussforge", "gsply", "trimesh"},
        ".spz": {"img2world", "gaussforge", "gsply"},
        ".sog": {"img2world", "gaussforge"},
        ".glb": {"img2world", "trimesh"},
    }.get(suffix, {"img2world"})


def test_a_splat_file_that_is_rejected_has_its_own_exit_code(call, tmp_path):
    write_splats(gaussians_from(known_splats(0)), tmp_path / "a.spz")
    (tmp_path / "a.spz").write_bytes((tmp_path / "a.spz").read_bytes()[:100])
    code, out, _ = call("doctor", tmp_path / "a.spz")
    assert code == 3
    assert "rejects it" in out
    assert out.splitlines()[-1] == "rejected by a reader"
    code, out, _ = call("doctor", tmp_path / "a.spz", "--json")
    found = json.loads(out)
    assert (code, found["rejected"], found["kind"]) == (3, True, "splats")
    assert all(reading["error"] for reading in found["readings"])


def test_readers_that_disagree_reject_a_file(call, tmp_path, monkeypatch):
    write_splats(gaussians_from(known_splats(0)), tmp_path / "a.splat")
    own = readers.read_ours(tmp_path / "a.splat")
    other = readers.Reading(reader="other 1", gaussians=4, sh_degree=0, low=own.low, high=own.high)
    monkeypatch.setattr("img2world.doctor.asset.read_with_all", lambda path: [own, other])
    code, out, _ = call("doctor", tmp_path / "a.splat")
    assert (code, out.splitlines()[-1]) == (3, "rejected: readers disagree")


def test_suspicious_splats_are_warned_of(call, tmp_path):
    gaussians = gaussians_from(known_splats(2))
    gaussians.sh[:, 1:] = 0
    gaussians.log_scales[0] = (3, 3, 3)
    write_splats(gaussians, tmp_path / "a.ply")
    code, out, _ = call("doctor", tmp_path / "a.ply")
    assert code == 0
    assert "warning  harmonics above degree 0 are all zero" in out
    assert "warning  1 Gaussians are larger than a tenth of the scene" in out


def test_a_healthy_mesh_has_no_warning(call, tmp_path):
    textured_box().export(tmp_path / "box.glb")
    code, out, _ = call("doctor", tmp_path / "box.glb")
    assert code == 0
    first, second, verdict = out.splitlines()
    assert first.startswith("trimesh ")
    for fact in (
        "8 vertices, 12 faces",
        "(-0.5, -1, -1.5) to (0.5, 1, 1.5)",
        "normals",
        "UV",
        "texture 8x4",
        "watertight",
    ):
        assert fact in first
    assert second.startswith("pygltflib ")
    assert "8 vertices, 12 faces" in second
    assert verdict == "usable"


def test_suspicious_meshes_are_warned_of(tmp_path):
    assert "no normals" in warnings_of(trimesh.creation.box((1, 1, 1)), tmp_path / "a.glb")
    assert "no texture coordinates and no vertex colors" in warnings_of(trimesh.creation.box(), tmp_path / "a.ply")
    colored = trimesh.creation.box()
    colored.visual.vertex_colors = np.full((8, 4), 200, np.uint8)
    assert "Godot shows such a mesh white" in warnings_of(colored, tmp_path / "a.glb")
    opened = textured_box()
    opened.update_faces(np.arange(12) > 0)
    assert "not watertight" in warnings_of(opened, tmp_path / "a.glb")
    other = textured_box().apply_translation((1, 2, 0))  # It shares an edge, where four faces meet.
    assert "watertight" not in warnings_of(trimesh.util.concatenate([textured_box(), other]), tmp_path / "a.glb")
    turned = textured_box()
    turned.faces = turned.faces[:, ::-1]
    assert "look inwards" in warnings_of(turned, tmp_path / "a.glb")
    flat = textured_box()
    flat.faces = np.concatenate([flat.faces, [[0, 1, 1]]])
    assert "1 faces have no area" in warnings_of(flat, tmp_path / "a.glb")
    assert "a texture of 4100x4" in warnings_of(textured_box(4100), tmp_path / "a.glb")
    for scale in (1e-3, 1e3):
        box = textured_box()
        box.apply_scale(scale)
        assert f"the longest side has {3 * scale:.3g} units" in warnings_of(box, tmp_path / "a.glb")


def test_a_moved_mesh_is_where_its_node_is(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(textured_box(), transform=trimesh.transformations.translation_matrix((5, 0, 0)))
    scene.export(tmp_path / "a.glb")
    first, second = examine_asset(tmp_path / "a.glb").readings
    assert (first.low[0], first.high[0]) == (4.5, 5.5)
    assert first.agrees(second)


def test_textures_in_usd(tmp_path):
    box = textured_box(16)
    mesh = Mesh(
        vertices=np.asarray(box.vertices, np.float32),
        faces=np.asarray(box.faces, np.int32),
        normals=np.asarray(box.vertex_normals, np.float32),
        uvs=np.asarray(box.visual.uv, np.float32),
        texture=np.zeros((16, 16, 3), np.uint8),
    )
    write_usdz(mesh, tmp_path / "a.usdz", unlit=True, double_sided=False)
    (reading,) = examine_asset(tmp_path / "a.usdz").readings
    assert (reading.textures, reading.uv, reading.colors) == (((16, 16),), True, False)


def test_meshes_in_usd(call, tmp_path):
    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    mesh = UsdGeom.Mesh.Define(stage, "/mesh")
    mesh.GetPointsAttr().Set([(0, 0, 0), (1, 0, 0), (1, 2, 0), (0, 2, 0)])
    mesh.GetFaceVertexCountsAttr().Set([4])
    mesh.GetFaceVertexIndicesAttr().Set([0, 1, 2, 3])
    stage.Save()
    code, out, _ = call("doctor", tmp_path / "a.usda")
    assert code == 0
    assert "4 vertices, 2 faces, (0, 0, 0) to (1, 2, 0)" in out
    assert "warning  no normals" in out


@pytest.mark.parametrize("name", ["a.glb", "a.obj", "a.usdc", "a.stl"])
def test_a_damaged_mesh_is_rejected(call, name, tmp_path):
    (tmp_path / name).write_bytes(b"glTF\2\0\0\0 nothing of use \xff\xfe")
    code, out, _ = call("doctor", tmp_path / name)
    assert code == 3
    assert "Traceback" not in out


def test_readers_of_meshes_compare_faces_and_bounds():
    reading = mesh_file.MeshReading(reader="a", vertices=3, faces=1, low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0))
    other = {"reader": "b", "vertices": 3, "faces": 1}
    assert reading.agrees(mesh_file.MeshReading(**other))
    assert reading.agrees(mesh_file.MeshReading(**other, low=(0.0, 0.0, 1e-5), high=(1.0, 1.0, 1.0)))
    assert not reading.agrees(mesh_file.MeshReading(**other, low=(0.0, 0.0, 0.1), high=(1.0, 1.0, 1.0)))
    assert not reading.agrees(mesh_file.MeshReading(**{**other, "faces": 2}))


def test_other_files_are_no_assets(tmp_path, picture):
    assert not is_asset(picture)
    assert not is_asset(tmp_path)
    assert not is_asset(tmp_path / "missing.ply")


def test_text_with_the_name_of_a_mesh_is_rejected(call, tmp_path):
    path = tmp_path / "text.obj"
    path.write_text("hello\n" * 9)
    code, stdout, _ = call("doctor", path)
    assert code == 3
    assert "nothing is in it" in stdout
