"""Mirrored colors on boxes, whose hidden side is known."""

import numpy as np
import pytest

from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.subject import ObjectGeometry
from img2world.depth.network import DIRECTIONS
from img2world.depth.predict import mirrored_planes
from img2world.layered.layers import rays_in_cam
from img2world.layered.object_layers import CutOut, object_camera, shell_surfaces
from img2world.layered.solids import around_axis, up_in_cam
from img2world.layered.symmetry import MirrorPlane, copy_mirrored_colors, find_mirror_plane

SIZE = 128
CAMERA = object_camera(SIZE)
SHAPE = np.array([0.16, 0.1, 0.05])
"""Half of the length, height and width of a box."""


def sure_of(degrees: float) -> np.ndarray:
    """Probabilities of a network that is certain of one direction."""
    planes = np.zeros(DIRECTIONS + 1, np.float32)
    step = 180 / DIRECTIONS
    place = degrees / step
    low = int(np.floor(place))
    planes[[low % DIRECTIONS, (low + 1) % DIRECTIONS]] = 1 - (place - low), place - low
    return planes


def box(turn: float, elevation: float) -> tuple[np.ndarray, ...]:
    """Depth of front and back, coverage, and the axis (1 to 3, signed) along which the visible face points.

    Its width is along the direction `turn` of its mirror plane's normal, in degrees.
    """
    width, length = around_axis(elevation, np.radians([turn, turn + 90]))
    axes = np.stack([length, up_in_cam(elevation), width])
    rays = rays_in_cam(CAMERA).astype(np.float64) @ axes.T
    eye = axes @ (0, 0, -INPUT_DISTANCE)
    with np.errstate(divide="ignore"):
        crossings = np.sort(((np.array([-1, 1])[:, None] * SHAPE)[:, None, None] - eye) / rays, axis=0)
    near, far = crossings[0].max(-1), crossings[1].min(-1)
    cover = (near < far).astype(np.float32)
    face = crossings[0].argmax(-1)
    side = -np.sign(np.take_along_axis(rays, face[..., None], -1)[..., 0]) * (face + 1)
    known = cover > 0
    return (
        np.where(known, near, INPUT_DISTANCE).astype(np.float32),
        np.where(known, far, INPUT_DISTANCE).astype(np.float32),
        cover,
        side,
    )


def find_plane(planes: np.ndarray, turn: float, elevation: float = 0.3) -> MirrorPlane | None:
    """The plane that is found in a box of direction `turn`."""
    front, back, alpha, _ = box(turn, elevation)
    return find_mirror_plane(planes, elevation, 0.5 * (front + back), 0.5 * (back - front), alpha > 0.5, CAMERA)


def test_uncertain_predictions_have_no_plane():
    unsure = np.full(DIRECTIONS + 1, 1 / (DIRECTIONS + 1), np.float32)
    none = np.zeros(DIRECTIONS + 1, np.float32)
    none[-1] = 1
    two = 0.45 * sure_of(45) + 0.45 * sure_of(135)
    for planes in (unsure, none, two):
        assert find_plane(planes, 45.0) is None


@pytest.mark.parametrize("degrees", [35.0, 47.5, 88.0, 90.0, 131.0])
def test_plane_is_upright_in_the_predicted_direction(degrees):
    plane = find_plane(sure_of(degrees), degrees)
    assert plane is not None
    np.testing.assert_allclose(plane.normal @ up_in_cam(0.3), 0, atol=1e-6)
    np.testing.assert_allclose(plane.normal, around_axis(0.3, np.radians([degrees]))[0], atol=0.05)
    assert abs(plane.offset) < 0.01


@pytest.mark.parametrize("turn", [35.0, 50.0])
def test_the_outline_decides_between_directions_that_the_network_leaves_open(turn):
    """A corner of a box is cut off, so that it is symmetric in one direction only."""
    front, back, alpha, _ = box(turn, 0.3)
    rays = rays_in_cam(CAMERA)
    length, up = around_axis(0.3, np.radians([turn + 90]))[0], up_in_cam(0.3)
    middle = rays * (0.5 * (front + back))[..., None] - (0, 0, INPUT_DISTANCE)
    inside = (alpha > 0.5) & ~((middle @ length > 0.04) & (middle @ up > 0))
    open_choice = 0.4 * sure_of(turn) + 0.4 * sure_of((turn + 90) % 180)
    plane = find_mirror_plane(open_choice, 0.3, 0.5 * (front + back), 0.5 * (back - front), inside, CAMERA)
    assert plane is not None
    assert abs(plane.normal @ around_axis(0.3, np.radians([turn]))[0]) > np.cos(np.radians(8))


