import sys

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose

from evaluation.assets import AssetError, find_assets, load_asset, normalize_mesh, split_manifest


def test_assets_of_a_folder_are_sorted(asset_folder):
    assert [path.name for path in find_assets(asset_folder)] == ["ball.obj", "box.glb", "torus.glb"]
    assert find_assets(asset_folder / "box.glb") == [asset_folder / "box.glb"]


def test_every_third_asset_of_a_manifest_is_held_out(tmp_path):
    rows = [("assets3d", f"m/{i}.glb") for i in range(7)]
    rows.insert(1, ("video", "clip.mp4"))
    text = "category,file\n" + "".join(f"{kind},{file}\n" for kind, file in rows)
    (tmp_path / "manifest.csv").write_text(text)
    train, held_out = split_manifest(tmp_path / "manifest.csv")
    assert [path.name for path in held_out] == ["0.glb", "3.glb", "6.glb"]
    assert [path.name for path in train] == ["1.glb", "2.glb", "4.glb", "5.glb"]
    assert held_out[0] == tmp_path / "m" / "0.glb"
    assert find_assets(tmp_path / "manifest.csv") == held_out


def test_vertex_colours_and_materials_become_linear_tints(asset_folder):
    ball = load_asset(asset_folder / "ball.obj")
    # IEC 61966-2-1 for 30, 60, 200 of 255.
    assert_allclose(ball.tints, np.broadcast_to([0.01298, 0.04519, 0.57758], ball.tints.shape), atol=1e-4)
    torus = load_asset(asset_folder / "torus.glb")
    assert torus.tints.std(0).min() > 0.05


def test_scene_graph_is_applied_and_y_points_down(tmp_path):
    scene = trimesh.Scene()
    raised = trimesh.transformations.translation_matrix([0, 5, 0])
    scene.add_geometry(trimesh.creation.box(extents=(1, 1, 1)))
    scene.add_geometry(trimesh.creation.box(extents=(1, 1, 1)), transform=raised)
    scene.export(tmp_path / "two.glb")
    low, high = load_asset(tmp_path / "two.glb").bounds
    assert_allclose([low, high], [[-0.5, -5.5, -0.5], [0.5, 0.5, 0.5]], atol=1e-6)
    low, high = load_asset(tmp_path / "two.glb", z_up=True).bounds
    assert_allclose(high - low, [1, 1, 6], atol=1e-6)


def test_normalized_mesh_is_centred_with_the_given_radius(asset_folder):
    mesh = normalize_mesh(load_asset(asset_folder / "box.glb"), 0.25)
    low, high = mesh.bounds
    assert_allclose(low + high, 0, atol=1e-6)
    assert_allclose(np.linalg.norm(mesh.vertices, axis=1).max(), 0.25, atol=1e-6)


def test_unusable_files_raise(tmp_path):
    with pytest.raises(AssetError, match="no 3D model"):
        find_assets(tmp_path)
    (tmp_path / "broken.glb").write_bytes(b"glTF but no more")
    with pytest.raises(AssetError, match="cannot be read"):
        load_asset(tmp_path / "broken.glb")
    (tmp_path / "manifest.csv").write_text("name\nx\n")
    with pytest.raises(AssetError, match="manifest"):
        split_manifest(tmp_path / "manifest.csv")
    (tmp_path / "point.obj").write_text("v 1 2 3\nv 1 2 3\nv 1 2 3\nf 1 2 3\n")
    with pytest.raises(AssetError, match="coincide"):
        load_asset(tmp_path / "point.obj")


def test_draco_is_decompressed_or_reported_missing(tmp_path, monkeypatch):
    box = trimesh.creation.box((1, 2, 3))
    plain, packed = trimesh.exchange.gltf.export_glb(box), trimesh.exchange.gltf.export_glb(box, extension_draco=True)
    (tmp_path / "plain.glb").write_bytes(plain)
    (tmp_path / "packed.glb").write_bytes(packed)
    assert b"KHR_draco_mesh_compression" in packed
    one, other = load_asset(tmp_path / "plain.glb"), load_asset(tmp_path / "packed.glb")
    assert_allclose(other.bounds, one.bounds, atol=1e-3)
    assert len(other.faces) == len(one.faces)
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(AssetError, match="coincide") as caught:
        load_asset(tmp_path / "packed.glb")
    assert "DracoPy" in str(caught.value.hint)
