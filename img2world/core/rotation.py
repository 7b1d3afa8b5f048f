"""Rotations as matrices and as wxyz quaternions.

SciPy is imported inside the functions: it takes longer than listing backends may.
"""

import numpy as np
from jaxtyping import Float


def matrix_from_quat(quats: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B 3 3"]:
    """Return the rotation matrices of wxyz quaternions, which need not have unit length."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(quats, scalar_first=True).as_matrix()


def quat_from_matrix(rotation: Float[np.ndarray, "*B 3 3"]) -> Float[np.ndarray, "*B 4"]:
    """Return the unit wxyz quaternions with w >= 0 of rotation matrices."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotation).as_quat(canonical=True, scalar_first=True)


def quat_product(first: Float[np.ndarray, "*#N 4"], second: Float[np.ndarray, "*#N 4"]) -> Float[np.ndarray, "*N 4"]:
    """Return the wxyz quaternions that rotate by `second` and then by `first`; half turns about an axis are exact."""
    w, x, y, z = np.moveaxis(np.where(np.abs(first) < 1e-12, 0, first), -1, 0)
    a, b, c, d = np.moveaxis(second.astype(np.float64), -1, 0)
    return np.stack(
        [
            w * a - x * b - y * c - z * d,
            x * a + w * b - z * c + y * d,
            y * a + z * b + w * c - x * d,
            z * a - y * b + x * c + w * d,
        ],
        -1,
    )


def slerp(
    start: Float[np.ndarray, "B 3 3"], end: Float[np.ndarray, "B 3 3"], fraction: Float[np.ndarray, "B"]
) -> Float[np.ndarray, "B 3 3"]:
    """Return the rotations at a fraction (0 to 1) of the shortest way from each start to its end."""
    from scipy.spatial.transform import Rotation

    first = Rotation.from_matrix(start)
    way = (first.inv() * Rotation.from_matrix(end)).as_rotvec()
    return (first * Rotation.from_rotvec(fraction[:, None] * way)).as_matrix()


def rotation_about(axis: Float[np.ndarray, "3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """Return the rotation by `angle` radians about an axis through the origin (right-hand rule)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
