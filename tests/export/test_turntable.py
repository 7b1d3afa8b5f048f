from dataclasses import replace

import av
import numpy as np
import pytest

from img2world.core.camera_paths import arc, orbit
from img2world.core.errors import ExportError
from img2world.core.motion import Motion
from img2world.export.support import supported_region
from img2world.export.turntable import TurntableExport, find_cycle, render_frames


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def centroid_of(frame: np.ndarray, channel: int) -> tuple[float, float]:
    """Return the mean column and row of the pixels in which one channel dominates."""
    others = np.delete(frame, channel, axis=-1).max(-1)
    rows, columns = np.nonzero(frame[..., channel] > others + 60)
    return float(columns.mean()), float(rows.mean())


def test_an_object_is_shown_upright_and_from_all_sides(balls_scene, balls_views, tmp_path):
    path = tmp_path / "turntable.part"
    export = TurntableExport(seconds=1.0, fps=8.0, size=96)
    facts = export.write(balls_scene, balls_views, path)
    frames = decoded(path)
    assert frames.shape == (8, 80, 96, 3)
    assert (facts["frames"], facts["width"], facts["height"]) == (8, 96, 80)
    assert frames[:, 0, 0].min() > 240  # the scene's white background
    red, green = centroid_of(frames[0], 0), centroid_of(frames[0], 1)
    assert red[0] > green[0] + 10  # from the input camera red is to the right
    assert green[1] < red[1] - 10  # and green above
    behind = centroid_of(frames[4], 0)
    assert behind[0] < 48 < red[0]  # half way round red is to the left
    for frame in frames:  # the whole object stays in the frame
        border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
        assert border.min() > 225


def test_the_orbit_is_closed_and_upright(balls_scene):
    path = TurntableExport(size=96).object_path(balls_scene, 24)
    steps = np.linalg.norm(np.diff(np.concatenate([path.centers_in_world, path.centers_in_world[:1]]), axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
    assert (path.world_from_cam[:, 1, 1] > 0.9).all()  # upright: camera +Y is about world +Y


@pytest.mark.parametrize("poses", [arc(20, half_azimuth=0.4), orbit(20), orbit(40)[:15], orbit(20)[:1]])
def test_a_scene_path_stays_near_its_cameras_and_is_even(balls_scene, poses):
    cameras = balls_scene.cameras
    intrinsics = np.tile(cameras.intrinsics[:1], (len(poses), 1, 1))
    scene = replace(balls_scene, cameras=replace(cameras, world_from_cam=poses, intrinsics=intrinsics), is_object=False)
    path = TurntableExport(size=96).scene_path(scene, 60)
    centers = path.centers_in_world
    nearest = np.linalg.norm(centers[:, None] - scene.cameras.centers_in_world, axis=-1).min(1)
    assert nearest.max() < 0.2
    steps = np.linalg.norm(np.diff(np.concatenate([centers, centers[:1]]), axis=0), axis=1)
    # A loop without a jump: the mean speed of a cosine is 2 / pi of its maximum.
    assert steps.max() <= 1.8 * steps.mean() + 1e-6
    forward = path.world_from_cam[:, :3, 2]
    assert np.einsum("vi,vi->v", forward, -centers).min() > 0.8  # still looking at the origin


def test_uneven_cameras_do_not_make_the_motion_uneven(balls_scene):
    poses = arc(40, half_azimuth=0.4)[[0, 1, 2, 3, 4, 5, 9, 10, 20, 21, 22, 28, 35, 39]]
    intrinsics = np.tile(balls_scene.cameras.intrinsics[:1], (len(poses), 1, 1))
    cameras = replace(balls_scene.cameras, world_from_cam=poses, intrinsics=intrinsics)
    path = TurntableExport(size=96).scene_path(replace(balls_scene, cameras=cameras, is_object=False), 60)
    steps = np.linalg.norm(np.diff(path.centers_in_world, axis=0), axis=1)
    assert steps.max() < 1.2 * np.median(steps)  # interpolated by number alone it would be 6


def test_motion_is_shown(balls_scene, balls_views, tmp_path):
    count = len(balls_scene.gaussians)
    motion = Motion(
        key_times=np.array([0.0, 0.5]),
        bone_pivots=np.zeros((1, 3), np.float32),
        bone_quats=np.tile(np.array([1, 0, 0, 0], np.float32), (1, 2, 1)),
        bone_translations=np.array([[[0, 0, 0], [0, 0.1, 0]]], np.float32),
        bone_indices=np.zeros((count, 4), np.int32),
        bone_weights=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
    )
    export = TurntableExport(seconds=1.0, fps=8.0, size=96)
    moving_scene = replace(balls_scene, motion=motion)
    facts = export.write(moving_scene, balls_views, tmp_path / "moving.mp4")
    # The same cameras, which have room for all of the motion.
    frames = render_frames(balls_scene, export.path(moving_scene, 8), 8.0).astype(int)
    moving = decoded(tmp_path / "moving.mp4")
    assert facts["frames"] == 8
    heights = [centroid_of(moving[i], 1)[1] - centroid_of(frames[i], 1)[1] for i in range(8)]  # +Y is down
    assert max(abs(heights[0]), abs(heights[7] - heights[1])) < 1.5  # half a second on, half a second back
    assert np.argmax(heights) == 4
    assert heights[4] > heights[2] + 1 > heights[0] + 2


@pytest.mark.parametrize(
    ("angles", "seconds", "period", "times"),
    [
        ([0, 10, 20, 30], 5.0, 6.0, {0: 1.0, 2: 3.0, 4: 3.0, 5.5: 1.5}),  # it does not come back
        ([0, 90, 180, 270, 360], 5.0, 4.0, {0: 1.0, 3.9: 4.9, 4.1: 1.1}),  # a whole turn
        ([0, 50, 0, -50, -5], 5.0, 4.0, {3: 4.0, 5: 2.0}),  # nearly back, by less than a step
        (list(range(0, 3000, 10)), 5.0, 5.0, {0: 1.0, 2: 3.0, 4: 2.0}),  # too long for the video
    ],
)
def test_a_motion_loops_or_goes_back(balls_scene, angles, seconds, period, times):
    count, half = len(balls_scene.gaussians), np.radians(np.array(angles)) / 2
    quats = np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], -1).astype(np.float32)
    motion = Motion(
        key_times=1.0 + np.arange(len(angles), dtype=np.float64),
        bone_pivots=np.zeros((1, 3), np.float32),
        bone_quats=quats[None],
        bone_translations=np.zeros((1, len(angles), 3), np.float32),
        bone_indices=np.zeros((count, 4), np.int32),
        bone_weights=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
    )
    cycle = find_cycle(replace(balls_scene, motion=motion), seconds)
    assert cycle is not None
    assert cycle.period == pytest.approx(period)
    for shown, time in times.items():
        assert cycle.time_at(float(shown)) == pytest.approx(time)


