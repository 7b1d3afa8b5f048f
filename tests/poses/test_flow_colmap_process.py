"""Tracks as COLMAP's keypoints, matches and reconstruction."""

import numpy as np
import pycolmap
import pytest

from img2world.poses.bundle_adjustment import build_model, keypoint_indices
from img2world.poses.camera_parameters import CameraParameters
from img2world.poses.flow_colmap_process import pairwise_matches
from img2world.poses.reconstruction import sparse_model


@pytest.fixture
def tracks(make_cameras, arc, observe, cloud):
    return observe(cloud[:20], arc, length=4)


def test_keypoints_are_numbered_in_their_frames(tracks):
    indices = keypoint_indices(tracks)
    for frame in range(8):
        here = tracks.frame_ids == frame
        assert indices[here].tolist() == list(range(here.sum()))


def test_matches_are_those_of_the_tracks(tracks):
    indices = keypoint_indices(tracks)
    expected: dict = {}
    for a in range(len(tracks.frame_ids)):
        for b in range(len(tracks.frame_ids)):
            i, j = tracks.frame_ids[[a, b]].tolist()
            if tracks.track_ids[a] == tracks.track_ids[b] and i < j:
                expected.setdefault((i, j), set()).add((indices[a], indices[b]))
    assert {pair: set(matches) for pair, matches in pairwise_matches(tracks).items()} == expected


def test_a_model_is_the_same_to_pycolmap(tracks, arc, cloud):
    """pycolmap's own errors of our cameras, points and tracks are 0, and it gives back what it was given."""
    parameters = CameraParameters.from_cameras(arc)
    focal = float(parameters.focal[0, 0])
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=192, height=144, params=[focal, 96.0, 72.0])
    model = build_model(tracks, parameters.cam_from_world, cloud[:20], [camera])
    model.update_point_3d_errors()
    assert model.num_points3D() == 20
    assert model.compute_mean_reprojection_error() < 1e-3
    found = sparse_model(model, 192, 144)
    assert np.allclose(found.cam_from_world, parameters.cam_from_world, atol=1e-6)
    order = np.lexsort((tracks.frame_ids, tracks.track_ids))
    assert np.allclose(found.tracks.xy, tracks.xy[order])
    assert np.allclose(found.points, cloud[:20])
