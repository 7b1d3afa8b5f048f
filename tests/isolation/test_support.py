import numpy as np
from scenes import RADIUS, TABLE, sparse_points

from img2world.isolation.aim import find_aim
from img2world.isolation.plate import make_plate
from img2world.isolation.support import find_support, settle_support


def test_the_table_is_found_below_the_ball(ball):
    views, _ = ball
    plane = find_support(views.points, views.cameras, find_aim(views.cameras))
    assert plane is not None
    np.testing.assert_allclose(plane, (0, -1, 0, TABLE), atol=0.01)


def test_a_ball_that_hangs_has_no_support(ball):
    views, _ = ball
    on_ball = views.points[np.linalg.norm(views.points, axis=1) < 1.1 * RADIUS]
    assert find_support(on_ball, views.cameras, find_aim(views.cameras)) is None


def test_a_wall_behind_the_ball_is_no_support(ball):
    views, _ = ball
    wall = sparse_points()[:, [0, 2, 1]] + np.float32([0, 0, 1.5])
    assert find_support(wall, views.cameras, find_aim(views.cameras)) is None


def test_a_plane_that_is_a_little_off_settles_on_the_table(ball):
    views, _ = ball
    aim = find_aim(views.cameras)
    rgb = [picture.astype(np.float32) for picture in views.rgb]
    normal = np.array([0.03, -1.0, 0.0]) / np.hypot(0.03, 1)
    settled = settle_support(np.append(normal, TABLE - 0.03), rgb, views.cameras, aim)
    np.testing.assert_allclose(settled, (0, -1, 0, TABLE), atol=0.015)


def test_the_plate_shows_the_table_without_the_ball(ball):
    views, masks = ball
    aim = find_aim(views.cameras)
    rgb = [picture.astype(np.float32) for picture in views.rgb]
    network = [mask.astype(np.float32) for mask in masks]
    free = list(np.ones(masks.shape, bool))
    plate = make_plate(np.array([0, -1.0, 0, TABLE]), rgb, network, free, views.cameras, aim)
    known = np.isfinite(plate.spread)
    # Half of the square is within the table, less is seen by four of the views.
    assert known.mean() > 0.15
    # The ball is red and yellow, the table greenish: its red is less than its green.
    assert (plate.colors[known][:, 0] < plate.colors[known][:, 1]).mean() > 0.97
