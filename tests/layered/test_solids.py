import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core.conventions import INPUT_DISTANCE
from img2world.layered.cuboid import Cuboid
from img2world.layered.object_layers import object_camera
from img2world.layered.revolution import Revolution
from img2world.layered.solids import (
    MIN_IOU,
    Solid,
    around_axis,
    frame_width,
    sample_at_points,
    shape_difference,
    up_in_cam,
)

CAMERA = object_camera(64)


def can(radius: float = 0.1) -> Revolution:
    return Revolution(elevation=0.3, heights=np.linspace(-0.15, 0.15, 20), radii=np.full(20, radius))


def crate() -> Cuboid:
    return Cuboid(elevation=0.3, yaw=0.5, sizes=(0.25, 0.15, 0.2), offset=(0.01, -0.02))


@pytest.mark.parametrize("elevation", [0.0, 0.4, 1.0])
def test_axes_are_those_of_a_camera_that_looks_down(elevation):
    # A level camera has +Y down and +Z away; looking down turns it about +X by minus the elevation.
    cam_from_level = Rotation.from_euler("x", elevation).as_matrix()
    np.testing.assert_allclose(up_in_cam(elevation), cam_from_level @ (0, -1, 0), atol=1e-12)
    expected = [cam_from_level @ axis for axis in ((0, 0, 1), (1, 0, 0), (0, 0, -1), (-1, 0, 0))]
    np.testing.assert_allclose(around_axis(elevation, np.radians([0, 90, 180, 270])), expected, atol=1e-12)


def test_width_of_the_frame_spans_the_image():
    half = frame_width(CAMERA) / 2
    edges = np.array([[-half, 0, INPUT_DISTANCE], [half, 0, INPUT_DISTANCE]]) @ CAMERA.intrinsics[0].T
    np.testing.assert_allclose(edges[:, 0] / edges[:, 2], (0, CAMERA.width), atol=1e-4)


@pytest.mark.parametrize("shape", [can(), crate()])
def test_difference_is_that_of_front_up_to_a_shift_and_of_half_the_thickness(shape):
    assert isinstance(shape, Solid)
    near, far = shape.depths(CAMERA)
    inside = np.isfinite(near)
    front = np.where(inside, (near - INPUT_DISTANCE) / frame_width(CAMERA), 7).astype(np.float32)
    thickness = np.where(inside, (far - near) / frame_width(CAMERA), -7).astype(np.float32)
    assert shape_difference(shape, inside, front, thickness, CAMERA) == pytest.approx(0, abs=1e-6)
    assert shape_difference(shape, inside, front + np.float32(0.2), thickness, CAMERA) == pytest.approx(0, abs=1e-6)
    thicker = thickness + np.float32(0.03)
    assert shape_difference(shape, inside, front, thicker, CAMERA) == pytest.approx(0.015, abs=1e-6)
    half = front.copy()
    half[:, 32:] += np.float32(0.04)  # the median is one of the two halves
    apart = (inside[:, 32:].sum(), inside[:, :32].sum())
    expected = 0.04 * min(apart) / sum(apart)
    assert shape_difference(shape, inside, half, thickness, CAMERA) == pytest.approx(expected, abs=1e-5)


def test_another_silhouette_makes_the_difference_infinite():
    near, _ = can().depths(CAMERA)
    inside = np.isfinite(near)
    zeros = np.zeros(inside.shape, np.float32)
    rows = np.flatnonzero(inside.any(1))
    for count, infinite in ((1, False), (8, True)):
        cut = inside.copy()
        cut[rows[:count]] = False
        assert (cut.sum() / inside.sum() < MIN_IOU) == infinite
        assert np.isinf(shape_difference(can(), cut, zeros, zeros, CAMERA)) == infinite


def test_maps_are_sampled_where_points_project():
    y, x = np.mgrid[:64, :64] + 0.5
    ramps = np.stack([2 * x + y, x - 3 * y], -1).astype(np.float32)  # linear maps are sampled exactly
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-0.1, 0.1, (50, 2)), rng.uniform(0.7, 1.4, 50)])
    u, v = 32 + CAMERA.intrinsics[0, 0, 0] * points[:, :2].T / points[:, 2]
    sampled = sample_at_points(ramps, points.reshape(5, 10, 3), CAMERA)
    assert sampled.shape == (5, 10, 2)
    np.testing.assert_allclose(sampled.reshape(50, 2), np.stack([2 * u + v, u - 3 * v], -1), atol=0.1)  # 1/32 pixel
    assert sample_at_points(ramps[..., 0], np.array([[9.0, 9, 1]]), CAMERA) == ramps[63, 63, 0]
