"""Surfaces of revolution fitted to outlines, against those that made them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.layered.build import build_layers
from img2world.layered.cuboid import Cuboid
from img2world.layered.object_layers import cut_out, object_camera, signed_distance
from img2world.layered.revolution import Revolution, carve_revolution, fit_revolution
from img2world.layered.solid_layers import render_depth
from img2world.layered.subject import AutoSubject
from img2world.layered.warp import Warper

SIDE = 96

ASYMMETRIC, EVEN = np.eye(37, dtype=np.float32)[-1], np.full(37, 1 / 37, np.float32)
"""Predicted symmetry planes: none, and all directions alike."""


def can(elevation_deg: float, height: float = 0.3, radius: float = 0.1) -> Revolution:
    heights = np.linspace(-height / 2, height / 2, 40)
    return Revolution(elevation=np.radians(elevation_deg), heights=heights, radii=np.full(40, radius))


def vase(elevation_deg: float, bulge: float) -> Revolution:
    heights = np.linspace(-0.16, 0.16, 60)
    radii = 0.08 + bulge * np.cos(np.pi * heights / 0.4)
    return Revolution(elevation=np.radians(elevation_deg), heights=heights, radii=radii)


def seen(shape: Revolution | Cuboid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distance to a shape's outline in pixels, its front and its thickness relative to the frame's width."""
    camera = object_camera(SIDE)
    frame = INPUT_DISTANCE * SIDE / float(camera.intrinsics[0, 0, 0])
    near, far = shape.depths(camera)
    hit = np.isfinite(near)
    front = np.where(hit, near - INPUT_DISTANCE, 0) / frame
    thickness = np.where(hit, far - near, 0) / frame
    return signed_distance(hit.astype(np.float32)), front.astype(np.float32), thickness.astype(np.float32)


@pytest.mark.parametrize("elevation", [0, 10, 25])
def test_depths_match_the_rasterized_surface(elevation):
    shape, camera = vase(elevation, 0.04), object_camera(SIDE)
    near, far = shape.depths(camera)
    drawn, hit = render_depth(shape.surface(192, 257), camera)
    both = hit & np.isfinite(near)
    assert both.sum() > 0.97 * (hit | np.isfinite(near)).sum()
    assert np.abs(near - drawn)[both].mean() < 0.004  # half of a step of the rays is 0.005
    assert (far >= near)[both].all()


@settings(max_examples=25, deadline=None)
@given(elevation=st.sampled_from([5, 10, 20]), bulge=st.floats(0.0, 0.06))
def test_profile_is_recovered_from_an_outline(elevation, bulge):
    shape = vase(elevation, bulge)
    distance, _, _ = seen(shape)
    found = carve_revolution(distance, object_camera(SIDE), shape.elevation)
    assert found is not None
    pixel = 0.536 / SIDE
    inner = np.linspace(-0.12, 0.12, 30)
    radii = np.interp(inner, found.heights, found.radii)
    assert np.abs(radii - np.interp(inner, shape.heights, shape.radii)).max() < 1.5 * pixel


@pytest.mark.parametrize("elevation", [10, 15, 20])
def test_can_seen_from_above_gets_no_cones(elevation):
    shape = can(elevation, height=0.2, radius=0.12)
    found = carve_revolution(seen(shape)[0], object_camera(SIDE), shape.elevation)
    assert found is not None
    # A cone under it would be hidden, and 0.05 to 0.08 high.
    np.testing.assert_allclose(found.heights[[0, -1]], (-0.1, 0.1), atol=0.035)
    assert found.radii.min() > 0.07


@pytest.mark.parametrize("elevation", [5, 15, 30])
def test_elevation_follows_from_the_predicted_geometry(elevation):
    distance, front, thickness = seen(can(elevation))
    rng = np.random.default_rng(0)
    front = front + 0.03 + 0.01 * rng.standard_normal(front.shape)  # its place does not matter
    found = fit_revolution(distance, front.astype(np.float32), thickness, ASYMMETRIC, 0.0, object_camera(SIDE))
    assert found is not None
    assert np.degrees(found.elevation) == pytest.approx(elevation, abs=2.6)


