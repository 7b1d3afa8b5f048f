"""COLMAP's sparse model in the package's own world: made-up models with known cameras and points."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from img2world.core.camera_paths import on_sphere
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.poses.sparse_model import SparseModel, normalize_world, select_points, views_from_model

ARC = on_sphere(np.radians(6.0) * np.arange(5), 0.1 * np.sin(np.radians(18.0) * np.arange(5))).astype(np.float64)
POINTS = np.random.default_rng(1).normal(size=(200, 3)) * 0.2


def observed(seen_by) -> dict[str, np.ndarray]:
    """Observations of points by the given views, all at one place."""
    lengths = np.array([len(views) for views in seen_by], np.int64)
    return {
        "observation_frame_ids": np.array([i for views in seen_by for i in views], np.int64),
        "observation_xy": np.full((lengths.sum(), 2), [10.5, 20.5]),
        "observation_starts": np.cumsum(lengths) - lengths,
    }


def make_model(world_from_cam: np.ndarray = ARC) -> SparseModel:
    """Cameras around (or beside) a cloud, in a rotated world of another scale."""
    turn = Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix()
    shift, scale = np.array([0.3, -2.0, 1.0]), 3.7
    centers = scale * world_from_cam[:, :3, 3] @ turn.T + shift
    rotations = world_from_cam[:, :3, :3].transpose(0, 2, 1) @ turn.T
    return SparseModel(
        placed=np.arange(5),
        cam_from_world=np.concatenate([rotations, -rotations @ centers[:, :, None]], -1),
        points=scale * POINTS @ turn.T + shift,
        point_errors=np.full(200, 0.5),
        intrinsics=np.tile([[90.0, 0, 32], [0, 80, 24], [0, 0, 1]], (5, 1, 1)),
        distorted_xy=np.zeros((0, 0, 0, 2), np.float32),
        maps=np.full(5, -1),
        # The first view sees all points, and each of the others a quarter of them.
        **observed([(0, 1 + i % 4) for i in range(200)]),
    )


def test_the_world_is_aligned_with_the_first_view():
    world_from_cam, points = normalize_world(make_model())
    assert np.allclose(world_from_cam[0], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]], atol=1e-9)
    # All cameras of the arc look at the origin, and the first is one unit from it.
    assert np.allclose(world_from_cam, ARC, atol=1e-5)
    assert np.allclose(points, POINTS, atol=1e-5)


def test_cameras_side_by_side_take_the_median_depth_for_the_distance():
    row = np.tile(np.eye(4), (5, 1, 1))
    row[:, :3, 3] = np.array([0.0, 0, -1]) + np.outer(np.arange(5), [0.1, 0, 0])
    world_from_cam, points = normalize_world(make_model(row))
    assert np.median(points[:, 2]) == pytest.approx(0, abs=1e-9)
    assert np.allclose(world_from_cam[:, :3, :3], np.eye(3), atol=1e-9)


def test_a_placed_first_view_without_points_takes_those_of_the_others():
    """All cameras look at the origin, which is what decides; without any points nothing can."""
    blind = observed([range(1, 5)] * 200)
    world_from_cam, _ = normalize_world(replace(make_model(), **blind))
    assert np.allclose(world_from_cam, ARC, atol=1e-5)
    with pytest.raises(PoseError, match="the first frame sees no points"):
        normalize_world(replace(make_model(), points=np.zeros((0, 3)), point_errors=np.zeros(0), **observed([])))


def test_bad_points_are_dropped():
    seen_by = [range(2) if i == 5 else range(5) for i in range(200)]
    model = replace(make_model(), **observed(seen_by))
    errors = model.point_errors.copy()
    errors[3] = 2.5
    _, points = normalize_world(model)
    points[7] = [50, 0, 0]
    model = replace(model, point_errors=errors)
    assert np.flatnonzero(~select_points(model, points)).tolist() == [3, 5, 7]
    # Where most points are seen in two frames only, these are kept.
    model = replace(model, **observed([range(2)] * 200))
    assert np.flatnonzero(~select_points(model, points)).tolist() == [3, 7]


@pytest.fixture
def frames() -> Frames:
    """Six frames whose red is the column and whose green is the row; a stripe of the mask is ignored."""
    rgb = np.zeros((6, 48, 64, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = np.arange(64), np.arange(48)[:, None]
    mask = np.full((6, 48, 64), 255, np.uint8)
    mask[:, :, :20] = 0
    return Frames(rgb=rgb, mask=mask, alpha=mask, times=np.arange(6.0))


def test_views_are_the_placed_frames(frames):
    placed = np.array([0, 1, 3, 4, 5])
    # Points that other views see fit worse: 0, 1, 2 and 0 pixels in the views after the first.
    errors = np.tile([0.0, 1.0, 2.0, 0.0], 50)
    views = views_from_model(frames, replace(make_model(), placed=placed, point_errors=errors), solver="x")
    assert np.array_equal(views.rgb, frames.rgb[placed])
    assert (views.cameras.width, views.cameras.height, views.solver) == (64, 48, "x")
    assert views.cameras.intrinsics[2].tolist() == [[90, 0, 32], [0, 80, 24], [0, 0, 1]]
    assert np.allclose(views.confidence, [0.8 / (1 + 0.75**2), 0.5, 0.25, 0.1, 0.5])
    assert (views.point_colors == [10, 20, 0]).all()


def test_distortion_is_undone_where_the_model_says(frames):
    """A lens that shows everything two pixels too far right and one too far down."""
    row, column = np.mgrid[:48, :64] + 0.5
    distorted = np.stack([column + 2, row + 1], -1).astype(np.float32)
    model = replace(make_model(), distorted_xy=distorted[None], maps=np.zeros(5, np.int64))
    views = views_from_model(frames, model, solver="x")
    assert np.array_equal(views.rgb[:, :40, :60], frames.rgb[:5, 1:41, 2:62])
    assert np.array_equal(views.mask[:, :40, :60], frames.mask[:5, 1:41, 2:62])
    assert set(np.unique(views.mask)) == {0, 255}
    assert (views.point_colors == [12, 21, 0]).all()


def test_each_lens_has_its_own_distortion_and_nothing_leaks_in_from_beyond_a_smaller_picture(frames):
    """The last two views have a smaller picture of another lens, which shows everything a pixel too far right."""
    rgb, mask = frames.rgb.copy(), frames.mask.copy()
    mask[...] = 255
    rgb[3:5, :, 40:], mask[3:5, :, 40:] = 0, 0
    distorted = np.full((48, 64, 2), -1, np.float32)
    row, column = np.mgrid[:48, :40] + 0.5
    distorted[:, :40] = np.stack([column + 1, row], -1)
    model = replace(make_model(), distorted_xy=distorted[None], maps=np.array([-1, -1, -1, 0, 0]))
    views = views_from_model(replace(frames, rgb=rgb, mask=mask, alpha=None), model, solver="x")
    assert np.array_equal(views.rgb[:3], rgb[:3])
    assert np.array_equal(views.rgb[3:, :, :39], rgb[3:5, :, 1:40])
    assert (views.rgb[3:, :, 39] == rgb[3:5, :, 39]).all()
    assert np.array_equal(views.mask, mask[:5])
    assert not views.rgb[3:, :, 40:].any()


def test_cameras_and_tracks_of_the_model():
    model = make_model()
    cameras = model.camera_parameters
    assert np.allclose(cameras.focal, [90, 80])
    assert np.allclose(cameras.principal_point, [32, 24])
    assert np.array_equal(cameras.cam_from_world, model.cam_from_world)
    assert model.tracks.lengths.tolist() == [2] * 200
    assert model.num_observations.tolist() == [200, 50, 50, 50, 50]
    assert np.allclose(model.view_errors, 0.5)


def test_a_saved_model_is_read_back(tmp_path):
    model = make_model()
    model.save(tmp_path / "model.npz")
    again = SparseModel.load(tmp_path / "model.npz")
    for name, array in vars(model).items():
        assert np.array_equal(getattr(again, name), array), name
        assert getattr(again, name).dtype == array.dtype, name