def test_a_still_scene_is_converted_once(balls_scene, balls_views, tmp_path, monkeypatch):
    from img2world.render import splats

    scene = replace(balls_scene, supported=supported_region(balls_scene))
    convert, converted = splats.splats_from_gaussians, []
    monkeypatch.setattr(splats, "splats_from_gaussians", lambda *a, **k: converted.append(1) or convert(*a, **k))
    TurntableExport(seconds=0.5, fps=8.0, size=32).write(scene, balls_views, tmp_path / "turntable.mp4")
    assert len(converted) == 1


def test_the_elevation_of_the_circle_is_an_option(balls_scene):
    low, high = (TurntableExport(elevation_deg=deg).object_path(balls_scene, 8) for deg in (0.0, 30.0))
    assert np.ptp(low.centers_in_world[:, 1]) < 1e-5
    rise = low.centers_in_world[0, 1] - high.centers_in_world[0, 1]  # +Y is down
    radius = np.linalg.norm(high.centers_in_world[0] - high.centers_in_world.mean(0)) / np.cos(np.radians(30))
    assert rise == pytest.approx(radius / 2, rel=1e-3)


def test_the_circle_keeps_to_the_supported_elevations(balls_scene):
    region = replace(supported_region(balls_scene), elevation=(-0.1, 0.2))
    scene = replace(balls_scene, supported=region)
    for elevation_deg, supported in ((60.0, 0.2), (-60.0, -0.1), (5.0, np.radians(5))):
        path = TurntableExport(elevation_deg=elevation_deg).object_path(scene, 8)
        downward = np.arcsin(path.world_from_cam[:, 1, 2])  # +Y is down
        np.testing.assert_allclose(downward, supported, atol=1e-5)


def test_a_larger_rate_factor_gives_a_smaller_file(balls_scene, balls_views, tmp_path):
    fine, coarse = (
        TurntableExport(seconds=0.5, fps=8.0, size=96, crf=crf).write(balls_scene, balls_views, tmp_path / "a.mp4")
        for crf in (10, 40)
    )
    assert coarse["bytes"] < 0.7 * fine["bytes"]


@pytest.mark.parametrize("options", [{"seconds": 0.0}, {"size": 4}, {"elevation_deg": 90.0}])
def test_impossible_options_are_refused(balls_scene, balls_views, tmp_path, options):
    with pytest.raises(ExportError, match="cannot be made"):
        TurntableExport(**options).write(balls_scene, balls_views, tmp_path / "turntable.mp4")