def test_upright_plate_is_not_round():
    distance, front, thickness = seen(can(10, height=0.2, radius=0.14))
    assert fit_revolution(distance, front, thickness, ASYMMETRIC, 0.0, object_camera(SIDE)) is not None
    flat = np.where(distance > 0, 0, front).astype(np.float32), np.full_like(thickness, 0.05)
    assert fit_revolution(distance, *flat, ASYMMETRIC, 0.0, object_camera(SIDE)) is None


def test_an_object_that_looks_alike_from_all_around_may_have_an_uneven_outline_and_a_rough_prediction():
    """A cake with berries at one side, which the network predicts too thin."""
    cake = can(15, height=0.2, radius=0.14)
    distance, front, thickness = seen(cake)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    berries = np.min([np.hypot(x - 76, y - row) - 4 for row in (50, 58, 66)], axis=0)
    outline = np.maximum(distance, -berries).astype(np.float32)
    thin = (0.7 * thickness).astype(np.float32)
    assert fit_revolution(outline, front, thin, ASYMMETRIC, cake.elevation, object_camera(SIDE)) is None
    found = fit_revolution(outline, front, thin, EVEN, cake.elevation, object_camera(SIDE))
    assert found is not None
    assert np.degrees(found.elevation) == pytest.approx(15, abs=7.6)
    assert found.radii.max() == pytest.approx(0.14, abs=0.012)


@pytest.mark.parametrize("yaw", [0.0, 0.4])
def test_a_box_with_directions_of_symmetry_is_not_round(yaw):
    box = Cuboid(elevation=np.radians(10), yaw=yaw, sizes=(0.24, 0.2, 0.2), offset=(0.0, 0.0))
    planes = np.zeros(37, np.float32)
    planes[[round(np.degrees(yaw) / 5), round(np.degrees(yaw) / 5) + 18]] = 0.5
    assert fit_revolution(*seen(box), planes, box.elevation, object_camera(SIDE)) is None


def test_leaning_can_is_not_round():
    distance, front, thickness = seen(can(10))
    shift = np.linspace(-14, 14, SIDE).round().astype(int)
    distance, front, thickness = (
        np.stack([np.roll(row, by) for row, by in zip(values, shift, strict=True)])
        for values in (distance, front, thickness)
    )
    assert fit_revolution(distance, front, thickness, ASYMMETRIC, 0.0, object_camera(SIDE)) is None


def test_needle_is_not_round():
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[10:80, 48] = 0.3
    nothing = np.zeros_like(alpha)
    assert fit_revolution(signed_distance(alpha), nothing, nothing, EVEN, 0.0, object_camera(SIDE)) is None


def shaded_can(heights_seen) -> Image:
    """A photo of a can, lit from the left."""
    camera, shape = object_camera(256), can(12, height=0.32, radius=0.1)
    near, _ = shape.depths(camera)
    hit = np.isfinite(near)
    x = np.arange(256) - 127.5
    light = 0.75 - 0.4 * np.clip(x / 60, -1, 1)
    top = heights_seen(shape, camera) > 0.155
    rgb = np.where(top[..., None], (200, 200, 205), light[None, :, None] * np.array([220, 60, 50]))
    return Image(rgb=np.where(hit[..., None], rgb, 255).astype(np.uint8), alpha=hit.astype(np.uint8) * 255)


def test_can_has_the_same_silhouette_from_all_sides(shapes):
    picture = shaded_can(shapes.heights_seen)
    layered, camera = build_layers(AutoSubject().find(picture), 96), object_camera(96)
    cut = cut_out(picture, picture.alpha, 96)
    assert len(layered.layers[1].texture) != 96  # the round one
    solid = cut.alpha > 0.5
    for pose in orbit(8):
        here = Cameras(world_from_cam=pose[None].astype(np.float32), intrinsics=camera.intrinsics, width=96, height=96)
        drawn = Warper(layered).draw(here)
        alpha = drawn.alpha > 0.5
        assert np.isfinite(drawn.rgb).all()
        assert alpha.sum() == pytest.approx(solid.sum(), rel=0.15)
