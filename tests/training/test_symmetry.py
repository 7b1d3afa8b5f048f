import numpy as np
import pytest

pytest.importorskip("numba")

from img2world.depth.network import DIRECTIONS
from img2world.depth.predict import mirrored_planes
from img2world.layered.solids import around_axis
from training.assembly import Composition, Material
from training.renderer import cam_from_place
from training.scene import Shot
from training.shapes import BOX, superquadric
from training.symmetry import mirror_planes, seen_planes
from training.rotations import about_y_by


def thing(*boxes, turn: float = 0.0) -> Composition:
    """Boxes of (place, size), turned about the upright axis."""
    made, rotation = Composition(), about_y_by(turn)
    for at, size in boxes:
        made.put(BOX, Material(texture=0), at=rotation @ at, size=size, turn=rotation)
    return made


CAR = (((0, 0.15, 0), (1, 0.3, 0.5)), ((-0.15, 0.4, 0), (0.5, 0.2, 0.4)))
"""Along X; the cabin is nearer to the rear."""


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.2, 2.0])
def test_a_car_is_its_own_mirror_image_from_left_to_right(turn):
    planes = mirror_planes(thing(*CAR, turn=turn).finished())
    assert len(planes)
    apart = (np.degrees(planes - turn) + 90) % 180 - 90
    assert np.abs(apart).max() < 4


def test_a_box_has_two_planes_and_a_round_thing_all():
    planes = np.degrees(mirror_planes(thing(((0, 0.2, 0), (1, 0.4, 0.5))).finished()))
    off = np.abs((planes[:, None] - (0, 90) + 90) % 180 - 90)
    assert off.min(1).max() < 6
    assert (off.min(0) < 3).all()
    ball = Composition()
    ball.put(superquadric(), Material(texture=0), at=(0, 0.5, 0))
    assert len(mirror_planes(ball.finished())) == DIRECTIONS


def test_what_is_no_mirror_image_has_no_plane():
    hook = (((0, 0.15, 0), (1, 0.3, 0.2)), ((0.4, 0.15, 0.3), (0.2, 0.3, 0.5)), ((-0.4, 0.45, -0.1), (0.2, 0.5, 0.5)))
    assert len(mirror_planes(thing(*hook).finished())) == 0
    shares = seen_planes(np.array([]), np.eye(3))
    assert shares[-1] == 1
    assert shares.sum() == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_camera_sees_the_planes_as_they_are_read_in_use(seed):
    """The direction that `seen_planes` says is the normal's in the camera's space, as `around_axis` has it."""
    rng = np.random.default_rng(seed)
    angle, elevation, around = rng.uniform(0, np.pi), rng.uniform(-0.2, 0.8), rng.uniform(0, 2 * np.pi)
    eye = np.array([np.sin(around) * np.cos(elevation), np.sin(elevation), np.cos(around) * np.cos(elevation)])
    turn = cam_from_place(Shot(eye=2 * eye, target=np.zeros(3), fov=0.5))
    shares = seen_planes(np.array([angle]), turn)
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    told = around_axis(elevation, np.array([np.argmax(shares[:-1]) * np.pi / DIRECTIONS]))[0]
    true = turn @ (np.sin(angle), 0, np.cos(angle))
    assert abs(told @ true) > np.cos(np.radians(3))
    # In a mirrored picture it is the normal with x turned round.
    other = around_axis(elevation, np.array([np.argmax(mirrored_planes(shares)[:-1]) * np.pi / DIRECTIONS]))[0]
    assert abs(other @ (true * (-1, 1, 1))) > np.cos(np.radians(3))
