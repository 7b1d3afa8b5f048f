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
from img2world.layered.symmetry import copy_mirrored_colors, mirror_normal, reflect

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


def test_uncertain_predictions_have_no_plane():
    unsure = np.full(DIRECTIONS + 1, 1 / (DIRECTIONS + 1), np.float32)
    assert mirror_normal(unsure, 0.2) is None
    none = np.zeros(DIRECTIONS + 1, np.float32)
    none[-1] = 1
    assert mirror_normal(none, 0.2) is None
    two = 0.45 * sure_of(20) + 0.45 * sure_of(110)
    assert mirror_normal(two, 0.2) is None


@pytest.mark.parametrize("degrees", [35.0, 47.5, 88.0, 90.0, 131.0])
def test_plane_is_upright_in_the_predicted_direction(degrees):
    normal = mirror_normal(sure_of(degrees), 0.3)
    assert normal is not None
    np.testing.assert_allclose(normal @ up_in_cam(0.3), 0, atol=1e-6)
    np.testing.assert_allclose(normal, around_axis(0.3, np.radians([degrees]))[0], atol=0.01)


@pytest.mark.parametrize("degrees", [0.0, 10.0, 170.0, 178.0])
def test_front_is_never_mirrored_to_the_back(degrees):
    """A head would have a second face."""
    assert mirror_normal(sure_of(degrees), 0.1) is None


def test_mirrored_picture_has_mirrored_planes():
    planes = np.random.default_rng(0).dirichlet(np.ones(DIRECTIONS + 1)).astype(np.float32)
    np.testing.assert_array_equal(mirrored_planes(mirrored_planes(planes)), planes)
    one, other = mirror_normal(sure_of(50), 0.2), mirror_normal(mirrored_planes(sure_of(50)), 0.2)
    np.testing.assert_allclose(np.abs(other @ (one * (-1, 1, 1))), 1, atol=1e-6)


def test_reflection_is_its_own_inverse():
    rng = np.random.default_rng(1)
    places, normal = rng.standard_normal((20, 3)), np.array([0.6, 0, 0.8])
    np.testing.assert_allclose(reflect(reflect(places, normal), normal), places, atol=1e-12)
    np.testing.assert_allclose(reflect(np.array([[0, 3.0, INPUT_DISTANCE]]), normal), [[0, 3.0, INPUT_DISTANCE]])


def test_hidden_side_has_the_colors_of_its_mirror_image():
    """A long side is red in front; behind, the other long side is red where the photo shows its image."""
    front, back, alpha, side = box(45.0, 0.3)
    normal = around_axis(0.3, np.radians([45.0]))[0]
    red, gray = np.array([1, 0, 0], np.float32), np.full(3, 0.5, np.float32)
    rgb = np.where((np.abs(side) == 3)[..., None], red, np.array([0, 0, 1], np.float32)).astype(np.float32)
    behind = np.broadcast_to(gray, rgb.shape)
    mirrored = copy_mirrored_colors(behind, rgb, alpha, front, back, normal, CAMERA)
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
