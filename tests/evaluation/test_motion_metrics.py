"""Drift and flow are zero for what moves as it should, and as long as the way for what does not."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.motion_metrics import drift, flow_error, surface_points
from evaluation.moving_scenes import MovingScene, make_scene, ring_of_cameras
from img2world.core.gaussians import Gaussians

SHIFT = np.array([0.05, 0, 0], np.float32)
"""Across the picture of the first camera, to the right."""


@pytest.fixture(scope="module")
def sliding_bar() -> MovingScene:
    bar = make_scene("twisting bar", 0)
    rest = bar.vertices_at(0.0)
    return replace(bar, vertices_at=lambda time: rest + np.float32(time) * SHIFT)


def gaussians_on(means) -> Gaussians:
    """Return small opaque Gaussians."""
    count = len(means)
    return Gaussians(
        means=means.astype(np.float32),
        quats=np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        log_scales=np.full((count, 3), np.log(0.008), np.float32),
        logit_opacities=np.full(count, 3, np.float32),
        sh=np.zeros((count, 1, 3), np.float32),
    )


@pytest.mark.parametrize("speed", [0.0, 0.5, 1.0])
def test_flow_and_drift_are_what_is_missing_of_the_way(sliding_bar, speed):
    camera = ring_of_cameras(1, 64, elevations=(0.0, 0.0))
    start = sliding_bar.vertices_at(0.0)

    def gaussians_at(time):
        return gaussians_on(start + speed * time * SHIFT)

    everywhere = np.ones((64, 64), bool)
    found = flow_error(sliding_bar, gaussians_at, camera, (0.0, 1.0), everywhere)
    depth = surface_points(sliding_bar, camera, (0.0, 1.0))[0][..., 2] + 1
    expected = np.nanmean(SHIFT[0] * camera.intrinsics[0, 0, 0] / depth)
    assert found.of_none == pytest.approx(expected, rel=1e-4)
    assert found.error == pytest.approx((1 - speed) * expected, rel=0.01, abs=1e-3)  # opacities blend in float32
    assert drift(sliding_bar, gaussians_at, np.array([0, 0.5, 1])) == pytest.approx(1 - speed, abs=1e-3)


def test_flow_is_infinite_without_gaussians_and_none_where_nothing_is_seen(sliding_bar):
    camera, corner = ring_of_cameras(1, 64), np.zeros((64, 64), bool)
    corner[0, 0] = True
    assert flow_error(sliding_bar, None, camera, (0.0, 1.0), corner) is None
    found = flow_error(sliding_bar, None, camera, (0.0, 1.0), np.ones((64, 64), bool))
    assert np.isinf(found.error)
    assert 0 < found.of_none < 10
