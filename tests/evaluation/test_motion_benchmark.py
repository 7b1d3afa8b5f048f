"""Moving scenes are what they are said to be, and reconstructions are compared with them."""

import numpy as np
import pytest

from evaluation.motion_benchmark import MotionOptions, MotionRow, table_lines, training_views
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


def test_views_are_those_of_all_cameras_at_all_times():
    views = training_views(make_scene("hinged box", 0), MotionOptions(size=64, cameras=3, times=2))
    assert views.times.tolist() == [0, 1, 0, 1, 0, 1]
    assert len(views.points) > 10
    np.testing.assert_array_equal(views.cameras.world_from_cam[0], views.cameras.world_from_cam[1])


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
        seconds=9.6,
        megabytes=0.5,
    )
    assert list(table_lines([row]))[-1] == "| hinged box | 0 | static | 20.0 | 12.3 | – | 10 | 0.50 |"
