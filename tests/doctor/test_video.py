"""Faults put into rendered clips are found where they are, and clean clips have none."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere, orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.frames import Frames
from img2world.core.rotation import rotation_about
from img2world.doctor.findings import ranges, rejects
from img2world.doctor.video import examine_video
from img2world.video.synthetic import SyntheticVideo

SIZE, COUNT = 160, 20


def clip_of(poses: np.ndarray, kind: str, *, seed: int = 0, fov: float = 0.9) -> Frames:
    cameras = Cameras(
        world_from_cam=poses.astype(np.float32),
        intrinsics=np.repeat(intrinsics_from_fov(fov, SIZE, SIZE)[None], len(poses), 0),
        width=SIZE,
        height=SIZE,
    )
    return frames_of(SyntheticVideo(kind=kind).generate(None, cameras, seed=seed).rgb)


def frames_of(rgb: np.ndarray) -> Frames:
    return Frames(rgb=np.ascontiguousarray(rgb), times=np.arange(len(rgb)) / 16)


@pytest.fixture(scope="module")
def room() -> Frames:
    return clip_of(on_sphere(np.linspace(-0.5, 0.5, COUNT), np.full(COUNT, 0.2)), "room")


@pytest.fixture(scope="module")
def thing() -> Frames:
    return clip_of(orbit(COUNT, elevation=0.2), "object", fov=0.7)


def kinds(frames: Frames) -> dict[str, tuple[int, ...]]:
    return {finding.kind: finding.frames for finding in examine_video(frames)}


def test_clean_clips_are_clean(room, thing):
    assert kinds(room) == {}
    assert kinds(thing) == {}


def test_too_short(room):
    (finding,) = examine_video(frames_of(room.rgb[:2]))
    assert (finding.kind, finding.severity) == ("too short", "reject")


def test_cut(room, thing):
    assert kinds(frames_of(np.concatenate([room.rgb[:9], thing.rgb[:9]])))["cut"] == (9,)


def test_a_shot_of_like_colours_is_another_shot(room):
    other = clip_of(on_sphere(np.linspace(-0.5, 0.5, COUNT), np.full(COUNT, 0.2)), "room", seed=7).rgb[:9]
    even = (other - other.mean((0, 1, 2))) / other.std((0, 1, 2)) * room.rgb.std((0, 1, 2)) + room.rgb.mean((0, 1, 2))
    alike = np.clip(even, 0, 255).astype(np.uint8)
    assert kinds(frames_of(np.concatenate([room.rgb[:9], alike]))) == {"cut": (9,)}


def test_frozen_and_repeated(room):
    assert rejects(examine_video(frames_of(np.repeat(room.rgb[:1], 9, 0))))[0].kind == "frozen"
    rgb = room.rgb.copy()
    rgb[7] = rgb[6]
    assert kinds(frames_of(rgb)) == {"repeated": (7,)}


def test_mirrored_and_backwards(room):
    rgb = room.rgb.copy()
    rgb[8:12] = rgb[8:12, :, ::-1]
    assert kinds(frames_of(rgb))["mirrored"] == (8, 9, 10, 11)
    rgb = room.rgb.copy()
    rgb[6:16] = rgb[6:16][::-1]
    assert kinds(frames_of(rgb))["backwards"] == tuple(range(6, 16))


def test_flicker_letterbox_and_jump(room):
    gain = 1 + 0.15 * np.random.default_rng(0).normal(size=(COUNT, 1, 1, 1))
    assert "flicker" in kinds(frames_of(np.clip(room.rgb * gain, 0, 255).astype(np.uint8)))
    rgb = room.rgb.copy()
    rgb[:, :20] = rgb[:, -20:] = 3
    assert "letterbox" in kinds(frames_of(rgb))
    found = kinds(frames_of(np.concatenate([room.rgb[:6], room.rgb[12:]])))
    assert {*found} <= {"jump", "cut"}
    assert next(iter(found.values())) == (6,)


def test_cameras_without_parallax(room):
    poses = np.tile(np.eye(4), (16, 1, 1))
    poses[:, 2, 3] = -0.9
    for i in range(16):
        poses[i, :3, :3] = rotation_about(np.array([0.0, 1.0, 0.0]), 0.04 * i)
    assert {finding.kind for finding in rejects(examine_video(clip_of(poses, "room")))} == {"rotation only"}
    noise = np.random.default_rng(1).normal(0, 3, (12, SIZE, SIZE, 3))
    still = np.clip(np.repeat(room.rgb[:1], 12, 0) + noise, 0, 255).astype(np.uint8)
    assert {finding.kind for finding in rejects(examine_video(frames_of(still)))} == {"no motion"}


def test_a_front_that_comes_back_behind(thing):
    rgb = thing.rgb.copy()
    rgb[8:13] = rgb[[18, 19, 0, 1, 2]]
    assert "janus" in kinds(frames_of(rgb))


def test_photos_are_left_alone(room):
    assert examine_video(replace(room, ordered=False)) == []


def test_numbers_as_ranges():
    assert ranges((3, 4, 5, 9, 11, 12)) == "3-5, 9, 11-12"
