import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.assets import load_asset, normalize_mesh
from evaluation.placement import (
    AZIMUTHS_DEG,
    MAX_EXTENT,
    azimuth_rotation,
    dynamic_poses,
    elevation_from_name,
    fit_to_frame,
    frame_extent,
    object_cameras,
    place_asset,
    projected_bounds,
    static_poses,
    tilt,
)
from evaluation.procedural import procedural_object
from img2world.layered.object_layers import OBJECT_FRACTION


@pytest.mark.parametrize("poses", [static_poses(21, 0.3), dynamic_poses(21, 0.3)], ids=["static", "dynamic"])
def test_paths_start_at_the_input_camera_and_keep_their_distance(poses):
    expected = np.eye(4)
    expected[2, 3] = -1
    assert_allclose(poses[0], expected, atol=1e-6)
    assert_allclose(np.linalg.norm(poses[:, :3, 3], axis=1), 1, atol=1e-6)
    # All look at the origin.
    assert_allclose(poses[:, :3, 2], -poses[:, :3, 3], atol=1e-6)


def test_static_orbit_keeps_its_elevation_and_dynamic_orbit_does_not():
    up = tilt(0.3)[:3, :3] @ [0, -1, 0]
    assert_allclose(static_poses(9, 0.3)[:, :3, 3] @ up, np.sin(0.3), atol=1e-6)
    assert np.ptp(dynamic_poses(9, 0.3)[:, :3, 3] @ up) > 0.5


def test_object_is_centred_and_fills_its_fraction_of_the_photo():
    mesh = fit_to_frame(normalize_mesh(procedural_object(1), 0.3).transformed(tilt(0.4)))
    low, high, near, far = projected_bounds(mesh, object_cameras(static_poses(1, 0.4), 1), 0)
    assert_allclose((low + high) / 2, 0.5, atol=1e-3)
    assert_allclose((high - low).max(), OBJECT_FRACTION, rtol=2e-3)
    assert_allclose((near + far) / 2, 1, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_objects_stay_in_the_frame_all_around(seed):
    placed = place_asset(procedural_object(seed), f"object {seed}")
    elevation = elevation_from_name(f"object {seed}")
    assert np.radians(5) <= elevation <= np.radians(25)
    assert frame_extent(placed, dynamic_poses(12, elevation)) <= MAX_EXTENT
    again = place_asset(procedural_object(seed), f"object {seed}")
    assert (again.vertices == placed.vertices).all()


def test_rotating_an_asset_equals_moving_the_camera(asset_folder):
    from evaluation.rendering import UNLIT, render_asset
    from img2world.core.camera_paths import on_sphere

    mesh = normalize_mesh(load_asset(asset_folder / "torus.glb"), 0.24)
    angle = np.radians(AZIMUTHS_DEG[2])
    there = object_cameras(on_sphere(np.array([angle]), np.zeros(1)), 48)
    here = object_cameras(static_poses(1, 0.0), 48)
    seen = render_asset(mesh, there, lighting=UNLIT).rgb.astype(int)
    turned_rgb = render_asset(mesh.transformed(azimuth_rotation(angle)), here, lighting=UNLIT).rgb
    assert np.abs(seen - turned_rgb).mean() < 0.2
