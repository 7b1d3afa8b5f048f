from dataclasses import replace

import cv2
import numpy as np
import pytest

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.layered.build import build_layers
from img2world.layered.layers import INVENTED, SEEN, LayeredImage
from img2world.layered.object_layers import (
    MAX_ELEVATION,
    MAX_RIM_SLOPE,
    OBJECT_FRACTION,
    CutOut,
    bevel,
    blend_at_rim,
    camera_elevation,
    colors_behind,
    cut_out,
    object_camera,
    shell_layers,
    signed_distance,
)
from img2world.layered.subject import AutoSubject
from img2world.layered.warp import Warper


def bar(size: int, width: float, slope: float) -> np.ndarray:
    """Alpha of a slanted bar from edge to edge, each pixel covered as far as the bar covers it."""
    fine = (np.arange(8 * size) + 0.5) / 8 - size / 2
    across = (fine[:, None] - slope * fine[None]) / np.hypot(1, slope)
    cover = (np.abs(across) < width / 2).astype(np.float32)
    return cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("radius", [20.0, 20.3, 20.7])
def test_distance_from_an_outline_is_known_between_pixels(radius):
    y, x = np.mgrid[:64, :64] + 0.5 - 32
    away = radius - np.hypot(x, y)
    distance = signed_distance(np.clip(away + 0.5, 0, 1).astype(np.float32))
    near = np.abs(away) < 12
    np.testing.assert_allclose(distance[near], away[near], atol=0.25)
    assert abs(float((distance - away)[near].mean())) < 0.05


@pytest.mark.parametrize("slope", [0.0, 0.13, 0.4, 0.9])
def test_a_thin_slanted_leg_has_no_beads(slope):
    alpha = bar(96, 3.4, slope)
    half = bevel(np.full(alpha.shape, 9, np.float32), alpha, 8.0)
    along = half.max(0)[24:72]  # the thickest of each column
    assert along.std() < 0.08 * along.mean()


@pytest.mark.parametrize("slope", [0.13, 0.4])
def test_a_thin_slanted_leg_has_smooth_sides_and_no_slit(slope):
    size = 96
    camera, alpha = object_camera(size), bar(size, 4.4, slope).T.copy()
    frame = INPUT_DISTANCE * size / float(camera.intrinsics[0, 0, 0])
    depth = np.full(alpha.shape, INPUT_DISTANCE, np.float32)
    half = bevel(np.full(alpha.shape, 2.2, np.float32), alpha, MAX_RIM_SLOPE) * np.float32(frame / size)
    rgb = np.full((size, size, 3), 0.5, np.float32)
    layers = shell_layers(CutOut(rgb=rgb, alpha=alpha), depth, half, rgb, camera)
    beside = Cameras(world_from_cam=orbit(4)[1][None], intrinsics=camera.intrinsics, width=size, height=size).resized(
        4 * size, 4 * size
    )
    solid = Warper(LayeredImage(layers=layers, is_object=True)).draw(beside).alpha[120:-120] > 0.5
    widths = solid.sum(1)
    assert 0.6 * 4.4 < widths.mean() / 4 < 1.2 * 4.4
    assert widths.std() < 0.12 * widths.mean()
    assert all(np.ptp(np.flatnonzero(row)) + 1 == row.sum() for row in solid)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("margin", [0, 6])
def test_back_of_a_cut_out_that_fills_its_picture_has_colors(margin):
    alpha = np.zeros((96, 96), np.float32)
    alpha[:, margin : 96 - margin] = 1
    rgb = np.random.default_rng(0).random((96, 96, 3), np.float32)
    behind = colors_behind(CutOut(rgb=rgb, alpha=alpha))
    assert np.isfinite(behind).all()
    assert abs(behind.mean() - rgb.mean()) < 0.05


