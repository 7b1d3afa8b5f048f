"""The supported region of scenes whose visible parts are known from geometry."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import arc, dolly, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.gaussians import Gaussians
from img2world.core.scene import Scene
from img2world.core.supported_region import region_from_json
from img2world.export.support import supported_elevations, supported_region

FOV = np.radians(60)


def wall(z: float, low: float, high: float, make_shell) -> Gaussians:
    """Return an upright wall at distance 1 + z from the first camera, from `low` to `high` across."""
    x, y = np.meshgrid(np.arange(low, high, 0.04), np.arange(-1.6, 1.6, 0.04))
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], -1)
    normals = np.tile([0.0, 0, -1], (len(points), 1))
    return make_shell(points, normals, np.full((len(points), 3), 0.5), 0.04)


def scene_of(gaussians: Gaussians, poses) -> Scene:
    intrinsics = np.tile(intrinsics_from_fov(FOV, 96, 72), (len(poses), 1, 1))
    cameras = Cameras(world_from_cam=poses, intrinsics=intrinsics, width=96, height=72)
    return Scene(gaussians=gaussians, cameras=cameras, background=(0.0, 0.0, 0.0), is_object=False)


def joined(first: Gaussians, second: Gaussians) -> Gaussians:
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    return Gaussians(**{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


def test_a_wall_seen_once_is_supported_where_its_geometry_says(make_shell):
    region = supported_region(scene_of(wall(0.0, -3, 3, make_shell), dolly(1, distance=0.0)))
    # From `far` times the distance, the picture covers 1 / far² of the view: 95 % at 1.026.
    # The limit is found to a sixteenth of half the distance.
    assert 1.026 - 0.032 <= region.distance[1] <= 1.026 + 0.01
    # From `near` times the distance, the picture has `near` times the resolution: half at 0.5.
    assert region.distance[0] == pytest.approx(0.5, abs=0.04)
    # A single camera gives three degrees around it, of which 5 % of the picture's width leaves 3.3° at the edge.
    for low, high in (region.azimuth, region.elevation, region.turn_yaw):
        assert low == pytest.approx(-high, abs=np.radians(0.4))
        assert np.radians(1.5) < high <= np.radians(3.01)
    np.testing.assert_allclose(region.outline, [-np.tan(FOV / 2), -0.433, np.tan(FOV / 2), 0.433], atol=1e-3)
    assert region.pivot == (0, 0, 0)


def test_what_is_hidden_behind_an_edge_narrows_the_region(make_shell):
    path = arc(12, half_azimuth=0.2, half_elevation=0.05)
    flat = supported_region(scene_of(wall(0.3, -4, 4, make_shell), path))
    assert flat.azimuth == pytest.approx((-0.25, 0.25), abs=1e-3)  # the path and a quarter of it
    # A near wall covers the left half, and the far one behind it begins where the path no longer sees it.
    edge = wall(-0.5, -4, 0, make_shell)
    behind = supported_region(scene_of(joined(edge, wall(2.0, -0.1, 8, make_shell)), path))
    # From the right the camera sees behind the edge; from the left it sees only more of the near wall.
    assert behind.azimuth[1] < flat.azimuth[1] - 0.02
    assert behind.azimuth[1] >= 0.2 - 1e-6


def test_every_camera_of_the_path_is_inside(make_shell):
    gaussians = wall(0.3, -4, 4, make_shell)
    region = supported_region(scene_of(gaussians, arc(24, half_azimuth=0.3, half_elevation=0.1)))
    assert region.azimuth[0] <= -0.29
    assert region.azimuth[1] >= 0.29
    assert region.elevation[0] <= -0.09
    assert region.elevation[1] >= 0.09
    # A path towards the origin and past it moves the pivot away, so that it stays in front.
    walk = supported_region(scene_of(wall(4.0, -9, 9, make_shell), dolly(8, distance=1.5)))
    assert walk.pivot[2] == pytest.approx(2.0)
    assert walk.distance[0] <= 1.5 + 1e-6
    assert walk.distance[1] >= 3.0 - 1e-6


def test_an_object_is_supported_from_all_sides_but_not_from_below(balls_scene):
    region = supported_region(balls_scene)
    assert region.azimuth == pytest.approx((-np.pi, np.pi), abs=1e-5)
    assert -np.pi / 4 - 1e-6 <= region.elevation[0] < -0.2
    assert 0.2 < region.elevation[1] <= np.pi / 4 + 1e-6
    left, top, right, bottom = region.outline
    # The red ball reaches 0.35 to the side, from a camera at distance 1 without its depth of 0.05.
    assert right == -left == pytest.approx(0.37, abs=0.04)
    # The green ball reaches 0.37 up, from 0.95 when it is nearest, and a pixel or its Gaussians' size more.
    assert top == pytest.approx(-0.37 / 0.95, abs=0.04)
    assert 0.1 < bottom < 0.3
    raised = replace(balls_scene, cameras=replace(balls_scene.cameras, world_from_cam=orbit(12, elevation=0.6)))
    low, high = supported_elevations(raised)
    assert low < 0.4
    assert high > 0.8
    assert high <= np.radians(75) + 1e-6


def test_nothing_to_see_has_a_region(balls_scene):
    empty = replace(balls_scene.gaussians, logit_opacities=np.full(6000, -9, np.float32))
    region = supported_region(replace(balls_scene, gaussians=empty))
    assert np.isfinite([value for values in region.as_json().values() for value in values]).all()


def test_json_and_report(balls_scene):
    region = replace(supported_region(balls_scene), elevation=(-0.5, 0.25), distance=(0.6, 2.0))
    assert region_from_json(region.as_json()) == region
    assert region.report() == {"left": 180.0, "right": 180.0, "up": 14.3, "down": 28.6, "near": 0.6, "far": 2.0}
