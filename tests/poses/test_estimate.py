"""The cost of held-out tracks, and the choice between nested models."""

import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.estimate import held_out_cost, select_model
from img2world.poses.fit import LOSS_SCALE, PathFit
from img2world.poses.path_model import FreeParameters, cameras_on_path, path_from_cameras
from img2world.tracking.tracks import Tracks


def test_true_cameras_cost_nothing_and_wrong_ones_what_their_errors_cost(make_cameras, observe, cloud):
    cameras = make_cameras(orbit(12, elevation=0.2))
    parameters = CameraParameters.from_cameras(cameras)
    assert held_out_cost(observe(cloud, cameras), parameters, 256) < 1e-6
    # Two rays that pass each other: the point is half way, one pixel from where either camera sees it.
    tracks = observe(np.zeros((1, 3)), cameras.select(slice(0, 2)))
    shifted = Tracks(frame_ids=tracks.frame_ids, xy=tracks.xy + np.array([[0, 2.0], [0, 0]]), starts=tracks.starts)
    cost = held_out_cost(shifted, parameters, 256)
    assert cost == pytest.approx(np.log1p((1.0 / LOSS_SCALE) ** 2), rel=0.05)
    assert held_out_cost(shifted, parameters, 512) < 0.5 * cost


def test_no_tracks_cost_more_than_any(make_cameras):
    assert held_out_cost(Tracks.empty(), CameraParameters.from_cameras(make_cameras(orbit(3))), 256) == float("inf")


@pytest.mark.parametrize(
    ("sizes", "costs", "chosen"),
    [
        ((0, 2, 4), (1.0, 1.1, 1.05), 0),
        ((0, 2, 4), (1.0, 0.97, 0.97), 0),  # 2 % are needed for each parameter more …
        ((0, 2, 4), (1.0, 0.95, 0.92), 1),
        ((0, 2, 4), (1.0, 0.95, 0.90), 2),
        ((0, 2, 14), (1.0, 0.9, 0.84), 1),  # … but never more than 8 %
        ((0, 2, 14), (1.0, 0.9, 0.82), 2),
        ((0, 2, 14), (1.0, 0.97, 0.91), 2),  # also where the step between is not worth it
    ],
)
def test_more_parameters_need_a_clear_gain(make_cameras, sizes, costs, chosen):
    path = path_from_cameras(make_cameras(orbit(4)), closed=True)
    free = FreeParameters(names=())
    cameras = cameras_on_path(path, free, np.zeros(0))
    fits = [PathFit(cameras=cameras, free=free, values=np.zeros(size)) for size in sizes]
    assert select_model(fits, list(costs)) == chosen
