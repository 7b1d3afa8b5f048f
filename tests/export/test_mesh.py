import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh

from img2world.core.camera_paths import on_sphere
from img2world.core.errors import ExportError, MissingPackageError
from img2world.export.mesh import MeshExport
from img2world.render import render
from img2world.render.triangles import rasterize_triangles

TEXTURED = MeshExport(resolution=72, picture_size=240, max_faces=6000, texture_size=256)
COLORED = replace(TEXTURED, texture_size=0)


@pytest.fixture(scope="module", params=[TEXTURED, COLORED], ids=["textured", "colored"])
def balls_glb(request, balls_scene, balls_views, tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "mesh.glb"
    return path, request.param.write(balls_scene, balls_views, path)


def read(path) -> tuple[trimesh.Trimesh, np.ndarray]:
    """Return the mesh and the sRGB colors of its vertices."""
    (mesh,) = trimesh.load_scene(path, process=False).geometry.values()
    if mesh.visual.uv is not None:
        # trimesh counts from the lower edge of the texture.
        picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")) / 255
        row, column = (picture.shape[0] * (1 - mesh.visual.uv[:, 1])), picture.shape[1] * mesh.visual.uv[:, 0]
        return mesh, picture[row.astype(int).clip(0, 255), column.astype(int).clip(0, 255)]
    linear = np.asarray(mesh.visual.vertex_attributes["color"])[:, :3]
    return mesh, np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055)


def test_a_missing_package_is_said_before_work_begins(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingPackageError, match="Open3D"):
        MeshExport(method="poisson").check_programs()


def test_balls_are_watertight_and_in_place(balls_glb, balls):
    path, facts = balls_glb
    mesh, colors = read(path)
    assert facts["watertight"] == 1
    assert facts["faces"] == len(mesh.faces) <= 6000
    assert facts["bytes"] == path.stat().st_size
    merged = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    parts = merged.split()
    assert len(parts) == 3
    for ball in balls:
        center = np.array(ball.center) * (1, -1, -1)  # glTF is +Y up
        part = min(parts, key=lambda part, center=center: np.linalg.norm(part.centroid - center))
        # Half a grid step of 0.6 / 67.
        np.testing.assert_allclose(part.centroid, center, atol=0.005)
        assert (part.volume / (4 / 3 * np.pi)) ** (1 / 3) == pytest.approx(ball.radius, abs=0.005)
        near = np.linalg.norm(mesh.vertices - center, axis=1) < 1.1 * ball.radius
        np.testing.assert_allclose(colors[near].mean(0), ball.rgb, atol=0.03)
        assert np.quantile(np.abs(colors[near] - ball.rgb), 0.98) < 0.2


def test_the_mesh_looks_like_the_gaussians(balls_glb, balls_scene):
    """Rendered with a z-buffer from a camera that is not one of the scene's."""
    mesh, srgb = read(balls_glb[0])
    pose = on_sphere(np.array([0.5]), np.array([0.6]))
    # Large, since the rasterizer's low-pass filter widens everything by half a pixel.
    camera = replace(balls_scene.cameras.select([0]).resized(384, 320), world_from_cam=pose)
    in_world = np.asarray(mesh.vertices) * (1, -1, -1)
    in_cam = (in_world @ pose[0, :3, :3] - pose[0, :3, 3] @ pose[0, :3, :3]).astype(np.float32)
    faces = np.asarray(mesh.faces, np.int32)
    hits = rasterize_triangles(in_cam, faces, np.ones(len(in_cam), np.float32), camera)
    weights = np.dstack([1 - hits.barycentric.sum(-1), hits.barycentric])
    drawn = np.where(hits.face[..., None] < 0, 1, (srgb[faces[hits.face]] * weights[..., None]).sum(-2))
    expected = render(balls_scene.gaussians, camera, background=(1.0, 1.0, 1.0))
    assert -10 * np.log10(np.mean((drawn - expected.rgb[0]) ** 2)) > 24
    both = (hits.face >= 0) & (expected.alpha[0] > 0.99)
    assert both.sum() > 10_000
    assert np.abs(hits.depth - expected.depth[0])[both].mean() < 0.01


