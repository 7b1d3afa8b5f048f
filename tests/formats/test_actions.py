import numpy as np
import pytest
from known_scene import (
    RUB,
    Splat,
    Tolerance,
    appearance,
    check_same,
    gaussians_from,
    known_splats,
    rotation_matrix,
    splats_from,
    turned,
)
from scipy.spatial.transform import Rotation
from splat_encoders import in_axes

from img2world.core.errors import FormatError
from img2world.formats.actions import (
    EXAMPLES,
    drop_floaters,
    drop_transparent,
    find_floaters,
    limit_degree,
    move,
    parse_action,
)
from img2world.formats.splat_file import SplatFile


def file_of(splats) -> SplatFile:
    return SplatFile(gaussians=gaussians_from(splats), broken=0, details={})


def test_moving_turns_everything_that_is_seen():
    """Axes of the actions: +X right, +Y up, +Z to the viewer; turned about X, then Y, then Z."""
    splats = known_splats(3)
    about = [
        Rotation.from_rotvec(np.radians(angle) * axis) for angle, axis in zip((30, -50, 70), np.eye(3), strict=True)
    ]
    rotation = (about[2] * about[1] * about[0]).as_matrix()
    expected = []
    for splat in splats:
        spun = in_axes(in_axes(splat, RUB), rotation)
        center = tuple(2.5 * np.array(spun.center) + (1, 2, -3))
        expected.append(Splat(center, spun.quaternion, tuple(2.5 * np.array(spun.radii)), spun.opacity, spun.harmonics))
    found = move(file_of(splats), degrees=(30.0, -50.0, 70.0), factor=2.5, offset=(1.0, 2.0, -3.0)).gaussians
    check_same(
        appearance(splats_from(found)), turned(appearance(expected, RUB), RUB), Tolerance(center=5e-6, color=1e-5)
    )


@pytest.mark.parametrize("option", EXAMPLES)
def test_the_examples_of_the_messages_are_right(option):
    assert len(parse_action(option, EXAMPLES[option])(file_of(known_splats(3))).gaussians) > 0
    with pytest.raises(FormatError, match=option):
        parse_action(option, "nonsense")


def test_a_whole_turn_changes_nothing():
    gaussians = gaussians_from(known_splats(3))
    for degrees in ((360.0, 0.0, 0.0), (0.0, -360.0, 0.0), (180.0, 180.0, 180.0)):
        found = move(file_of(known_splats(3)), degrees=degrees).gaussians
        check_same(
            appearance(splats_from(found)), appearance(splats_from(gaussians)), Tolerance(center=2e-6, color=1e-5)
        )


def test_a_lone_gaussian_floats_and_a_grid_does_not():
    side = np.linspace(0, 1, 10)
    grid = np.stack(np.meshgrid(side, side, side), -1).reshape(-1, 3).astype(np.float32)
    assert not find_floaters(grid).any()
    lone = np.concatenate([grid, np.float32([[3, 3, 3], [0.5, 0.5, -2]])])
    assert np.flatnonzero(find_floaters(lone)).tolist() == [1000, 1001]
    few = file_of(known_splats(0))
    assert drop_floaters(few) is few


def test_the_limit_of_opacity_is_included():
    file = file_of(known_splats(0))
    assert len(drop_transparent(file, 0.55 - 1e-6).gaussians) == 3
    assert len(drop_transparent(file, 0.55 + 1e-6).gaussians) == 2


def test_a_higher_degree_is_not_invented():
    assert limit_degree(file_of(known_splats(1)), 3).gaussians.sh.shape[1] == 4


def test_rotations_are_those_of_the_axes_named():
    """A quarter turn about +Y takes what points to the viewer to the right."""
    splat = Splat((0, 0, 0), (1, 0, 0, 0), (0.1, 0.2, 0.9), 0.5, known_splats(0)[0].harmonics)
    (found,) = splats_from(move(file_of([splat]), degrees=(0.0, 90.0, 0.0)).gaussians)
    half = rotation_matrix(*found.quaternion) * np.array(found.radii)
    np.testing.assert_allclose(np.sqrt(np.diag(half @ half.T)), [0.9, 0.2, 0.1], atol=1e-6)
