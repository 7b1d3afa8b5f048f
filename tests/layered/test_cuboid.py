"""Boxes fitted to outlines, against the boxes that made them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.layered.build import build_layers
from img2world.layered.cuboid import Cuboid, fit_cuboid, normalize_yaw, resample_polyline
from img2world.layered.layers import SEEN, rays_in_cam
from img2world.layered.object_layers import (
    OBJECT_FRACTION,
    camera_elevation,
    object_camera,
    signed_distance,
)
from img2world.layered.revolution import Revolution
from img2world.layered.solid_layers import render_depth
from img2world.layered.solids import MAX_RADIUS, Solid, frame_width
from img2world.layered.subject import AutoSubject
from img2world.layered.warp import Warper

SIDE = 96

COLORS = (200, 60, 50), (110, 150, 60), (240, 220, 190)
"""Colors of the sides of a crate."""


def box(elevation: float, yaw: float, sizes: tuple[float, float, float] = (0.24, 0.14, 0.28)) -> Cuboid:
    return Cuboid(elevation=np.radians(elevation), yaw=np.radians(yaw), sizes=sizes, offset=(0.004, -0.003))


def framed(shape: Cuboid) -> Cuboid:
    """The box, scaled to the size of a cut-out in its frame."""
    corners = shape.corners()
    extent = np.ptp(corners[:, :2] / corners[:, 2:], axis=0).max() / frame_width(object_camera(SIDE))
    across, away, up = np.array(shape.sizes) * OBJECT_FRACTION / extent
    return replace(shape, sizes=(across, away, up))


def seen(shape: Solid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distance to a shape's outline in pixels, its front and its thickness relative to the frame's width."""
    fine, camera = object_camera(4 * SIDE), object_camera(SIDE)
    near, far = (cv2.resize(np.nan_to_num(depth), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
                 for depth in shape.depths(fine))  # fmt: skip
    cover = cv2.resize(
        np.isfinite(shape.depths(fine)[0]).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA
    )
    frame, hit = frame_width(camera), near > 0
    front, thickness = np.where(hit, near - INPUT_DISTANCE, 0) / frame, np.where(hit, far - near, 0) / frame
    return signed_distance(cover), front.astype(np.float32), thickness.astype(np.float32)


def found(shape: Solid, elevation: float) -> Cuboid | None:
    """The box that is fitted to a shape by a network that predicts the given elevation in degrees."""
    return fit_cuboid(*seen(shape), np.radians(elevation), object_camera(SIDE))


@pytest.mark.parametrize(("elevation", "yaw"), [(0, 0), (12, 30), (25, -45), (40, 10)])
def test_depths_match_the_rasterized_surface(elevation, yaw):
    shape, camera = box(elevation, yaw), object_camera(SIDE)
    near, far = shape.depths(camera)
    drawn, hit = render_depth(shape.surface(192, 257), camera)
    both = hit & np.isfinite(near)
    assert both.sum() > 0.995 * (hit | np.isfinite(near)).sum()
    np.testing.assert_allclose(near[both], drawn[both], atol=1e-4)
    assert (far[both] >= near[both]).all()


def test_grid_closes_and_contains_every_corner():
    shape = box(20, 30, (0.3, 0.01, 0.2))
    grid = shape.surface(192, 257)
    assert grid.shape == (192, 257, 3)
    np.testing.assert_allclose(grid[:, 0], grid[:, -1], atol=1e-12)
    for corner in shape.corners():
        assert np.linalg.norm(grid - corner, axis=-1).min() < 1e-12
    away = grid[96, 0] - shape.center
    assert away @ shape.axes[1] == pytest.approx(0.005)


def test_resampling_keeps_the_corners_of_short_segments():
    line = np.array([(0.0, 0), (1, 0), (1, 1e-6), (3, 1e-6)])
    places = resample_polyline(line, 16)
    assert len(places) == 16
    assert all(np.linalg.norm(places - corner, axis=1).min() < 1e-12 for corner in line)


@settings(max_examples=8, deadline=None)
@given(
    elevation=st.floats(12, 35),
    yaw=st.floats(-70, -20) | st.floats(20, 70),
    across=st.floats(0.1, 0.26),
    away=st.floats(0.1, 0.26),
    up=st.floats(0.1, 0.3),
    error=st.floats(-5, 5),
)
def test_box_is_recovered_from_an_outline_of_three_sides(elevation, yaw, across, away, up, error):
    shape = normalize_yaw(framed(box(elevation, yaw, (across, away, up))))
    # A longer one leaves the frame when it turns and is refused, see below.
    assume(0.5 * np.hypot(*shape.sizes[:2]) < 0.95 * MAX_RADIUS * frame_width(object_camera(SIDE)))
    shown = found(shape, elevation + error)
    assert shown is not None
    assert np.degrees(shown.elevation) == pytest.approx(elevation, abs=1.5)
    # A cube that is turned by 45 degrees one way is turned by 45 the other way, too: corners are compared as a set.
    apart = np.linalg.norm(shape.corners()[:, None] - shown.corners(), axis=-1)
    assert apart.min(0).max() < 0.02
    assert apart.min(1).max() < 0.02


@pytest.mark.parametrize("depth", [0.05, 0.1, 0.2])
def test_depth_behind_a_frontal_face_comes_from_the_predicted_volume(depth):
    shown = found(box(6, 0, (0.3, depth, 0.25)), 6)
    assert shown is not None
    assert shown.sizes[1] == pytest.approx(depth, abs=0.05)


def test_round_shapes_are_not_boxes():
    heights = np.linspace(-0.15, 0.15, 40)
    can = Revolution(elevation=np.radians(12), heights=heights, radii=np.full(40, 0.1))
    ball = Revolution(elevation=np.radians(12), heights=heights, radii=np.sqrt(np.maximum(0.0226 - heights**2, 1e-6)))
    assert found(can, 12) is None
    assert found(ball, 12) is None


def test_flat_picture_of_a_box_is_not_a_box():
    distance, front, _ = seen(box(15, 35))
    flat = np.zeros_like(front), np.full_like(front, 0.02)
    assert fit_cuboid(distance, *flat, np.radians(15), object_camera(SIDE)) is None


def test_notched_outline_is_not_a_box():
    distance, front, thickness = seen(box(15, 35))
    rows, columns = np.nonzero(distance > 0)
    notched = distance.copy()
    notched[: (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2 :] = -5
    assert fit_cuboid(notched, front, thickness, np.radians(15), object_camera(SIDE)) is None


def test_box_that_would_leave_the_frame_when_it_turns_is_refused():
    assert found(box(20, 0, (0.15, 0.4, 0.15)), 20) is not None
    assert found(box(20, 0, (0.15, 0.6, 0.15)), 20) is None


def test_empty_outline_is_not_a_box():
    nothing = np.zeros((SIDE, SIDE), np.float32)
    assert fit_cuboid(nothing - 5, nothing, nothing, 0.1, object_camera(SIDE)) is None


def crate(elevation: float, yaw: float, size: int = 256) -> tuple[Image, Cuboid]:
    """A photo of a crate whose visible sides differ in color."""
    shape, camera = box(elevation, yaw, (0.26, 0.2, 0.24)), object_camera(size)
    near, _ = shape.depths(camera)
    hit = np.isfinite(near)
    places = (rays_in_cam(camera) * np.nan_to_num(near, nan=1.0)[..., None] - shape.center) @ shape.axes.T
    side = np.abs(places / np.array(shape.sizes)).argmax(-1)
    rgb = np.array(COLORS)[side]
    rgba = np.dstack([np.where(hit[..., None], rgb, 255), 255 * hit]).astype(np.uint8)
    return Image(rgb=rgba[..., :3], alpha=rgba[..., 3]), shape


def test_photo_of_a_crate_becomes_a_box_with_flat_sides():
    photo, _ = crate(18, 35)
    camera = object_camera(256)
    subject = AutoSubject().find(photo)
    layered = build_layers(subject, 256)
    assert np.degrees(camera_elevation(subject)) == pytest.approx(18, abs=2)
    drawn = Warper(layered).draw(camera, supersample=1)
    assert (drawn.seen[drawn.alpha > 0.9] == SEEN).mean() > 0.98
    places = rays_in_cam(camera) * drawn.depth[..., None]
    normals = []
    for color in COLORS:
        there = places[(np.abs(255 * drawn.rgb - color).max(-1) < 4) & (drawn.alpha > 0.9)]
        assert len(there) > 1000
        _, spread, axes = np.linalg.svd(there - there.mean(0), full_matrices=False)
        assert spread[2] / np.sqrt(len(there)) < 0.001  # 0.002 where the network's own shape is taken
        normals.append(axes[2])
    np.testing.assert_allclose(np.abs(np.array(normals) @ np.transpose(normals)), np.eye(3), atol=0.05)
