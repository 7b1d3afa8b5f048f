"""A part that moves by itself is told from noise, by points that are right by construction."""

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.poses.rigidity import moving_frames, moving_tracks
from img2world.poses.triangulation import rig_of
from img2world.tracking.tracks import Tracks

FRAMES, POINTS = 8, 400


def seen(*, moved: float, noise: float, lost: int = 0) -> tuple[Tracks, Cameras, np.ndarray]:
    """Points in sight of all cameras; those in one corner move by `moved` units in all, straight up."""
    cameras = Cameras(
        world_from_cam=on_sphere(np.radians(5) * np.arange(FRAMES), np.full(FRAMES, 0.2)),
        intrinsics=np.repeat(intrinsics_from_fov(0.8, 256, 256)[None], FRAMES, 0),
        width=256,
        height=256,
    )
    random = np.random.default_rng(0)
    points = np.repeat(random.uniform(-0.25, 0.25, (POINTS, 1, 3)), FRAMES, 1)
    part = (points[:, 0, 0] > 0.05) & (points[:, 0, 1] > 0.05)
    points[part, :, 1] -= moved * np.linspace(0, 1, FRAMES)
    rig = rig_of(cameras)
    in_cam = np.einsum("vij,pvj->pvi", rig.rotations, points) + rig.cam_from_world[:, :, 3]
    place = in_cam[..., :2] / in_cam[..., 2:] * rig.focal + rig.middle + random.normal(0, noise, (POINTS, FRAMES, 2))
    place[random.permutation(POINTS)[:lost], FRAMES // 2 :] += 12
    tracks = Tracks(
        frame=np.tile(np.arange(FRAMES), POINTS), place=place.reshape(-1, 2), starts=np.arange(POINTS) * FRAMES
    )
    return tracks, cameras, part


def test_a_part_that_moves_is_found():
    tracks, cameras, part = seen(moved=0.06, noise=0.5)
    found = moving_tracks(tracks, rig_of(cameras), 256)
    # Those at its rim have others beside them.
    assert found[part].mean() > 0.6
    assert found[~part].mean() < 0.05
    assert moving_frames(tracks, found, FRAMES) == tuple(range(FRAMES))


def test_noise_and_lost_points_do_not_move():
    for noise in (0.0, 0.5, 2.0):
        tracks, cameras, _ = seen(moved=0, noise=noise, lost=60)
        found = moving_tracks(tracks, rig_of(cameras), 256)
        assert found.mean() < 0.02
        assert moving_frames(tracks, found, FRAMES) == ()


def test_no_points():
    _, cameras, _ = seen(moved=0, noise=0)
    none = Tracks(frame=np.zeros(0, np.int64), place=np.zeros((0, 2)), starts=np.zeros(0, np.int64))
    assert len(moving_tracks(none, rig_of(cameras), 256)) == 0
