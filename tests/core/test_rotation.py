import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from trimesh.transformations import quaternion_matrix, quaternion_multiply, quaternion_slerp, rotation_matrix

from img2world.core.rotation import matrix_from_quat, quat_from_matrix, rotation_about, slerp

quats = arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda quat: np.linalg.norm(quat) > 1e-3)


def test_real_part_comes_first():
    quarter_turn_about_z = np.array([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    np.testing.assert_allclose(matrix_from_quat(quarter_turn_about_z), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)


@settings(deadline=None)
@given(quats, quats)
def test_quaternions_agree_with_trimesh(a, b):
    turn = matrix_from_quat(a)
    np.testing.assert_allclose(turn, quaternion_matrix(a)[:3, :3], atol=1e-12)
    found = quat_from_matrix(turn @ matrix_from_quat(b))
    product = quaternion_multiply(a / np.linalg.norm(a), b / np.linalg.norm(b))
    assert found[0] >= 0
    assert abs(found @ product) == pytest.approx(1)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_slerp_agrees_with_trimesh(fraction):
    rng = np.random.default_rng(0)
    starts, ends = rng.normal(size=(2, 5, 4))
    found = slerp(matrix_from_quat(starts), matrix_from_quat(ends), np.full(5, fraction))
    for start, end, turn in zip(starts, ends, found, strict=True):
        np.testing.assert_allclose(turn, quaternion_matrix(quaternion_slerp(start, end, fraction))[:3, :3], atol=1e-12)


def test_rotation_about_an_axis_agrees_with_trimesh():
    axis = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(rotation_about(axis, 0.7), rotation_matrix(0.7, axis)[:3, :3], atol=1e-12)


def test_no_rotations_are_no_quaternions():
    assert quat_from_matrix(np.zeros((0, 3, 3))).shape == (0, 4)
    assert matrix_from_quat(np.zeros((0, 4))).shape == (0, 3, 3)
