"""The figures of worlds made of Gaussians on known surfaces."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from img2world.core.camera_paths import arc, orbit
from img2world.core.cameras import Cameras
from img2world.core.frames import Frames
from img2world.core.gaussians import Gaussians
from img2world.core.image import Image
from img2world.core.rotation import quat_from_matrix
from img2world.core.scene import Scene
from img2world.core.sh import dc_from_rgb
from img2world.core.subject import ObjectGeometry, SceneGeometry, Subject
from img2world.layered.object_layers import object_camera
from img2world.layered.scene_layers import scene_camera
from img2world.quality.figures import measure_quality, origin_fractions, photo_in_frame, starts_at_photo
from img2world.render import render

SIZE = 160


def discs(points: np.ndarray, normals: np.ndarray, rgb: np.ndarray, size: float) -> Gaussians:
    side = np.cross(np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]), normals)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    quats = quat_from_matrix(np.stack([side, np.cross(normals, side), normals], -1))
    return Gaussians(
        means=points.astype(np.float32),
        quats=quats.astype(np.float32),
        log_scales=np.log(np.tile([size, size, 0.1 * size], (len(points), 1))).astype(np.float32),
        logit_opacities=np.full(len(points), 4.0, np.float32),
        sh=dc_from_rgb(rgb)[:, None].astype(np.float32),
    )


def striped_wall(wave: float) -> Gaussians:
    """Return a wall that shows upright stripes to the first camera, flat or waved from top to bottom."""
    camera = scene_camera(Image(rgb=np.zeros((SIZE, SIZE, 3), np.uint8)), SIZE)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-1, 1, 300), np.linspace(-1, 1, 300)))
    depth = 1 + wave * np.sin(8 * np.pi * y)
    half = SIZE / 2 / camera.intrinsics[0, 0, 0]
    points = np.stack([1.5 * half * x * depth, 1.5 * half * y * depth, depth - 1], -1)
    rgb = np.where(np.sin(12 * np.pi * x) > 0, 0.85, 0.2)[:, None] * np.ones(3)
    return discs(points, np.tile([0.0, 0, -1], (len(x), 1)), rgb, 0.006 * half)


def world_of(gaussians: Gaussians, poses: np.ndarray, first: Cameras, *, is_object: bool) -> Scene:
    cameras = Cameras(
        world_from_cam=poses,
        intrinsics=np.repeat(first.intrinsics, len(poses), 0),
        width=first.width,
        height=first.height,
    )
    return Scene(gaussians=gaussians, cameras=cameras, background=(1.0, 1.0, 1.0), is_object=is_object)


def photo_of(scene: Scene) -> np.ndarray:
    return np.rint(255 * render(scene.gaussians, scene.cameras.select([0]), background=scene.background).rgb[0])


def frames_of(scene: Scene, **maps: Any) -> Frames:
    shape = (len(scene.cameras), scene.cameras.height, scene.cameras.width)
    return Frames(rgb=np.zeros((*shape, 3), np.uint8), times=np.arange(len(scene.cameras), dtype=float), **maps)


def scene_subject(rgb: np.ndarray) -> Subject:
    geometry = SceneGeometry(inverse_depth=np.ones((8, 8), np.float32), sky=None)
    return Subject(image=Image(rgb=rgb.astype(np.uint8)), alpha=None, reason="", geometry=geometry)


@pytest.fixture(scope="module")
def flat() -> Scene:
    camera = scene_camera(Image(rgb=np.zeros((SIZE, SIZE, 3), np.uint8)), SIZE)
    poses = arc(16, half_azimuth=0.2, half_elevation=0.05)
    return world_of(striped_wall(0.0), poses, camera, is_object=False)


def test_a_flat_wall_is_true_to_its_photo_straight_and_without_parallax(flat):
    figures = measure_quality(flat, scene_subject(photo_of(flat)), frames_of(flat))
    assert figures["fidelity"] > 45
    assert figures["detail"] == pytest.approx(1, abs=0.05)
    # Opaque Gaussians, drawn by the order of their centers, shift the stripes by a pixel from the side.
    assert figures["nearby"] > 15
    assert figures["bending"] < 0.004
    assert figures["wobble"] < 0.1
    assert figures["parallax"] < 0.003
    # The wall goes on beside the photo, where a turn of 0.2 shows more of it.
    assert 0.01 < figures["unseen"] < 0.3
    assert "invented" not in figures
    assert "thickness" not in figures
    assert all(np.isfinite(value) for value in figures.values())


def test_a_waved_wall_bends_the_stripes_and_another_photo_is_not_met(flat):
    scene = replace(flat, gaussians=striped_wall(0.15))
    photo = photo_of(scene)
    waved = measure_quality(scene, scene_subject(photo), frames_of(scene))
    straight = measure_quality(flat, scene_subject(photo_of(flat)), frames_of(flat))
    # A depth of 1 ± 0.15 moves by 0.2 f (1 / 0.85 - 1 / 1.15) against its surroundings, about 0.05 of the width.
    assert 0.01 < waved["bending"] < 0.06
    assert waved["bending"] > 4 * straight["bending"]
    assert waved["wobble"] > straight["wobble"] + 0.3
    assert waved["parallax"] > 5 * straight["parallax"]
    other = measure_quality(scene, scene_subject(255 - photo), frames_of(scene))
    assert other["fidelity"] < 10


def ball(back: float) -> Gaussians:
    """Return a ball with stripes whose contrast behind is a fraction of that in front."""
    i = np.arange(9000) + 0.5
    z, angle = 1 - 2 * i / 9000, np.pi * (1 + 5**0.5) * i
    normals = np.stack([np.sqrt(1 - z * z) * np.cos(angle), z, np.sqrt(1 - z * z) * np.sin(angle)], -1)
    contrast = np.where(normals[:, 2] < 0, 0.3, 0.3 * back)
    rgb = (0.45 + contrast * np.sign(np.sin(12 * np.pi * normals[:, 1])))[:, None] * np.ones(3)
    return discs(0.2 * normals, normals, rgb, 0.005)


@pytest.mark.parametrize("back", [0.0, 1.0])
def test_a_ball_is_as_thick_as_wide_and_its_back_is_compared_with_its_front(back):
    scene = world_of(ball(back), orbit(16), object_camera(SIZE), is_object=True)
    rgb = photo_of(scene)
    alpha = np.where(np.hypot(*(np.indices((SIZE, SIZE)) - 79.5)) < 0.2 * scene.cameras.intrinsics[0, 0, 0], 255, 0)
    small = np.zeros((8, 8), np.float32)
    geometry = ObjectGeometry(
        front=small, thickness=small, predicted_error=small, symmetry_planes=np.zeros(37, np.float32), elevation=0.0
    )
    image = Image(rgb=rgb.astype(np.uint8))
    subject = Subject(image=image, alpha=alpha.astype(np.uint8), reason="", geometry=geometry)
    figures = measure_quality(scene, subject, frames_of(scene))
    assert figures["thickness"] == pytest.approx(1, abs=0.05)
    contrast = measure_quality(replace(scene, gaussians=ball(0.0)), subject, frames_of(scene))["plain_back"]
    assert figures["plain_back"] == pytest.approx((1 - back) * contrast, abs=0.01)
    assert contrast > 0.05
    # After a turn of 45°, 1 - (1 + cos 45°) / 2 of the disc was hidden.
    assert figures["unseen"] == pytest.approx(0.146, abs=0.04)


def test_origins_are_counted_where_they_are_seen(flat):
    seen = np.full((16, SIZE, SIZE), 2, np.uint8)
    seen[3, :40], seen[3, 40:48] = 1, 0
    assert origin_fractions(frames_of(flat, seen=seen), [3]) == pytest.approx({"continued": 0.25, "invented": 0.05})
    assert origin_fractions(frames_of(flat), [3]) == {}
    # Of an object, all views count, without what is beside it.
    alpha = np.zeros_like(seen)
    alpha[:, :80] = 255
    seen[:] = 0
    seen[:, :60] = 2
    fractions = origin_fractions(frames_of(flat, seen=seen, alpha=alpha), [3])
    assert fractions == pytest.approx({"continued": 0, "invented": 0.25})


def test_a_photo_of_other_proportions_is_cropped_around_the_middle(flat):
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[:, 50:150] = 255
    picture, mask = photo_in_frame(scene_subject(wide), flat.cameras, (0.0, 0.0, 0.0))
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.min() == 1
    assert mask.all()
    # Frames have even sides, for which nothing is cropped.
    odd = np.zeros((99, 100, 3), np.uint8)
    odd[0] = 255
    assert photo_in_frame(scene_subject(odd), flat.cameras, (0.0, 0.0, 0.0))[0][0].max() > 0.5


def test_a_path_from_a_file_need_not_start_at_the_photo(flat):
    subject = scene_subject(photo_of(flat))
    assert starts_at_photo(flat.cameras, subject)
    assert not starts_at_photo(flat.cameras.select(slice(4, 9)), subject)


def test_a_blank_photo_has_no_figures(flat):
    subject = scene_subject(np.full_like(photo_of(flat), 128))
    assert measure_quality(flat, subject, frames_of(flat)) == {}