def test_a_texture_shows_what_is_finer_than_the_faces(balls_scene, balls_views):
    """The pictures get stripes of three pixels in the world's x; a face is much larger than that."""
    mesh = replace(TEXTURED, max_faces=600).mesh_from_scene(balls_scene, striped(balls_views))
    camera = balls_views.cameras.select([0])
    pose = camera.world_from_cam[0]
    in_cam = ((mesh.vertices - pose[:3, 3]) @ pose[:3, :3]).astype(np.float32)
    hits = rasterize_triangles(in_cam, mesh.faces, np.ones(len(in_cam), np.float32), camera)
    weights = np.dstack([1 - hits.barycentric.sum(-1), hits.barycentric])
    uv = (mesh.uvs[mesh.faces[hits.face]] * weights[..., None]).sum(-2).astype(np.float32)
    drawn = cv2.remap(mesh.texture, 256 * uv[..., 0] - 0.5, 256 * uv[..., 1] - 0.5, cv2.INTER_LINEAR)
    inside = cv2.erode(((hits.face >= 0) & (balls_views.alpha[0] == 255)).astype(np.uint8), np.ones((7, 7))) > 0
    wanted = striped(balls_views).rgb[0]
    assert inside.sum() > 100
    assert np.abs(drawn.astype(float) - wanted)[inside].mean() < 6
    assert wanted[inside].std() > 40


def striped(views):
    rgb = views.rgb.copy()
    rgb[..., 0] = np.where(np.arange(rgb.shape[2]) // 3 % 2, 255, 0).astype(np.uint8)
    # Stripes that follow a picture's columns are in the same place for no two cameras: only the first has them.
    return replace(views.select(np.array([0])), rgb=rgb[:1])


def test_materials_are_unlit_unless_the_options_say_otherwise(balls_scene, balls_views, balls_glb, tmp_path):
    lit = MeshExport(resolution=32, picture_size=64, unlit=False, texture_size=64)
    lit.write(balls_scene, balls_views, tmp_path / "mesh.glb")
    assert b"KHR_materials_unlit" in balls_glb[0].read_bytes()
    assert b"KHR_materials_unlit" not in (tmp_path / "mesh.glb").read_bytes()


def test_the_same_scene_gives_the_same_bytes(balls_scene, balls_views, tmp_path):
    small = replace(TEXTURED, resolution=40, picture_size=80)
    for name in "ab":
        small.write(balls_scene, balls_views, tmp_path / f"{name}.glb")
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_nothing_opaque_is_an_error_with_a_hint(balls_scene, balls_views, tmp_path):
    clear = replace(balls_scene.gaussians, logit_opacities=np.full(6000, -5, np.float32))
    with pytest.raises(ExportError, match="none of the 6000 Gaussians is opaque") as error:
        MeshExport().write(replace(balls_scene, gaussians=clear), balls_views, tmp_path / "mesh.glb")
    assert "train" in error.value.hint
    assert not (tmp_path / "mesh.glb").exists()


TINY = MeshExport(resolution=40, picture_size=80, texture_size=64, max_faces=3000)


def test_one_mesh_is_written_in_each_kind_of_file(balls_scene, balls_views, tmp_path):
    pytest.importorskip("pxr", reason="needs pip install 'img2world[usd]'")
    every = replace(TINY, files=("glb", "obj", "usdz"))
    facts = every.write(balls_scene, balls_views, tmp_path / "mesh.glb")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"mesh.glb", "mesh.obj", "mesh.mtl", "mesh.png", "mesh.usdz"}
    assert facts["bytes"] == sum(sizes.values())
    glb, _ = read(tmp_path / "mesh.glb")
    obj = trimesh.load_mesh(tmp_path / "mesh.obj")
    np.testing.assert_allclose(glb.triangles, obj.triangles, atol=1e-8)  # nine digits


