import json
from functools import cache

import numpy as np
import pytest
from skimage import data

from img2world.core.camera_paths import dynamic_orbit, orbit
from img2world.core.cameras import transforms_from_cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import CameraError
from img2world.core.image import Image
from img2world.core.metric import up_direction
from img2world.core.subject import SceneGeometry, Subject
from img2world.layered.object_layers import object_camera
from img2world.layered.revolution import Revolution
from img2world.layered.solids import up_in_cam
from img2world.layered.subject import AutoSubject
from img2world.trajectory.paths import (
    ArcTrajectory,
    AutoTrajectory,
    DollyTrajectory,
    DynamicOrbitTrajectory,
    FileTrajectory,
    OrbitTrajectory,
    SpiralTrajectory,
)


@cache
def cut_out() -> Subject:
    alpha = np.zeros((80, 60), np.uint8)
    alpha[20:60, 20:40] = 255
    return AutoSubject().find(Image(rgb=np.full((80, 60, 3), 90, np.uint8), alpha=alpha))


def test_auto_orbits_objects_and_arcs_before_scenes(photo_subject):
    around = AutoTrajectory(size=96, upright=False).cameras(cut_out())
    before = AutoTrajectory(size=96).cameras(photo_subject("coffee"))
    assert around.centers_in_world[:, 2].max() > 0.9
    assert before.centers_in_world[:, 2].max() < -0.9
    assert (around.width, around.height) == (96, 96)
    assert (before.width, before.height) == (96, 64)


@cache
def can(elevation: float) -> Subject:
    """A can with two hoops, lit from the left, seen from above by an angle."""
    size = 256
    camera = object_camera(size)
    heights = np.linspace(-0.15, 0.15, 60)
    radii = np.where(np.abs(np.abs(heights) - 0.1) < 0.012, 0.108, 0.1)
    near, _ = Revolution(elevation=elevation, heights=heights, radii=radii).depths(camera)
    hit = np.isfinite(near)
    x = (np.arange(size) + 0.5 - size / 2) / camera.intrinsics[0, 0, 0]
    side = np.broadcast_to(x / 0.11, (size, size))
    light = 0.35 + 0.6 * np.clip(0.5 - 0.7 * side, 0, 1)
    rows = (np.arange(size) + 0.5 - size / 2)[:, None] / camera.intrinsics[0, 0, 0] * np.nan_to_num(near)
    up = up_in_cam(elevation)
    height = rows * up[1] + (np.nan_to_num(near) - INPUT_DISTANCE) * up[2]
    light = np.where(height > 0.135, 0.95, light)  # its lid
    rgb = (light[..., None] * (200, 120, 80)).clip(0, 255).astype(np.uint8)
    white = np.where(hit[..., None], rgb, 255).astype(np.uint8)
    return AutoSubject().find(Image(rgb=white, alpha=np.where(hit, 255, 0).astype(np.uint8)))


@pytest.mark.parametrize("path", [OrbitTrajectory, DynamicOrbitTrajectory, AutoTrajectory])
def test_a_path_around_an_object_that_is_seen_from_above_turns_about_its_own_vertical(path):
    true = np.radians(20.0)
    cameras = path(size=128, num_views=12).cameras(can(true))
    np.testing.assert_allclose(cameras.world_from_cam[0, :3, :3], np.eye(3), atol=1e-5)  # begins with the photo
    np.testing.assert_allclose(cameras.centers_in_world[0], (0, 0, -INPUT_DISTANCE), atol=1e-5)
    assert np.degrees(np.arccos(up_direction(cameras) @ up_in_cam(true))) < 8
    leaning = path(size=128, num_views=12, upright=False).cameras(can(true))
    poses = dynamic_orbit(12, amplitude=np.radians(20)) if path is DynamicOrbitTrajectory else orbit(12)
    np.testing.assert_allclose(leaning.world_from_cam, poses, atol=1e-6)


