from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh

from img2world.core.camera_paths import on_sphere
from img2world.core.errors import ExportError
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
