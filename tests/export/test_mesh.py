from dataclasses import replace

import numpy as np
import pytest
import trimesh

from img2world.core.camera_paths import arc, on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import ExportError
from img2world.core.scene import Scene
from img2world.export.glb import linear_from_srgb
from img2world.export.mesh import MeshExport
from img2world.render import render
from img2world.render.triangles import rasterize_triangles

SMALL = MeshExport(resolution=72, picture_size=144, max_faces=6000)


@pytest.fixture(scope="module")
def balls_glb(balls_scene, balls_views, tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "mesh.glb"
    facts = SMALL.write(balls_scene, balls_views, path)
    return path, facts


def read(path) -> trimesh.Trimesh:
    (mesh,) = trimesh.load_scene(path, process=False).geometry.values()
    return mesh


def test_balls_are_watertight_and_in_place(balls_glb, balls):
    path, facts = balls_glb
    mesh = read(path)
    assert facts["watertight"] == 1
    assert facts["faces"] == len(mesh.faces) <= 6000
    assert facts["bytes"] == path.stat().st_size
    mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=mesh.visual.vertex_attributes["color"])
    parts = mesh.split()
    assert len(parts) == 3
    for ball in balls:
        center = np.array(ball.center) * (1, -1, -1)  # glTF is +Y up
        part = min(parts, key=lambda part, center=center: np.linalg.norm(part.centroid - center))
        # Half a grid step of 0.6 / 67.
        np.testing.assert_allclose(part.centroid, center, atol=0.005)
        assert (part.volume / (4 / 3 * np.pi)) ** (1 / 3) == pytest.approx(ball.radius, abs=0.005)
        expected = linear_from_srgb(np.round(255 * np.array([ball.rgb])).astype(np.uint8))[0]
        np.testing.assert_allclose(part.visual.vertex_colors[:, :3].mean(0) / 255, expected, atol=0.03)


def test_the_mesh_looks_like_the_gaussians(balls_glb, balls_scene):
    """Rendered with a z-buffer from a camera that is not one of the scene's."""
    mesh = read(balls_glb[0])
    linear = np.asarray(mesh.visual.vertex_attributes["color"])[:, :3]
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055)
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


def test_materials_are_unlit_unless_the_options_say_otherwise(balls_scene, balls_views, balls_glb, tmp_path):
    lit = MeshExport(resolution=32, picture_size=64, unlit=False)
    lit.write(balls_scene, balls_views, tmp_path / "mesh.glb")
    assert b"KHR_materials_unlit" in balls_glb[0].read_bytes()
    assert b"KHR_materials_unlit" not in (tmp_path / "mesh.glb").read_bytes()


def test_the_same_scene_gives_the_same_bytes(balls_glb, balls_scene, balls_views, tmp_path):
    SMALL.write(balls_scene, balls_views, tmp_path / "mesh.glb")
    assert (tmp_path / "mesh.glb").read_bytes() == balls_glb[0].read_bytes()


@pytest.mark.parametrize(("open_towards", "filled"), [(1, True), (-1, False)])
def test_an_open_underside_is_closed_and_an_open_top_is_kept(make_shell, balls_scene, open_towards, filled):
    """A shell of radius 0.3 with a hole in its bottom (+Y is down) or in its top."""
    i = np.arange(3000) + 0.5
    z, angle = 1 - 2 * i / 3000, np.pi * (1 + 5**0.5) * i
    normals = np.stack([np.sqrt(1 - z * z) * np.cos(angle), z, np.sqrt(1 - z * z) * np.sin(angle)], -1)
    normals = normals[normals[:, 1] * open_towards < 0.7]
    shell = make_shell(0.3 * normals, normals, np.full(normals.shape, 0.4), 0.016)
    mesh = replace(SMALL, resolution=64).mesh_from_scene(replace(balls_scene, gaussians=shell))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert (solid.volume > 0.8 * 4 / 3 * np.pi * 0.3**3) == filled


def grid_points(width: float, count: int) -> np.ndarray:
    x, y = np.meshgrid(*[np.linspace(-width / 2, width / 2, count)] * 2)
    return np.stack([x.ravel(), y.ravel(), np.zeros(count * count)], -1)