def test_levels_of_detail_have_a_quarter_of_the_faces_each(balls_scene, balls_views, tmp_path):
    facts = replace(TINY, lods=2, texture_size=128).write(balls_scene, balls_views, tmp_path / "mesh.glb")
    fine, middle, coarse = (read(tmp_path / name)[0] for name in ("mesh.glb", "mesh_lod1.glb", "mesh_lod2.glb"))
    assert facts["faces"] == len(fine.faces)
    for finer, coarser in ((fine, middle), (middle, coarse)):
        assert 0.2 < len(coarser.faces) / len(finer.faces) <= 0.26
        np.testing.assert_allclose(coarser.bounds, finer.bounds, atol=0.03)
    assert [mesh.visual.material.baseColorTexture.size[0] for mesh in (fine, middle, coarse)] == [128, 64, 32]
    assert trimesh.Trimesh(middle.vertices, middle.faces, process=True).is_watertight


def test_the_collider_of_an_object_follows_the_mesh(balls_scene, balls_views, tmp_path):
    pytest.importorskip("coacd", reason="no wheel for this machine")
    placed = np.diag([2.0, 2, 2, 1])
    placed[:3, 3] = 3, 4, 5
    in_metres = replace(balls_scene, asset_from_world=placed)
    replace(TINY, collider=True, max_faces=400).write(in_metres, balls_views, tmp_path / "mesh.glb")
    pieces = trimesh.load_scene(tmp_path / "collider.glb", process=False)
    assert all("-convcolonly" in node for node in pieces.graph.nodes_geometry)
    mesh = read(tmp_path / "mesh.glb")[0]
    np.testing.assert_allclose(pieces.bounds, mesh.bounds, atol=0.06)  # of two metres
    assert pieces.volume == pytest.approx(mesh.volume, rel=0.2)


def test_the_collider_of_a_scene_is_one_surface(balls_scene, balls_views, tmp_path):
    room = replace(balls_scene, is_object=False)
    replace(TINY, collider=True, texture_size=0).write(room, balls_views, tmp_path / "mesh.glb")
    collider = trimesh.load_scene(tmp_path / "collider.glb", process=False)
    assert [node.endswith("-colonly") for node in collider.graph.nodes_geometry] == [True]
    np.testing.assert_allclose(collider.bounds, read(tmp_path / "mesh.glb")[0].bounds, atol=0.03)


@pytest.mark.parametrize(
    ("options", "match"), [({"files": ()}, "empty"), ({"files": ("glb", "obj"), "texture_size": 0}, "need a texture")]
)
def test_options_that_contradict_each_other_are_an_error(balls_scene, balls_views, tmp_path, options, match):
    with pytest.raises(ExportError, match=match):
        replace(TINY, **options).write(balls_scene, balls_views, tmp_path / "mesh.glb")


def test_a_smooth_surface_by_open3d_is_closed_too(balls_scene, balls_views, balls, tmp_path):
    pytest.importorskip("open3d", reason="needs pip install 'img2world[open3d]'")
    facts = replace(TINY, method="poisson").write(balls_scene, balls_views, tmp_path / "mesh.glb")
    assert facts["watertight"] == 1
    assert len(trimesh.Trimesh(*read_arrays(tmp_path / "mesh.glb"), process=True).split()) == len(balls)


def read_arrays(path) -> tuple[np.ndarray, np.ndarray]:
    mesh, _ = read(path)
    return mesh.vertices, mesh.faces


def test_a_texture_of_a_few_pixels_is_refused(balls_scene, balls_views, tmp_path):
    with pytest.raises(ExportError, match="texture_size is 1, needs 0 or at least 16"):
        replace(TEXTURED, texture_size=1).write(balls_scene, balls_views, tmp_path / "mesh.glb")


def test_levels_of_detail_end_where_the_shape_would_be_lost(balls_scene, balls_views, tmp_path):
    coarse = MeshExport(resolution=40, picture_size=80, texture_size=16, max_faces=300, lods=6)
    with pytest.warns(UserWarning, match="1 of 6 levels of detail"):
        coarse.write(balls_scene, balls_views, tmp_path / "mesh.glb")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh.glb", "mesh_lod1.glb"]
