"""COLMAP on rendered rooms with known cameras."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.views import Views
from img2world.poses import colmap
from img2world.poses.colmap import ColmapPoses, feature_masks, pictures_for_colmap
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
    assert list(dict.fromkeys(steps)) == ["features", "pairs", "placed"]
    assert all(
        done <= total == (15 if step == "pairs" else 6)
        for step, (done, total, _) in zip(steps[:8], reports, strict=False)
    )
    return views


@pytest.fixture(scope="module")
def model(frames: Frames) -> SparseModel:
    """The views that another run finds in the same frames."""
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


def test_a_kill_at_any_step_changes_nothing(frames, model, tmp_path):
    """Progress that raises kills the child; the next one goes on with what the last one has kept."""
    waiting = ["features", "pairs", "placed"]
    reports = []

    def kill_once(done: int, total: int, *, step: str = "", **quality: float) -> None:
        reports.append((step, done))
        if waiting and step == waiting[0]:
            waiting.pop(0)
            raise KeyboardInterrupt

    while waiting:
        with pytest.raises(KeyboardInterrupt):
            ColmapPoses().reconstruct(frames, progress=kill_once, work=tmp_path)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "found").glob("*.npz")}
    again = ColmapPoses().reconstruct(frames, progress=kill_once, work=tmp_path)
    for name, array in vars(model).items():
        assert np.array_equal(getattr(again, name), array), name
    # What was kept was not made again, and no kind of work was reported from its beginning once more.
    assert all((tmp_path / "found" / name).stat().st_mtime_ns == time for name, time in kept.items())
    assert len([report for report in reports if report[0] == "pairs"]) == 1


def test_two_lenses_and_picture_sizes(room, arc, pose_errors):
    """Every second frame is a portrait cut from the middle, enlarged as by a longer lens."""
    import cv2

    rgb, mask = room.rgb.copy(), np.full(room.rgb.shape[:3], 255, np.uint8)
    sizes, truth = np.tile([192, 144], (8, 1)), arc.intrinsics.copy()
    for i in range(1, 8, 2):
        portrait = cv2.resize(room.rgb[i, 8:128, 51:141], (108, 144), interpolation=cv2.INTER_CUBIC)
        rgb[i], mask[i], sizes[i] = 0, 0, (108, 144)
        rgb[i, :, :108], mask[i, :, :108] = portrait, 255
        truth[i, :2] = (truth[i, :2] - np.array([[0, 0, 51], [0, 0, 8]])) * 1.2
    lenses = np.arange(8) % 2
    frames = replace(room, rgb=rgb, mask=mask, ordered=False, sizes=sizes, lenses=lenses)
    found = views_from_model(frames, ColmapPoses(camera_model="SIMPLE_PINHOLE").reconstruct(frames), solver="colmap")
    assert len(found) == 8
    rotation_deg, direction_deg = pose_errors(found.cameras, arc)
    assert rotation_deg < 2
    assert direction_deg < 5
    # The principal points are in the middle of each picture, which the cut is 3 pixels beside.
    assert found.cameras.intrinsics[:2, :2, 2].tolist() == [[96, 72], [54, 72]]
    assert np.allclose(found.cameras.intrinsics[:, 0, 0], truth[:, 0, 0], rtol=0.04)
    assert np.array_equal(found.rgb, rgb)
    assert np.array_equal(found.mask, mask)


def test_lenses_are_told_apart_by_name_and_size_and_start_with_the_focal_length_of_their_pictures(room):
    frames = replace(
        room,
        lenses=np.array([5, 5, 5, 5, 2, 2, 2, 2]),
        sizes=np.array([[192, 144]] * 6 + [[100, 144]] * 2),
        focals=np.array([150.0, 0, 160, 170, 0, 0, 90, 0]),
    )
    arrays = pictures_for_colmap(frames)
    lenses = arrays["lenses"]
    assert len(set(lenses)) == 3
    assert [arrays["focals"][i] for i in lenses] == [160] * 4 + [0, 0] + [90, 90]
    assert [arrays["sizes"][i].tolist() for i in lenses] == frames.sizes.tolist()
    # COLMAP's own grey, as its bitmaps have it.
    red, green, blue = room.rgb[3, 20, 30].astype(float)
    assert arrays["gray"][3, 20, 30] == pytest.approx(0.2126 * red + 0.7152 * green + 0.0722 * blue, abs=0.51)


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
    with pytest.raises(PoseError, match="longer than 1e-09 seconds"):
        ColmapPoses(time_limit=1e-9).estimate(frames, None)


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
