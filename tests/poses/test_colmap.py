"""COLMAP on rendered rooms with known cameras."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.poses import colmap
from img2world.poses.colmap import ColmapPoses, feature_masks
from img2world.poses.sparse_model import SparseModel, views_from_model


@pytest.fixture(scope="module")
def frames(room) -> Frames:
    """Five frames of the room, and one that shows something else."""
    noise = np.random.default_rng(0).integers(0, 255, (1, *room.rgb.shape[1:]), dtype=np.uint8)
    return Frames(rgb=np.concatenate([room.rgb[:5], noise]), times=np.arange(6.0))


@pytest.fixture(scope="module")
def views(frames: Frames) -> Views:
    reports = []
    views = ColmapPoses().estimate(
        frames, None, progress=lambda done, total, **quality: reports.append((done, total, quality))
    )
    done, total, quality = reports.pop()
    assert (done, total) == (6, 6)
    assert quality["placed"] == pytest.approx(5 / 6)
    assert quality["error"] < 1
    steps = [quality["step"] for _, _, quality in reports]
    assert list(dict.fromkeys(steps)) == ["features", "pairs", "placed", "guided pairs"]
    assert all(
        done <= total == (15 if step == "pairs" else 6)
        for step, (done, total, _) in zip(steps[:8], reports, strict=False)
    )
    return views


@pytest.fixture(scope="module")
def model(frames: Frames) -> SparseModel:
    """What another run finds in the same frames."""
    return ColmapPoses().reconstruct(frames)


def test_cameras_are_found_and_the_odd_frame_is_left_out(views, frames, arc, pose_errors):
    assert np.array_equal(views.rgb, frames.rgb[:5])  # Without distortion not a bit changes.
    rotation_deg, direction_deg = pose_errors(views.cameras, arc.select(slice(0, 5)))
    assert rotation_deg < 0.5
    assert direction_deg < 3
    assert views.cameras.intrinsics[0, 0, 0] == pytest.approx(arc.intrinsics[0, 0, 0], rel=0.03)
    assert np.allclose(views.cameras.world_from_cam[0, :3, :3], np.eye(3), atol=1e-6)
    assert np.allclose(views.cameras.centers_in_world[0], [0, 0, -1], atol=1e-6)
    # All cameras look at the origin, so that is what is one unit away.
    baselines = [np.linalg.norm(each.centers_in_world[4] - each.centers_in_world[0]) for each in (views.cameras, arc)]
    assert baselines[0] == pytest.approx(baselines[1], rel=0.05)


def test_points_have_the_colours_that_the_views_show(views):
    assert len(views.points) > 100
    assert ((views.confidence > 0.3) & (views.confidence <= 1)).all()
    points_in_cam = views.points @ views.cameras.cam_from_world[0, :3, :3].T + views.cameras.cam_from_world[0, :3, 3]
    pixels = points_in_cam @ views.cameras.intrinsics[0].T
    column, row = (pixels[:, :2] / pixels[:, 2:]).astype(int).T
    inside = (column >= 0) & (column < 192) & (row >= 0) & (row < 144) & (points_in_cam[:, 2] > 0)
    assert inside.sum() > 50
    shown = views.rgb[0, row[inside], column[inside]].astype(int)
    assert np.median(np.abs(shown - views.point_colors[inside])) < 15


def test_another_run_gives_the_same_bits(frames, views, model):
    again = views_from_model(frames, model, solver="colmap")
    for name in ("confidence", "points", "point_colors"):
        assert np.array_equal(getattr(again, name), getattr(views, name)), name
    assert np.array_equal(again.cameras.world_from_cam, views.cameras.world_from_cam)
    assert np.array_equal(again.cameras.intrinsics, views.cameras.intrinsics)


@pytest.mark.parametrize(
    ("ordered", "options", "expected"),
    [
        (True, {}, {"camera_model": "SIMPLE_PINHOLE", "max_features": 2048}),
        (False, {}, {"camera_model": "RADIAL", "max_features": 4096}),
        (False, {"camera_model": "OPENCV", "max_features": 99}, {"camera_model": "OPENCV", "max_features": 99}),
    ],
)
def test_lens_and_features_suit_photos_or_videos(room, model, monkeypatch, ordered, options, expected):
    asked = {}

    def run_child(module, options, **_):
        asked.update(options)
        model.save(Path(options["folder"]) / "model.npz")

    monkeypatch.setattr(colmap, "run_child", run_child)
    ColmapPoses(**options).reconstruct(replace(room, ordered=ordered), seed=7)
    assert {name: asked[name] for name in expected} == expected
    assert asked["seed"] == 7


def test_refused_without_texture():
    frames = Frames(rgb=np.full((5, 120, 160, 3), 128, np.uint8), times=np.arange(5.0))
    with pytest.raises(PoseError, match="placed none of 5 frames") as caught:
        ColmapPoses().estimate(frames, None)
    assert caught.value.hint


def test_refused_when_too_few_are_given_or_placed(frames, model, monkeypatch):
    with pytest.raises(PoseError, match="there are 6 frames, COLMAP needs at least 7"):
        ColmapPoses(min_views=7).estimate(frames, None)
    monkeypatch.setattr(ColmapPoses, "reconstruct", lambda *_, **__: model)
    with pytest.raises(PoseError, match="COLMAP placed 5 of 6 frames, needs at least 6"):
        ColmapPoses(min_views=6).estimate(frames, None)


def test_time_limit(frames):
    with pytest.raises(PoseError, match=r"longer than 0\.1 seconds"):
        ColmapPoses(time_limit=0.1).estimate(frames, None)


def test_features_are_allowed_on_the_object_where_frames_count():
    alpha, mask = np.zeros((2, 3, 4, 4), np.uint8)
    alpha[:, :2], mask[:, :, :2] = 255, 255
    frames = Frames(rgb=np.zeros((3, 4, 4, 3), np.uint8), times=np.arange(3.0))
    assert feature_masks(frames) is None
    assert feature_masks(replace(frames, alpha=alpha)) is alpha
    assert feature_masks(replace(frames, mask=mask)) is mask
    both = feature_masks(replace(frames, alpha=alpha, mask=mask))
    assert (both > 0).sum() == 3 * 4


def test_masked_pixels_have_no_points(room):
    """A pattern that stays in the same place in all frames would otherwise be matched best of all."""
    rgb, mask = room.rgb[:5].copy(), np.full(room.rgb[:5].shape[:3], 255, np.uint8)
    rgb[:, 30:100, :60] = np.random.default_rng(0).integers(0, 255, (70, 60, 3), dtype=np.uint8)
    mask[:, 30:100, :60] = 0
    model = ColmapPoses(max_features=2000).reconstruct(Frames(rgb=rgb, mask=mask, times=np.arange(5.0)))
    column, row = model.tracks.xy.astype(int).T
    assert len(model.placed) == 5
    assert mask[0, row, column].all()