@pytest.fixture(scope="module")
def room(make_shell) -> Scene:
    """A red plate right of the centre in front of a blue wall, and a white sky far behind."""
    parts = []
    for width, place, rgb, count in (
        (0.4, (0.15, -0.1, 0.0), (0.9, 0.1, 0.1), 30),
        (2.2, (0.0, 0.25, 1.0), (0.1, 0.2, 0.9), 44),
        (60.0, (0.0, 0.0, 30.0), (1.0, 1.0, 1.0), 40),
    ):
        points = grid_points(width, count)
        normals = np.tile([0, 0, -1.0], (len(points), 1))
        colors = np.tile(rgb, (len(points), 1))
        parts.append(make_shell(points + place, normals, colors, 0.8 * width / count))
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    gaussians = type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    cameras = Cameras(
        world_from_cam=arc(6, half_azimuth=0.25, half_elevation=0.05),
        intrinsics=np.tile(intrinsics_from_fov(1.0, 120, 90), (6, 1, 1)),
        width=120,
        height=90,
    )
    return Scene(gaussians=gaussians, cameras=cameras, background=(0.0, 0.0, 0.0), is_object=False)


def test_a_scene_keeps_near_and_far_apart_and_drops_the_sky(room):
    mesh = MeshExport(resolution=96, picture_size=160).mesh_from_scene(room)
    z = mesh.vertices[:, 2]
    # At most three truncations of 2 % of the depth, and only at the rims.
    off = np.minimum(np.abs(z), np.abs(z - 1))
    assert off.max() < 0.2
    assert np.quantile(off, 0.95) < 0.02
    assert (np.ptp(z[mesh.faces], axis=1) < 0.2).all()
    plate = np.abs(z) < 0.05
    assert plate.sum() > 100
    np.testing.assert_allclose(mesh.vertices[plate].min(0)[:2], [-0.05, -0.3], atol=0.03)
    np.testing.assert_allclose(mesh.vertices[plate].max(0)[:2], [0.35, 0.1], atol=0.03)
    np.testing.assert_allclose(np.median(mesh.colors[plate], axis=0), [230, 26, 26], atol=8)
    np.testing.assert_allclose(np.median(mesh.colors[np.abs(z - 1) < 0.05], axis=0), [26, 51, 230], atol=8)
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] < 0).mean() > 0.9  # faces point at the cameras


def test_cameras_that_look_in_all_directions_get_a_box(room):
    """The room seen from all around: no frustum contains what is seen."""
    turned = replace(room, cameras=replace(room.cameras, world_from_cam=on_sphere(np.arange(6.0), np.full(6, 0.1))))
    mesh = MeshExport(resolution=64, picture_size=96).mesh_from_scene(turned)
    assert (np.abs(mesh.vertices[:, 2]) < 0.1).sum() > 50


def test_a_moving_scene_is_taken_at_its_start(balls_scene):
    from img2world.core.motion import Motion

    count = len(balls_scene.gaussians)
    moves = np.array([[[0.1, 0, 0], [0.3, 0, 0]]], np.float32)
    motion = Motion(
        key_times=np.array([0.0, 1.0]),
        bone_quats=np.tile(np.array([1, 0, 0, 0], np.float32), (1, 2, 1)),
        bone_translations=moves,
        bone_indices=np.zeros((count, 4), np.int32),
        bone_weights=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
    )
    tiny = MeshExport(resolution=40, picture_size=80)
    still = tiny.mesh_from_scene(balls_scene).vertices
    moving = tiny.mesh_from_scene(replace(balls_scene, motion=motion)).vertices
    np.testing.assert_allclose(moving.mean(0) - still.mean(0), [0.1, 0, 0], atol=0.02)


def test_nothing_opaque_is_an_error_with_a_hint(balls_scene, balls_views, tmp_path):
    clear = replace(balls_scene.gaussians, logit_opacities=np.full(6000, -5, np.float32))
    with pytest.raises(ExportError, match="none of the 6000 Gaussians is opaque") as error:
        MeshExport().write(replace(balls_scene, gaussians=clear), balls_views, tmp_path / "mesh.glb")
    assert "train" in error.value.hint
    assert not (tmp_path / "mesh.glb").exists()


def test_too_little_to_be_a_surface_is_an_error(balls_scene):
    """A single opaque Gaussian of less than a pixel in every view."""
    speck = balls_scene.gaussians.select(slice(0, 1))
    speck = replace(speck, log_scales=np.full((1, 3), -12, np.float32))
    far = replace(balls_scene, gaussians=speck, is_object=False)
    with pytest.raises(ExportError, match=r"no (view sees a )?surface"):
        MeshExport(resolution=32, picture_size=64).mesh_from_scene(far)
