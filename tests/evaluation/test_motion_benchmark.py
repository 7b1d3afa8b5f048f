"""Moving scenes are what they are said to be, and reconstructions are compared with them."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.motion_benchmark import MotionOptions, MotionRow, table_lines, training_views
from evaluation.motion_metrics import surface_points
from evaluation.moving_scenes import KINDS, make_scene, render_scene, ring_of_cameras
from img2world.core.errors import RecipeError


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_move_where_they_say_and_stay_in_the_frame(kind):
    scene = make_scene(kind, 0)
    places = np.stack([scene.vertices_at(time) for time in (0.0, 0.3, 0.7, 1.0)])
    assert np.array_equal(make_scene(kind, 0).vertices_at(0.3), places[1])
    assert np.ptp(places[:, ~scene.moving], axis=0).max(initial=0) == 0
    assert np.linalg.norm(np.ptp(places[:, scene.moving], axis=0), axis=1).max() > 0.05
    assert np.linalg.norm(places, axis=-1).max() < 0.28
    seen = render_scene(scene, ring_of_cameras(2, 64), np.array([0.2, 0.6]))
    assert (seen.views.alpha[:, [0, -1]] == 0).all()
    assert 0 < (seen.moving > 0).mean() <= (seen.views.alpha > 0).mean()


def test_a_ball_is_seen_from_the_time_on_at_which_it_appears():
    scene, camera = make_scene("appearing ball", 0), ring_of_cameras(1, 64).select([0, 0, 0])
    before, just, after = (render_scene(scene, camera, np.array([0.0, 0.399, 0.4])).views.alpha > 127).sum((1, 2))
    assert before <= just
    assert after > just + 30
    assert scene.is_there(0.0).sum() < scene.is_there(0.5).sum() == len(scene.moving)


def test_views_are_those_of_all_cameras_at_all_times():
    views = training_views(make_scene("hinged box", 0), MotionOptions(size=64, cameras=3, times=2))
    assert views.times.tolist() == [0, 1, 0, 1, 0, 1]
    assert len(views.points) > 10
    np.testing.assert_array_equal(views.cameras.world_from_cam[0], views.cameras.world_from_cam[1])


def test_an_orbit_sees_each_time_once_on_the_way_around():
    options = MotionOptions(size=64, rig="orbit", times=8)
    assert len(MotionOptions(rig="orbit").all_times) == 72
    views = training_views(make_scene("bouncing balls", 0), options)
    assert views.times.tolist() == np.linspace(0, 1, 8).tolist()
    centers = views.cameras.centers_in_world
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(centers[[*range(8), 0]], axis=0), axis=1), np.full(8, 0.742), atol=1e-3
    )
    assert len(views.points) > 10
    with pytest.raises(RecipeError, match="one side"):
        MotionOptions(rig="orbit", methods=("per time",))
    scattered = training_views(make_scene("hinged box", 0), MotionOptions(size=64, rig="anywhere", times=8))
    assert len(scattered) == 8
    heights = -scattered.cameras.centers_in_world[:, 1]
    assert (heights > 0).all()


def test_what_turns_keeps_its_light():
    scene = make_scene("hinged box", 0)
    # One colour, so that only the light could differ.
    scene = replace(scene, mesh=replace(scene.mesh, uv=np.zeros_like(scene.mesh.uv)))
    cameras, times = ring_of_cameras(8, 64).select([5, 5]), (0.0, 1.0)
    seen = render_scene(scene, cameras, np.array(times))
    shown = seen.moving[0] > 0
    after = surface_points(scene, cameras.select([0]), times)[1][shown]
    depth, xy, _ = cameras.project(1, after)
    column, row = np.floor(xy).astype(int).T
    still_seen = np.abs(seen.views.depth[1, row, column] - depth) < 0.005
    differences = np.ptp(np.stack([seen.views.rgb[0][shown], seen.views.rgb[1, row, column]]).astype(int), axis=0)
    assert still_seen.sum() > 100
    assert np.median(differences[still_seen]) <= 1  # of 255; some pixels are of two colours


def test_unknown_names_are_refused_and_rows_make_a_table():
    with pytest.raises(RecipeError, match="scene"):
        MotionOptions(kinds=("waterfall",))
    row = MotionRow(
        kind="hinged box",
        seed=0,
        method="static",
        psnr=20.0,
        psnr_moving=12.3,
        drift=float("inf"),
        flow=3.14159,
        no_flow=4.0,
        seconds=9.6,
        megabytes=0.5,
    )
    assert list(table_lines([row]))[-1] == "| hinged box | 0 | static | 20.0 | 12.3 | – | 3.14 | 4.00 | 10 | 0.50 |"
