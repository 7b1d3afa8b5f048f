"""The turns of splats against cases that were worked out by hand from what importers do."""

import numpy as np
import pytest

from img2world.formats.frames import mesh_from_splats, turn_from_matrix

POINT = np.array([1.0, 2.0, 3.0])
"""A point of our world. In a GLB file, which has +Y up, it is (1, -2, -3)."""

CENTER = np.array([0.5, -1.0, 4.0])

CASES = {
    # Engine and suffix: where the importer puts the point of the GLB, and that of the splat file.
    ("unity", ".ply"): ((-1, -2, -3), (1, 2, 3)),
    ("unreal", ".ply"): ((100, -300, -200), (100, -300, -200)),
    ("blender", ".ply"): ((1, 3, -2), (1, 2, 3)),
    ("godot", ".compressed.ply"): ((1, -2, -3), (0.5, 3, -1)),
    ("three", ".sog"): ((1, -2, -3), (1, 2, 3)),
    ("three", ".spz"): ((1, -2, -3), (1, -2, -3)),
    ("playcanvas", ".sog"): ((1, -2, -3), (1, 2, 3)),
    ("babylon", ".sog"): ((-1, -2, -3), (1, -2, 3)),
    ("babylon", ".spz"): ((-1, -2, -3), (1, 2, -3)),
}

ENTERED = {
    ("unity", ".ply"): ((0, 0, 0), (0, 0, 180), (1, 1, -1)),
    ("unreal", ".ply"): ((0, 0, 0), (0, 0, 0), (1, 1, 1)),
    ("blender", ".ply"): ((0, 0, 0), (-90, 0, 0), (1, 1, 1)),
    ("godot", ".compressed.ply"): ((0.5, 1, -4), (180, 0, 0), (1, 1, 1)),
    ("three", ".sog"): ((0, 0, 0), (180, 0, 0), (1, 1, 1)),
    ("three", ".spz"): ((0, 0, 0), (0, 0, 0), (1, 1, 1)),
    ("playcanvas", ".sog"): ((0, 0, 0), (180, 0, 0), (1, 1, 1)),
    ("babylon", ".sog"): ((0, 0, 0), (0, 180, 0), (1, 1, 1)),
    ("babylon", ".spz"): ((0, 0, 0), (0, 0, 180), (1, 1, 1)),
}
"""Position, angles and scale."""


def about(axis: int, degrees: float) -> np.ndarray:
    """The textbook matrix of a rotation about X, Y or Z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrices = [
        [[1, 0, 0], [0, c, -s], [0, s, c]],
        [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    ]
    return np.array(matrices[axis])


def from_quaternion(w: float, x: float, y: float, z: float) -> np.ndarray:
    """The textbook matrix of a unit quaternion."""
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_turned_splats_lie_upon_the_mesh(case):
    mesh, splats = CASES[case]
    turn = turn_from_matrix(mesh_from_splats(*case, CENTER))
    x, y, z = turn.euler_deg
    for rotation in (about(2, z) @ about(1, y) @ about(0, x), from_quaternion(*turn.quaternion_wxyz)):
        turned = rotation @ (np.array(turn.scale) * splats) + turn.position
        np.testing.assert_allclose(turned, mesh, atol=1e-6)


@pytest.mark.parametrize("case", ENTERED)
def test_what_users_enter_is_as_simple_as_possible(case):
    turn = turn_from_matrix(mesh_from_splats(*case, CENTER))
    assert (turn.position, turn.euler_deg, turn.scale) == ENTERED[case]


def test_any_turn_is_taken_apart():
    rotation = about(2, -20) @ about(1, 100) @ about(0, 50)
    matrix = np.eye(4)
    matrix[:3, :3] = 2 * rotation @ np.diag([1, 1, -1])
    matrix[:3, 3] = POINT
    turn = turn_from_matrix(matrix)
    x, y, z = turn.euler_deg
    np.testing.assert_allclose(turn.scale, (2, 2, -2), atol=1e-9)
    np.testing.assert_allclose(about(2, z) @ about(1, y) @ about(0, x), rotation, atol=1e-9)
    np.testing.assert_allclose(from_quaternion(*turn.quaternion_wxyz), rotation, atol=1e-8)
    assert turn.position == (1, 2, 3)
