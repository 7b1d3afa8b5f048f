"""A visual hull of a ball, whose silhouettes and surface are known."""

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.visual_hull import predict_hull_flow
from img2world.tracking.visual_hull import GRID_SIZE, carve_hull

RADIUS, CENTER = 0.2, np.array([0.05, 0.02, 0.0])


@pytest.fixture(scope="module")
def cameras(make_cameras):
    return make_cameras(orbit(16, elevation=0.2), 0.7, 96, 96)


@pytest.fixture(scope="module")
def masks(cameras) -> np.ndarray:
    """A pixel shows the ball when its ray passes the centre at less than the radius."""
    row, column = np.mgrid[:96, :96] + 0.5
    pixels = np.stack([column, row, np.ones_like(row)], -1)
    masks = []
    for pose, intrinsics in zip(cameras.world_from_cam.astype(float), cameras.intrinsics.astype(float), strict=True):
        rays = pixels @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        masks.append(np.linalg.norm(np.cross(rays, CENTER - pose[:3, 3]), axis=-1) < RADIUS)
    return np.stack(masks)


def test_the_hull_is_the_ball(cameras, masks):
    voxels = carve_hull(masks, cameras)
    # Cameras on one circle see neither pole from the side, so the hull is a little taller than the ball.
    distances = np.linalg.norm(voxels - CENTER, axis=1)
    assert distances.max() < 1.35 * RADIUS
    assert np.allclose(voxels.mean(0), CENTER, atol=0.02)
    side = 2 * 0.55 * 96 / float(cameras.intrinsics[0, 0, 0])
    volume = len(voxels) * (side / (GRID_SIZE - 1)) ** 3
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.2)


def test_one_bad_mask_in_twenty_does_not_matter(cameras, masks):
    spoilt = masks.copy()
    spoilt[3] = False
    assert len(carve_hull(spoilt, cameras)) > 0.9 * len(carve_hull(masks, cameras))
    spoilt[4:6] = False
    assert len(carve_hull(spoilt, cameras)) == 0


def test_what_something_hides_may_be_there(cameras, masks):
    # Half of the views show nothing of the ball, as there is a wall in front of it.
    half = masks.copy()
    half[:8] = False
    wall = np.full(masks.shape, np.inf, np.float32)
    wall[:8] = 0.3
    assert len(carve_hull(half, cameras)) == 0
    seen = carve_hull(half, cameras, hidden_behind=wall)
    assert len(seen) == len(carve_hull(masks[8:], cameras.select(np.arange(8, 16)), max_misses=1))
    # A wall behind the ball hides nothing.
    wall[:8] = 1.6
    assert len(carve_hull(half, cameras, hidden_behind=wall)) == 0


def test_the_predicted_flow_is_that_of_the_surface(cameras, masks):
    flow_between = predict_hull_flow(masks, CameraParameters.from_cameras(cameras), 1.0)
    assert flow_between is not None
    flow = flow_between(0, 1)
    assert flow.shape == (96, 96, 2)
    assert np.isfinite(flow).all()
    # The point of the ball that faces the first camera.
    towards = cameras.world_from_cam[0, :3, 3] - CENTER
    point = CENTER + RADIUS * towards / np.linalg.norm(towards)
    in_cam = cameras.cam_from_world[:2, :3, :3] @ point + cameras.cam_from_world[:2, :3, 3]
    pixels = np.einsum("vij,vj->vi", cameras.intrinsics[:2], in_cam)
    start, end = pixels[:, :2] / pixels[:, 2:]
    column, row = start.astype(int)
    assert np.allclose(flow[row, column], end - start, atol=1.5)
    assert np.linalg.norm(end - start) > 5


def test_cameras_may_be_those_of_larger_frames(cameras, masks):
    large = CameraParameters.from_cameras(cameras.resized(192, 192))
    small = CameraParameters.from_cameras(cameras)
    flows = [predict_hull_flow(masks, *each) for each in ((large, 0.5), (small, 1.0))]
    assert np.array_equal(*(flow(2, 3) for flow in flows))


def test_empty_masks_have_no_hull(cameras, masks):
    assert predict_hull_flow(np.zeros_like(masks), CameraParameters.from_cameras(cameras), 1.0) is None
