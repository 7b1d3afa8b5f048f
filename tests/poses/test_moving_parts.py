"""Masks of a part of a scene that moves while the camera does."""

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.poses.moving_parts import cells_with_moving


def test_the_cells_of_moving_points_are_masked_with_a_margin(make_cameras, observe):
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.3, 0.3, (900, 3))
    cameras = make_cameras(on_sphere(np.linspace(-0.2, 0.2, 5), np.full(5, 0.1)), 0.7)
    tracks = observe(points, cameras)
    xy = tracks.xy.reshape(900, 5, 2)
    moving = (xy[:, 2, 0] > 150) & (xy[:, 2, 1] > 120)
    masks = cells_with_moving(tracks, moving, (5, 256, 256))
    column, row = np.floor(xy[:, 2]).astype(int).T
    inside = (column >= 0) & (column < 256) & (row >= 0) & (row < 256)
    masked = masks[2, row.clip(0, 255), column.clip(0, 255)]
    assert masked[moving & inside].mean() > 0.9
    far = inside & ((column < 130) | (row < 100))
    assert masked[far].mean() < 0.1
    assert not cells_with_moving(tracks, np.zeros(900, bool), (5, 256, 256)).any()
