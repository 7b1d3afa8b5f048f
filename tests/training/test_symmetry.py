import numpy as np
import pytest

pytest.importorskip("numba")

from img2world.depth.network import DIRECTIONS
from img2world.depth.predict import mirrored_planes
from img2world.layered.solids import around_axis
from training.assembly import Assembly
from training.materials import Material
from training.renderer import cam_from_scene
from training.rotations import rotation_y
from training.scene import Viewpoint
from training.shapes import BOX, superquadric
from training.symmetry import find_mirror_planes, plane_distribution


def boxes_of(*boxes, angle: float = 0.0) -> Assembly:
    """Boxes of (position, size), rotated about the vertical."""
    assembly, rotation = Assembly(), rotation_y(angle)
    for at, size in boxes:
        assembly.add(BOX, Material(texture=0), at=rotation @ at, size=size, rotation=rotation)
    return assembly


CAR = (((0, 0.15, 0), (1, 0.3, 0.5)), ((-0.15, 0.4, 0), (0.5, 0.2, 0.4)))
"""Along X, with the cabin towards the rear."""


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.2, 2.0])
def test_car_is_symmetric_from_left_to_right(turn):
    planes = find_mirror_planes(boxes_of(*CAR, angle=turn).build())
    assert len(planes)
    apart = (np.degrees(planes - turn) + 90) % 180 - 90
    assert np.abs(apart).max() < 4


def test_box_has_two_planes_and_ball_has_all():
    planes = np.degrees(find_mirror_planes(boxes_of(((0, 0.2, 0), (1, 0.4, 0.5))).build()))
    off = np.abs((planes[:, None] - (0, 90) + 90) % 180 - 90)
    assert off.min(1).max() < 6
    assert (off.min(0) < 3).all()
    ball = Assembly()
    ball.add(superquadric(), Material(texture=0), at=(0, 0.5, 0))
    assert len(find_mirror_planes(ball.build())) == DIRECTIONS


def test_asymmetric_object_has_no_plane():
    hook = (((0, 0.15, 0), (1, 0.3, 0.2)), ((0.4, 0.15, 0.3), (0.2, 0.3, 0.5)), ((-0.4, 0.45, -0.1), (0.2, 0.5, 0.5)))
    assert len(find_mirror_planes(boxes_of(*hook).build())) == 0
    distribution = plane_distribution(np.array([]), np.eye(3))
    assert distribution[-1] == 1
    assert distribution.sum() == 1


@pytest.mark.parametrize("seed", range(6))
def test_distribution_follows_the_convention_of_the_program(seed):
    """Its peak is the normal's direction in camera space, as `around_axis` defines it."""
    rng = np.random.default_rng(seed)
    angle, elevation, around = rng.uniform(0, np.pi), rng.uniform(-0.2, 0.8), rng.uniform(0, 2 * np.pi)
    eye = np.array([np.sin(around) * np.cos(elevation), np.sin(elevation), np.cos(around) * np.cos(elevation)])
    turn = cam_from_scene(Viewpoint(eye=2 * eye, target=np.zeros(3), fov=0.5))
    distribution = plane_distribution(np.array([angle]), turn)
    assert distribution.sum() == pytest.approx(1, abs=1e-5)
    peak = around_axis(elevation, np.array([np.argmax(distribution[:-1]) * np.pi / DIRECTIONS]))[0]
    true = turn @ (np.sin(angle), 0, np.cos(angle))
    assert abs(peak @ true) > np.cos(np.radians(3))
    # In a mirrored image it is the normal with x negated.
    other = around_axis(elevation, np.array([np.argmax(mirrored_planes(distribution)[:-1]) * np.pi / DIRECTIONS]))[0]
    assert abs(other @ (true * (-1, 1, 1))) > np.cos(np.radians(3))
