"""Masks of a part of a scene that moves while the camera does."""

from dataclasses import replace

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.views import Views
from img2world.poses.moving_parts import cells_with_moving, find_moving_parts
from img2world.video.synthetic import SyntheticVideo

NO_POINTS = {"points": np.zeros((0, 3), np.float32), "point_colors": np.zeros((0, 3), np.uint8)}


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


def test_what_bobs_through_a_room_is_masked(make_cameras):
    count, size = 10, 160
    cameras = make_cameras(on_sphere(np.linspace(-0.2, 0.2, count), np.full(count, 0.1)), 1.0, width=size, height=size)
    rgb = SyntheticVideo(kind="room", supersample=1).generate(None, cameras, seed=1).rgb.copy()
    patch = np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    truth = np.zeros(rgb.shape[:3], bool)
    for i in range(count):
        x, y = 30 + 6 * i, 50 + round(12 * np.sin(0.9 * i))
        rgb[i, y : y + 50, x : x + 50] = patch
        truth[i, y : y + 50, x : x + 50] = True
    views = Views(rgb=rgb, cameras=cameras, confidence=np.ones(count, np.float32), solver="true", **NO_POINTS)
    mask = np.full(rgb.shape[:3], 255, np.uint8)
    mask[:, -8:] = 0
    found = find_moving_parts(replace(views, mask=mask))
    assert found is not None
    assert (found.masks[mask == 0] == 0).all()
    assert (found.masks[truth] == 0).mean() > 0.9
    assert (found.masks[~truth & (mask > 0)] == 0).mean() < 0.15
    assert found.share > 0.08
    assert len(found.views) >= 8
