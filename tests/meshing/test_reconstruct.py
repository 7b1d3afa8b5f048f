from dataclasses import replace

import numpy as np
import pytest
import trimesh

from img2world.core.camera_paths import arc, on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import ExportError
from img2world.core.scene import Scene
from img2world.meshing.reconstruct import reconstruct_surface
from img2world.meshing.surface import Surface, color_vertices


def reconstruct(scene: Scene, resolution: int, picture_size: int) -> Surface:
    return reconstruct_surface(scene, resolution=resolution, max_faces=6000, picture_size=picture_size).in_world


@pytest.mark.parametrize(("open_towards", "filled"), [(1, True), (-1, False)])
def test_an_open_underside_is_closed_and_an_open_top_is_kept(make_shell, balls_scene, open_towards, filled):
    """A shell of radius 0.3 with a hole in its bottom (+Y is down) or in its top."""
    i = np.arange(3000) + 0.5
    z, angle = 1 - 2 * i / 3000, np.pi * (1 + 5**0.5) * i
    normals = np.stack([np.sqrt(1 - z * z) * np.cos(angle), z, np.sqrt(1 - z * z) * np.sin(angle)], -1)
    normals = normals[normals[:, 1] * open_towards < 0.7]
    shell = make_shell(0.3 * normals, normals, np.full(normals.shape, 0.4), 0.016)
    solid = trimesh.Trimesh(*reconstruct(replace(balls_scene, gaussians=shell), 64, 144), process=False)
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
    measured = reconstruct_surface(room, resolution=96, max_faces=40_000, picture_size=160)
    assert 0 < measured.deviation < 0.08
    mesh = measured.in_world
    colors = 255 * color_vertices(mesh, measured.maps, measured.tolerance)
    z = mesh.vertices[:, 2]
    # At most three truncations of 2 % of the depth, and only at the rims.
    assert np.minimum(np.abs(z), np.abs(z - 1)).max() < 0.2
    # By area, since flat parts have few vertices.
    samples = trimesh.sample.sample_surface(trimesh.Trimesh(*mesh, process=False), 5000, seed=0)[0][:, 2]
    assert np.quantile(np.minimum(np.abs(samples), np.abs(samples - 1)), 0.95) < 0.02
    assert (np.ptp(z[mesh.faces], axis=1) < 0.2).all()
    plate = np.abs(z) < 0.05
    assert plate.sum() > 20
    np.testing.assert_allclose(mesh.vertices[plate].min(0)[:2], [-0.05, -0.3], atol=0.03)
    np.testing.assert_allclose(mesh.vertices[plate].max(0)[:2], [0.35, 0.1], atol=0.03)
    np.testing.assert_allclose(np.median(colors[plate], axis=0), [230, 26, 26], atol=8)
    np.testing.assert_allclose(np.median(colors[np.abs(z - 1) < 0.05], axis=0), [26, 51, 230], atol=8)
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] < 0).mean() > 0.9  # faces point at the cameras


def test_cameras_that_look_in_all_directions_get_a_box(room):
    """The room seen from all around: no frustum contains what is seen."""
    turned = replace(room, cameras=replace(room.cameras, world_from_cam=on_sphere(np.arange(6.0), np.full(6, 0.1))))
    mesh = reconstruct(turned, 64, 96)
    assert (np.abs(mesh.vertices[:, 2]) < 0.1).sum() > 50


def test_a_moving_scene_is_taken_at_its_start(balls_scene):
    from img2world.core.motion import Motion

    count = len(balls_scene.gaussians)
    moves = np.array([[[0.1, 0, 0], [0.3, 0, 0]]], np.float32)
    motion = Motion(
        key_times=np.array([0.0, 1.0]),
        bone_pivots=np.zeros((1, 3), np.float32),
        bone_quats=np.tile(np.array([1, 0, 0, 0], np.float32), (1, 2, 1)),
        bone_translations=moves,
        bone_indices=np.zeros((count, 4), np.int32),
        bone_weights=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
    )
    still = reconstruct(balls_scene, 40, 80).vertices
    moving = reconstruct(replace(balls_scene, motion=motion), 40, 80).vertices
    np.testing.assert_allclose(moving.mean(0) - still.mean(0), [0.1, 0, 0], atol=0.02)


def test_too_little_to_be_a_surface_is_an_error(balls_scene):
    """A single opaque Gaussian of less than a pixel in every view."""
    speck = balls_scene.gaussians.select(slice(0, 1))
    speck = replace(speck, log_scales=np.full((1, 3), -12, np.float32))
    far = replace(balls_scene, gaussians=speck, is_object=False)
    with pytest.raises(ExportError, match=r"no (view sees a )?surface"):
        reconstruct(far, 32, 64)
