from dataclasses import replace

import cv2
import numpy as np
import pytest
from scenes import RADIUS, TABLE, ball_views

from img2world.core.errors import SubjectError
from img2world.core.metric import transformed_views
from img2world.core.rotation import rotation_about
from img2world.isolation.isolate import isolate_subject

STRANGE = 3
"""A view that shows something else."""


@pytest.fixture(scope="module")
def ball():
    """Six views around a ball on a table, and where they show it: each costs two runs of the cut-out network."""
    return ball_views(6)


@pytest.fixture(scope="module")
def isolated(ball):
    views, _ = ball
    rgb = views.rgb.copy()
    rgb[STRANGE] = np.random.default_rng(0).integers(0, 256, rgb[STRANGE].shape, np.uint8)
    lean = np.eye(4)
    lean[:3, :3] = rotation_about(np.array([1.0, 0.2, 0.4]), 0.6)
    return isolate_subject(transformed_views(replace(views, rgb=rgb), lean))


def test_the_ball_is_cut_out_of_every_view_and_the_table_is_not(ball, isolated):
    views, masks = isolated.views, ball[1][isolated.kept]
    assert "without what it stands on" in isolated.reason
    cut = views.alpha > 127
    overlap = (cut & masks).sum((1, 2)) / (cut | masks).sum((1, 2))
    # An outline that is off by half a pixel costs 6 percent of a ball that is 32 pixels wide.
    assert overlap.min() > 0.9
    assert (views.rgb[views.alpha == 0] == 255).all()


def test_a_view_of_something_else_is_left_out(isolated):
    assert isolated.kept.tolist() == [0, 1, 2, 4, 5]
    assert isolated.as_json()["left_out"] == [STRANGE]
    assert len(isolated.views) == len(isolated.views.cameras) == 5


def test_the_ball_stands_upright_around_the_origin_even_if_all_cameras_were_turned(ball, isolated):
    heights = isolated.views.cameras.centers_in_world[:, 1]
    np.testing.assert_allclose(heights, ball[0].cameras.centers_in_world[isolated.kept, 1], atol=0.05)
    assert np.abs(isolated.views.points.min(0) + isolated.views.points.max(0)).max() < 1e-5


def test_only_points_on_the_ball_remain(ball, isolated):
    points, cameras = isolated.views.points, isolated.views.cameras
    assert len(points) > 150
    assert points[:, 1].max() < TABLE + 0.05
    # The hull of five views has corners.
    assert np.linalg.norm(points, axis=1).max() < 1.6 * RADIUS
    shown = np.zeros(len(points))
    for i, mask in enumerate(ball[1][isolated.kept]):
        _, pixels, inside = cameras.project(i, points)
        column, row = pixels[inside].astype(int).T
        shown[inside] += cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))[row, column]
    # One view of so few may contradict.
    assert (shown >= 4).mean() > 0.98


def test_views_that_show_nothing_in_common_are_refused(ball):
    few = ball[0].select(np.array([0, 2, 4]))
    noise = np.random.default_rng(0).integers(0, 256, few.rgb.shape, np.uint8)
    with pytest.raises(SubjectError, match="no subject stands out"):
        isolate_subject(replace(few, rgb=noise))


def test_without_a_network_there_is_one_clear_line(ball):
    with pytest.raises(SubjectError, match=r"subject\.model is none"):
        isolate_subject(ball[0], model="none")


def test_views_that_are_cut_out_already_stay_as_they_are(isolated):
    assert isolate_subject(isolated.views).views is isolated.views
