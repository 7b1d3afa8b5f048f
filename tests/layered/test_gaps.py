import numpy as np
import pytest

from img2world.core.camera_paths import arc, on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.layered.gaps import make_gap_measure, make_stretch_measure
from img2world.layered.layers import SEEN, LayeredImage, layer_from_depth
from img2world.layered.warp import Warper

SIDE = 64


def test_gaps_are_nothing_in_front_and_grow_with_the_turn(coffee):
    measure = make_gap_measure(coffee.subject)
    front = measure(arc(8, half_azimuth=0.0))
    assert max(front.empty, front.unseen, front.stretched) < 0.001
    near, far, beyond = (measure(arc(8, half_azimuth=angle)[[2]]) for angle in (0.05, 0.15, 1.2))
    assert near.empty == far.empty == 0
    assert 0 < near.unseen < far.unseen < beyond.unseen
    assert beyond.empty > 0.1  # Most of the picture is out of sight.
    # Of several poses the worst counts.
    assert measure(arc(8, half_azimuth=0.15)[[0, 2]]).unseen == pytest.approx(far.unseen, abs=0.001)


def wall(slope: float) -> tuple[LayeredImage, Cameras]:
    """A wall through the origin whose right half recedes, by `slope` units of depth per unit to the right."""
    pose = np.eye(4, dtype=np.float32)[None].copy()
    pose[0, 2, 3] = -1
    lens = intrinsics_from_fov(np.radians(50.0), SIDE, SIDE)
    camera = Cameras(world_from_cam=pose, intrinsics=lens[None], width=SIDE, height=SIDE)
    x = np.maximum((np.arange(SIDE) + 0.5 - SIDE / 2) / float(lens[0, 0]), 0)
    depth = np.repeat((1 / (1 - slope * x))[None], SIDE, 0).astype(np.float32)
    full = np.ones((SIDE, SIDE), np.float32)
    layer = layer_from_depth(
        camera, depth, np.zeros((SIDE, SIDE, 3), np.float32), np.full((SIDE, SIDE), SEEN, np.uint8), alpha=full
    )
    return LayeredImage(layers=(layer,), is_object=False), camera


def stretched(slope: float, degrees: float) -> float:
    image, camera = wall(slope)
    pose = on_sphere(np.radians([degrees]), np.zeros(1))
    view = Cameras(world_from_cam=pose, intrinsics=camera.intrinsics, width=SIDE, height=SIDE)
    return make_stretch_measure(image, camera)(view, Warper(image).draw(view, supersample=1).depth)


def test_a_wall_that_the_photo_shows_from_the_side_is_stretched_for_a_camera_before_it():
    # The wall faces the right, where the camera moves.
    assert stretched(2.0, 0) == 0
    assert stretched(2.0, -40) == 0
    assert stretched(2.0, 40) > stretched(1.5, 40) > 0.1
    assert stretched(0.0, 40) == stretched(1.0, 40) == 0


def test_what_is_hidden_is_not_counted():
    image, camera = wall(2.0)
    pose = on_sphere(np.radians([40.0]), np.zeros(1))
    view = Cameras(world_from_cam=pose, intrinsics=camera.intrinsics, width=SIDE, height=SIDE)
    stretch_of, depth = make_stretch_measure(image, camera), Warper(image).draw(view, supersample=1).depth
    upper = depth.copy()
    upper[SIDE // 2 :] = 0.2  # Something in front covers the lower half.
    assert stretch_of(view, upper) == pytest.approx(0.5 * stretch_of(view, depth), rel=0.05)