def test_a_circle_may_be_higher_than_the_photo():
    subject = can(np.radians(20.0))
    low, high = (OrbitTrajectory(size=128, elevation_deg=deg, num_views=12).cameras(subject) for deg in (0.0, 25.0))
    up = up_direction(low)
    heights = [cameras.centers_in_world.astype(float) @ up for cameras in (low, high)]
    assert all(np.ptp(each) < 1e-4 for each in heights)
    assert np.degrees(np.arcsin(heights[1][0]) - np.arcsin(heights[0][0])) == pytest.approx(25, abs=0.1)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (ArcTrajectory(max_degrees=3.0), ArcTrajectory(max_degrees=6.0)),
        (SpiralTrajectory(degrees=3.0), SpiralTrajectory(degrees=6.0)),
        (DollyTrajectory(distance=0.1), DollyTrajectory(distance=0.2)),
        (
            DynamicOrbitTrajectory(amplitude_deg=3.0, upright=False),
            DynamicOrbitTrajectory(amplitude_deg=6.0, upright=False),
        ),
    ],
)
def test_the_extent_of_a_path_is_an_option(narrow, wide):
    """Twice the angle or distance is a range about twice as large along the axis that it changes."""
    ranges = [np.ptp(backend.cameras(cut_out()).centers_in_world, axis=0) for backend in (narrow, wide)]
    axis = {DollyTrajectory: 2, DynamicOrbitTrajectory: 1}.get(type(narrow), 0)
    assert ranges[1][axis] == pytest.approx(2 * ranges[0][axis], rel=0.02)


def test_arc_narrows_when_less_may_be_unseen(photo_subject):
    subject = photo_subject("astronaut")
    wide, narrow = (ArcTrajectory(size=64, max_unseen=share).supported_degrees(subject) for share in (0.15, 0.05))
    assert 2 <= narrow < wide <= 15
    assert ArcTrajectory(size=64, max_degrees=1.0).supported_degrees(subject) == 1.0


def test_arc_narrows_when_less_may_be_stretched(photo_subject):
    subject = photo_subject("astronaut")
    wide, narrow = (
        ArcTrajectory(size=64, max_unseen=1.0, max_stretched=fraction).supported_degrees(subject)
        for fraction in (0.1, 0.02)
    )
    assert 2 <= narrow < wide


def test_a_flat_scene_may_be_looked_at_from_farther_aside_than_a_deep_one():
    y, x = np.mgrid[:48, :64] / 64
    rgb = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    flat, deep = (
        Subject(
            image=Image(rgb=rgb),
            alpha=None,
            reason="",
            geometry=SceneGeometry(inverse_depth=depth.astype(np.float32), sky=np.zeros((48, 64), np.float32)),
        )
        for depth in (1 + 0.2 * y, 0.3 + 3 * np.abs(x - 0.5) + 2 * np.maximum(y - 0.4, 0))
    )
    path = ArcTrajectory(size=64)
    assert 2 < path.supported_degrees(deep) < path.supported_degrees(flat)
    assert path.supported_degrees(flat) == 25


def test_exif_focal_length_is_used_for_scenes():
    subject = AutoSubject(model="none").find(Image(rgb=data.coffee()[::4, ::4], focal=225.0))
    camera = DollyTrajectory(size=75).cameras(subject)
    assert camera.intrinsics[0, 0, 0] == pytest.approx(112.5)  # 150 pixels wide, shown at 75


@pytest.mark.parametrize(
    "backend",
    [
        OrbitTrajectory(size=8, upright=False),
        OrbitTrajectory(num_views=1, upright=False),
        OrbitTrajectory(elevation_deg=95.0),
        OrbitTrajectory(elevation_deg=-100.0, upright=False),
        DynamicOrbitTrajectory(amplitude_deg=88.0, upright=False),
        FileTrajectory(),
    ],
)
def test_impossible_options_are_refused(backend):
    with pytest.raises(CameraError) as caught:
        backend.cameras(cut_out())
    assert caught.value.hint


@pytest.mark.parametrize("change", [{"w": 10**9}, {"w": float("inf")}, {"w": 32, "h": 32}, {"frames": 1}])
def test_camera_file_of_impossible_frames_is_refused(tmp_path, change):
    cameras = OrbitTrajectory(size=64, num_views=3, upright=False).cameras(cut_out())
    table = transforms_from_cameras(cameras, [""] * 3)
    table |= {"frames": table["frames"][:1]} if "frames" in change else change
    (tmp_path / "path.json").write_text(json.dumps(table))
    with pytest.raises(CameraError) as caught:
        FileTrajectory(path=tmp_path / "path.json").cameras(cut_out())
    assert caught.value.hint


def test_an_orbit_around_a_scene_is_refused():
    scene = AutoSubject(kind="scene", model="none").find(Image(rgb=data.coffee()[::4, ::4]))
    for path in (OrbitTrajectory(size=64), DynamicOrbitTrajectory(size=64, upright=False)):
        with pytest.raises(CameraError, match="an orbit goes around an object") as caught:
            path.cameras(scene)
        assert "subject.kind=object" in caught.value.hint
    as_object = AutoSubject(kind="object", model="none").find(Image(rgb=data.coffee()[::4, ::4]))
    assert len(OrbitTrajectory(size=64, num_views=5).cameras(as_object)) == 5
