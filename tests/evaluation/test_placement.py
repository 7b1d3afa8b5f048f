import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.assets import load_asset, unit_mesh
from evaluation.placement import (
    AZIMUTHS_DEG,
    MOST,
    dynamic_poses,
    elevation_of,
    framed,
    object_cameras,
    place,
    screen_box,
    share_of_frame,
    static_poses,
    tilt,
    turned,
)
from evaluation.procedural import procedural_object
from img2world.layered.object_layers import OBJECT_SHARE


@pytest.mark.parametrize("poses", [static_poses(21, 0.3), dynamic_poses(21, 0.3)], ids=["static", "dynamic"])
def test_paths_begin_at_the_input_camera_and_keep_their_distance(poses):
    expected = np.eye(4)
    expected[2, 3] = -1
    assert_allclose(poses[0], expected, atol=1e-6)
    assert_allclose(np.linalg.norm(poses[:, :3, 3], axis=1), 1, atol=1e-6)
    # All look at the origin.
    assert_allclose(poses[:, :3, 2], -poses[:, :3, 3], atol=1e-6)


def test_a_static_orbit_stays_at_its_height_and_a_dynamic_one_does_not():
    up = tilt(0.3)[:3, :3] @ [0, -1, 0]
    assert_allclose(static_poses(9, 0.3)[:, :3, 3] @ up, np.sin(0.3), atol=1e-6)
    assert np.ptp(dynamic_poses(9, 0.3)[:, :3, 3] @ up) > 0.5


def test_an_object_is_centred_and_fills_its_share_of_the_photo():
    mesh = framed(unit_mesh(procedural_object(1), 0.3).moved(tilt(0.4)))
    low, high, near, far = screen_box(mesh, object_cameras(static_poses(1, 0.4), 1), 0)
    assert_allclose((low + high) / 2, 0.5, atol=1e-3)
    assert_allclose((high - low).max(), OBJECT_SHARE, rtol=2e-3)
    assert_allclose((near + far) / 2, 1, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_objects_stay_in_the_frame_all_around(seed):
    placed = place(procedural_object(seed), f"thing {seed}")
    elevation = elevation_of(f"thing {seed}")
    assert np.radians(5) <= elevation <= np.radians(25)
    assert share_of_frame(placed, dynamic_poses(12, elevation)) <= MOST
    again = place(procedural_object(seed), f"thing {seed}")
    assert (again.vertices == placed.vertices).all()


def test_turning_a_model_shows_what_a_camera_from_that_side_sees(asset_folder):
    from evaluation.rendering import UNLIT, render_asset
    from img2world.core.camera_paths import on_sphere

    mesh = unit_mesh(load_asset(asset_folder / "torus.glb"), 0.24)
    angle = np.radians(AZIMUTHS_DEG[2])
    there = object_cameras(on_sphere(np.array([angle]), np.zeros(1)), 48)
    here = object_cameras(static_poses(1, 0.0), 48)
    seen = render_asset(mesh, there, light=UNLIT).rgb.astype(int)
    turned_rgb = render_asset(mesh.moved(turned(angle)), here, light=UNLIT).rgb
    assert np.abs(seen - turned_rgb).mean() < 0.2