def test_object_is_the_photo_in_front_and_closed_all_around(ball):
    cut = cut_out(ball.subject.image, ball.subject.alpha, 96)
    poses = orbit(6)
    front = ball.look(poses[0])
    inside = cv2.erode((cut.alpha > 0.5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert np.abs(front.rgb - cut.rgb)[inside].mean() < 0.02
    assert (front.seen[inside] == SEEN).all()
    for pose in poses:
        seen = ball.look(pose)
        solid = (seen.alpha > 0.5).astype(np.uint8)
        count, _ = cv2.connectedComponents(1 - solid, connectivity=4)
        assert count == 2  # the background and the object: no hole and no slit
        assert solid[0].max() == solid[-1].max() == solid[:, 0].max() == solid[:, -1].max() == 0
    back = ball.look(poses[3])
    assert (back.seen[back.alpha == 1] == INVENTED).mean() > 0.96  # front and back cross at the outline
    mirrored = front.alpha[:, ::-1]
    # Seen from behind, perspective makes the outline differ by a pixel or two, the more the less flat the shape is.
    assert (np.abs(back.alpha - mirrored) > 0.5).mean() < 0.04


def test_depth_is_where_the_surface_is(ball):
    front, back = ball.look(orbit(4)[0]), ball.look(orbit(4)[2])
    assert front.depth[48, 48] + back.depth[48, 48] < 2  # the shape has a thickness
    assert front.depth[48, 48] == pytest.approx(back.depth[48, 48], abs=0.02)
    assert front.depth[0, 0] == 0


def test_back_has_the_rims_colors_at_their_height_and_no_features(shapes):
    inside = shapes.disc(160, 60)
    upper = np.mgrid[:160, :160][0] < 80
    rgb = np.where(upper[..., None], (40, 160, 60), (150, 80, 30)).astype(np.uint8)
    rgb[shapes.disc(160, 25)] = (20, 40, 250)  # a face, say
    picture = Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255)
    layered = build_layers(AutoSubject().find(picture), 96)
    back = layered.layers[1].texture * 255
    assert back[..., 2].max() < 75  # nothing of the face
    for row, color in ((25, (40, 160, 60)), (48 + 23, (150, 80, 30))):
        np.testing.assert_allclose(back[row, 30:66], np.broadcast_to(color, (36, 3)), atol=12)


def test_the_picture_in_a_frame_is_not_on_its_back():
    inside = np.zeros((160, 160), bool)
    inside[20:140, 20:140] = True
    rgb = np.full((160, 160, 3), (90, 60, 40), np.uint8)
    rgb[30:130, 30:130] = (60, 120, 220)  # the picture
    picture = Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255)
    back = build_layers(AutoSubject().find(picture), 96).layers[1].texture * 255
    np.testing.assert_allclose(back[30:66, 30:66], np.broadcast_to((90, 60, 40), (36, 36, 3)), atol=12)


def test_hoops_continue_behind():
    inside = np.zeros((160, 160), bool)
    inside[20:140, 35:125] = True
    hoops = (np.mgrid[:160, :160][0] // 20) % 2 == 0
    rgb = np.where(hoops[..., None], (200, 40, 30), (230, 230, 230)).astype(np.uint8)
    picture = Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255)
    back = build_layers(AutoSubject().find(picture), 96).layers[1].texture * 255
    middle = back[24:72, 48, 1]  # two hoops and what is between them
    assert np.ptp(middle) > 0.75 * 190


def test_front_and_back_have_the_same_colors_where_they_meet():
    inside = np.zeros((96, 96), np.float32)
    inside[20:76, 20:76] = 1
    rgb = np.random.default_rng(0).random((96, 96, 3), np.float32)
    behind = np.zeros_like(rgb)
    blended = blend_at_rim(behind, CutOut(rgb=rgb, alpha=inside))
    np.testing.assert_array_equal(blended[inside == 0], rgb[inside == 0])
    rim = (slice(30, 66), 20)
    assert np.abs(blended[rim] - rgb[rim]).max() < 0.35
    np.testing.assert_array_equal(blended[30:66, 30:66], behind[30:66, 30:66])


@pytest.mark.parametrize(("height", "width"), [(40, 90), (110, 30), (60, 60)])
def test_cut_out_is_centered_and_fills_its_fraction_of_the_frame(height, width):
    alpha = np.zeros((130, 120), np.uint8)
    alpha[11 : 11 + height, 7 : 7 + width] = 255
    rgb = np.zeros((130, 120, 3), np.uint8)
    rgb[alpha > 0] = (90, 160, 30)
    cut = cut_out(Image(rgb=rgb, alpha=alpha), alpha, 96)
    scale = 96 * OBJECT_FRACTION / (max(height, width) - 1)
    assert cut.alpha.sum() == pytest.approx(height * width * scale**2, rel=0.05)
    weight = cut.alpha / cut.alpha.sum()
    y, x = np.mgrid[:96, :96] + 0.5
    assert (weight * x).sum() == pytest.approx(48, abs=0.1)
    assert (weight * y).sum() == pytest.approx(48, abs=0.1)
    np.testing.assert_allclose(cut.rgb, np.broadcast_to(np.float32([90, 160, 30]) / 255, cut.rgb.shape), atol=1e-6)


def test_elevation_of_a_shape_without_a_solid_is_the_predicted_one_within_bounds(ball):
    corner = np.zeros((160, 160), np.uint8)  # an L is neither round nor a box
    corner[30:130, 30:60] = corner[100:130, 30:130] = 255
    for predicted, expected in ((0.3, 0.3), (-0.2, 0.0), (1.5, MAX_ELEVATION)):
        geometry = replace(ball.subject.geometry, elevation=predicted)
        assert camera_elevation(replace(ball.subject, alpha=corner, geometry=geometry)) == pytest.approx(expected)