@pytest.mark.parametrize("degrees", [0.0, 10.0, 170.0, 178.0])
def test_front_is_mirrored_to_the_back_only_of_what_is_seen_from_its_side(degrees):
    """A head would have a second face; a car that is seen from its side has two sides."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    depth = np.full((SIZE, SIZE), INPUT_DISTANCE, np.float32)
    for width, height, is_side_view in ((45, 20, True), (25, 30, False), (30, 30, False)):
        # The notch leaves no other direction of symmetry.
        inside = (np.abs(x) < width) & (np.abs(y) < height) & ~((x > 0.3 * width) & (y < 0))
        half = np.where(inside, np.float32(0.05), np.float32(0))
        plane = find_mirror_plane(sure_of(degrees), 0.1, depth, half, inside, CAMERA)
        assert (plane is not None) == is_side_view


def test_mirrored_picture_has_mirrored_planes():
    planes = np.random.default_rng(0).dirichlet(np.ones(DIRECTIONS + 1)).astype(np.float32)
    np.testing.assert_array_equal(mirrored_planes(mirrored_planes(planes)), planes)
    one, other = find_plane(sure_of(50), 50.0), find_plane(mirrored_planes(sure_of(50)), 130.0)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(np.abs(other.normal @ (one.normal * (-1, 1, 1))), 1, atol=1e-3)


def test_reflection_is_its_own_inverse():
    rng = np.random.default_rng(1)
    places, plane = rng.standard_normal((20, 3)), MirrorPlane(normal=np.array([0.6, 0, 0.8]), offset=0.1)
    np.testing.assert_allclose(plane.reflect(plane.reflect(places)), places, atol=1e-12)
    on_plane = np.array([[0.06, 3.0, INPUT_DISTANCE + 0.08]])
    np.testing.assert_allclose(plane.reflect(on_plane), on_plane, atol=1e-12)


def test_hidden_side_has_the_colors_of_its_mirror_image():
    """A long side is red in front; behind, the other long side is red where the photo shows its image."""
    front, back, alpha, side = box(45.0, 0.3)
    plane = MirrorPlane(normal=around_axis(0.3, np.radians([45.0]))[0], offset=0.0)
    red, gray = np.array([1, 0, 0], np.float32), np.full(3, 0.5, np.float32)
    rgb = np.where((np.abs(side) == 3)[..., None], red, np.array([0, 0, 1], np.float32)).astype(np.float32)
    behind = np.broadcast_to(gray, rgb.shape)
    mirrored = copy_mirrored_colors(behind, rgb, alpha, front, back, plane, CAMERA)
    red_fraction = (np.abs(mirrored - red).max(-1) < 0.05)[alpha > 0].mean()
    assert red_fraction > 0.3
    # Places whose image is hidden, too, keep what they had: the short side that looks away.
    assert (np.abs(mirrored - gray).max(-1) < 0.05)[alpha > 0].mean() > 0.1
    assert (mirrored >= 0).all()
    assert (mirrored <= 1).all()


def test_object_with_a_known_plane_gets_mirrored_colors():
    front, back, alpha, side = box(45.0, 0.3)
    red, blue = np.array([1, 0, 0], np.float32), np.array([0, 0, 1], np.float32)
    cut = CutOut(rgb=np.where((np.abs(side) == 3)[..., None], red, blue).astype(np.float32), alpha=alpha)
    frame = INPUT_DISTANCE * SIZE / float(CAMERA.intrinsics[0, 0, 0])
    unsure = np.full(DIRECTIONS + 1, 1 / (DIRECTIONS + 1), np.float32)
    behind = {}
    for name, planes in {"sure": sure_of(45), "unsure": unsure}.items():
        guess = ObjectGeometry(
            front=(front - INPUT_DISTANCE) / np.float32(frame),
            thickness=(back - front) / np.float32(frame),
            predicted_error=np.zeros_like(alpha),
            symmetry_planes=planes,
            elevation=0.3,
        )
        middle, half, behind[name] = shell_surfaces(cut, guess, CAMERA)
        assert np.abs(middle - 0.5 * (front + back))[alpha > 0].mean() < 0.03
        assert (half[alpha == 0] <= 0).all()
    reddish = {name: (colors[..., 0] - colors[..., 2] > 0.8)[alpha > 0].mean() for name, colors in behind.items()}
    assert reddish["sure"] > reddish["unsure"] + 0.15
