"""COLMAP on rendered rooms with known cameras, and the steps around it on made-up models."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.rotation import matrix_from_quat
from img2world.core.views import Views
from img2world.poses.colmap import ColmapPoses, Found, good_points, to_our_world
from img2world.poses.colmap_process import describe, image_pairs
from img2world.video.synthetic import SyntheticVideo


def arc(num_views: int = 6, width: int = 200, height: int = 150) -> Cameras:
    """Cameras 6 degrees apart on a sphere, the first at azimuth 0."""
    azimuths = np.deg2rad(6.0) * np.arange(num_views)
    return Cameras(
        world_from_cam=on_sphere(azimuths, 0.1 * np.sin(3 * azimuths)),
        intrinsics=np.repeat(intrinsics_from_fov(np.deg2rad(60.0), width, height)[None], num_views, 0),
        width=width,
        height=height,
    )


@pytest.fixture(scope="module")
def frames() -> Frames:
    """A rendered room that does not tell its cameras, with a last frame that shows something else."""
    rendered = SyntheticVideo(kind="room").generate(None, arc(), seed=3)
    noise = np.random.default_rng(0).integers(0, 255, (1, *rendered.rgb.shape[1:]), dtype=np.uint8)
    return Frames(rgb=np.concatenate([rendered.rgb, noise]), times=np.arange(7.0))


@pytest.fixture(scope="module")
def views(frames: Frames) -> Views:
    reports = []
    views = ColmapPoses().estimate(
        frames, None, progress=lambda done, total, **quality: reports.append((done, quality))
    )
    assert reports[-1][1]["placed"] == pytest.approx(6 / 7)
    assert reports[-1][1]["error"] < 1
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    return views


def test_cameras_are_found_and_the_odd_frame_is_left_out(views, frames):
    truth = arc()
    assert np.array_equal(views.rgb, frames.rgb[:6])  # Without distortion not a bit changes.
    found = views.cameras
    assert np.allclose(found.world_from_cam[0, :3, :3], np.eye(3), atol=1e-6)
    assert np.allclose(found.centers_in_world[0], [0, 0, -1], atol=1e-6)
    wanted = truth.world_from_cam[0, :3, :3].T @ truth.world_from_cam[:, :3, :3]
    turned = np.einsum("vji,vjk->vik", wanted, found.world_from_cam[:, :3, :3])
    angles = np.rad2deg(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angles.max() < 0.5
    # Half a degree of focal length and turn go together; positions are compared up to scale.
    steps = found.centers_in_world[1:] - found.centers_in_world[0]
    wanted_steps = (truth.centers_in_world[1:] - truth.centers_in_world[0]) @ truth.world_from_cam[0, :3, :3]
    scale = np.linalg.norm(wanted_steps) / np.linalg.norm(steps)
    assert np.linalg.norm(scale * steps - wanted_steps, axis=1).max() < 0.02 * np.linalg.norm(wanted_steps[-1])
    assert found.intrinsics[0, 0, 0] == pytest.approx(truth.intrinsics[0, 0, 0], rel=0.03)
    # All look at the origin, so that is what is 1 unit away.
    assert scale == pytest.approx(1, rel=0.03)


def test_points_have_the_colours_that_the_views_show(views):
    assert len(views.points) > 100
    assert ((views.confidence > 0.3) & (views.confidence <= 1)).all()
    points_in_cam = views.points @ views.cameras.cam_from_world[0, :3, :3].T + views.cameras.cam_from_world[0, :3, 3]
    pixels = points_in_cam @ views.cameras.intrinsics[0].T
    column, row = (pixels[:, :2] / pixels[:, 2:]).astype(int).T
    inside = (column >= 0) & (column < 200) & (row >= 0) & (row < 150) & (points_in_cam[:, 2] > 0)
    assert inside.sum() > 50
    shown = views.rgb[0, row[inside], column[inside]].astype(int)
    assert np.median(np.abs(shown - views.point_colors[inside])) < 15


def test_two_runs_give_the_same_bits(frames):
    few = replace(frames, rgb=frames.rgb[:4], times=frames.times[:4])
    a, b = (ColmapPoses(max_features=2000).estimate(few, None, seed=4) for _ in range(2))
    for name in ("rgb", "confidence", "points", "point_colors"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert np.array_equal(a.cameras.world_from_cam, b.cameras.world_from_cam)
    assert np.array_equal(a.cameras.intrinsics, b.cameras.intrinsics)


def sampled(picture: np.ndarray, rays: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """The nearest pixels of a picture along rays [H, W, 2] at z = 1."""
    pixels = rays * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
    column, row = np.moveaxis(np.floor(pixels).astype(int), -1, 0)
    return picture[row.clip(0, picture.shape[0] - 1), column.clip(0, picture.shape[1] - 1)].astype(int)


def test_radial_distortion_is_undone():
    """Pictures bent by a known lens come back straight."""
    truth = arc(5)
    k1, intrinsics = 0.3, truth.intrinsics[0].astype(np.float64)
    rendered = SyntheticVideo(kind="room").generate(None, truth, seed=3)
    row, column = np.mgrid[: truth.height, : truth.width]
    rays = (np.stack([column, row], -1) + 0.5 - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]  # [H, W, 2]
    straight = rays
    for _ in range(50):  # A fixed point of rays = straight (1 + k1 r²), COLMAP's model RADIAL.
        straight = rays / (1 + k1 * (straight**2).sum(-1, keepdims=True))
    bent = np.stack([sampled(picture, straight, intrinsics) for picture in rendered.rgb]).astype(np.uint8)
    # Photos, as they are not ordered: then a lens with radial distortion is assumed.
    views = ColmapPoses(max_features=1000).estimate(Frames(rgb=bent, times=rendered.times, ordered=False), None)
    assert len(views) == 5

    def straightness(picture: np.ndarray) -> float:
        """Least difference to the true picture at any focal length, which a short arc leaves open."""
        zoomed = [sampled(rendered.rgb[0], rays * zoom, intrinsics) for zoom in np.linspace(0.85, 1.15, 61)]
        return float(np.abs(picture.astype(int) - zoomed).mean((1, 2, 3)).min())

    assert straightness(views.rgb[0]) < 0.6 * straightness(bent[0])


def test_refused_without_texture():
    frames = Frames(rgb=np.full((5, 120, 160, 3), 128, np.uint8), times=np.arange(5.0))
    with pytest.raises(PoseError, match="placed none of 5 frames") as caught:
        ColmapPoses().estimate(frames, None)
    assert caught.value.hint


def test_refused_when_too_few_are_placed_or_given(frames):
    few = replace(frames, rgb=frames.rgb[:4], times=frames.times[:4])
    with pytest.raises(PoseError, match="there are 4 frames, COLMAP needs at least 5"):
        ColmapPoses(min_views=5).estimate(few, None)
    # Three views and three pictures of nothing.
    rgb = np.concatenate([frames.rgb[:3], np.full_like(frames.rgb[:3], 128)])
    with pytest.raises(PoseError, match="COLMAP placed 3 of 6 frames, needs at least 5"):
        ColmapPoses(min_views=5, max_features=2400).estimate(Frames(rgb=rgb, times=np.arange(6.0)), None)


def test_time_limit(frames):
    with pytest.raises(PoseError, match=r"longer than 0\.1 seconds"):
        ColmapPoses(time_limit=0.1).estimate(frames, None)


def test_image_pairs():
    assert len(image_pairs(10, True, 40)) == 45
    assert len(image_pairs(60, False, 40)) == 60 * 59 // 2
    pairs = image_pairs(60, True, 40)
    assert len(pairs) == len(set(pairs)) < 600
    assert {(3, 4), (3, 11), (0, 54)} <= set(pairs)
    assert (3, 20) not in pairs


def found_model(*, converging: bool = True) -> Found:
    """Five cameras around (or beside) a cloud, in a turned world of another scale."""
    random = np.random.default_rng(1)
    truth = arc(5).world_from_cam.astype(np.float64)
    if not converging:
        truth[:, :3, :3] = np.eye(3)
        truth[:, :3, 3] = np.array([0.0, 0, -1]) + np.outer(np.arange(5), [0.1, 0, 0])
    points = random.normal(size=(200, 3)) * 0.2
    turn, shift, scale = matrix_from_quat(random.normal(size=4)), random.normal(size=3), 3.7
    centers = scale * truth[:, :3, 3] @ turn.T + shift
    rotations = truth[:, :3, :3].transpose(0, 2, 1) @ turn.T
    return Found(
        placed=np.arange(5),
        cam_from_world=np.concatenate([rotations, -rotations @ centers[:, :, None]], -1),
        observations=np.full(5, 200),
        view_errors=np.full(5, 0.5),
        points=scale * points @ turn.T + shift,
        point_colors=np.zeros((200, 3), np.uint8),
        point_errors=np.full(200, 0.5),
        track_lengths=np.full(200, 5),
        in_first=np.ones(200, bool),
        intrinsics=np.diag([200.0, 200, 1]),
        places=np.zeros((0, 0, 2), np.float32),
        track_frame=np.zeros(0, np.int64),
        track_place=np.zeros((0, 2)),
        track_starts=np.zeros(0, np.int64),
    )


@pytest.mark.parametrize("converging", [True, False])
def test_world_is_turned_moved_and_scaled_back(converging):
    found = found_model(converging=converging)
    world_from_cam, points = to_our_world(found)
    assert np.allclose(world_from_cam[0], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]], atol=1e-9)
    if converging:
        assert np.allclose(world_from_cam, arc(5).world_from_cam, atol=1e-5)
    else:
        assert np.median(points[:, 2]) == pytest.approx(0, abs=1e-9)
        assert np.allclose(world_from_cam[:, :3, :3], np.eye(3), atol=1e-9)


def test_model_without_points_is_refused_in_one_line():
    """COLMAP's own reconstruction of two frames that share nothing: its lists are empty."""
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(model="SIMPLE_PINHOLE", width=64, height=48, params=[60, 32, 24], camera_id=1)
    )
    for i in range(2):
        keypoints = np.zeros((0, 2))
        image = pycolmap.Image(name=f"{i:04d}.png", camera_id=1, image_id=i + 1, keypoints=keypoints)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    described = describe(model)
    for name in ("placed", "in_first", "track_lengths", "point_errors"):
        assert described[name].dtype == getattr(found_model(), name).dtype, name
    found = Found(intrinsics=np.eye(3), places=np.zeros((0, 0, 2), np.float32), **described)
    with pytest.raises(PoseError, match="the first frame sees no point"):
        to_our_world(found)


def test_bad_points_are_dropped():
    found = found_model()
    errors, lengths, points = found.point_errors.copy(), found.track_lengths.copy(), found.points.copy()
    errors[3], lengths[5] = 2.5, 2
    _, world = to_our_world(found)
    world[7] = [50, 0, 0]
    good = good_points(replace(found, point_errors=errors, track_lengths=lengths, points=points), world)
    assert np.flatnonzero(~good).tolist() == [3, 5, 7]
