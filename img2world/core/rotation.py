"""Rotations as matrices and as wxyz quaternions."""

import numpy as np
from jaxtyping import Float


def matrix_from_quat(quats: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B 3 3"]:
    """Rotation matrices of wxyz quaternions, which need not have unit length."""
    w, x, y, z = np.moveaxis(quats / np.linalg.norm(quats, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quat_from_matrix(rotation: Float[np.ndarray, "*B 3 3"]) -> Float[np.ndarray, "*B 4"]:
    """Unit wxyz quaternions with w >= 0 of rotation matrices.

    Takes the largest of the four candidate rows, which is exact at every angle (Bar-Itzhack and
    Shepperd, "Quaternion from rotation matrix", 1978).
    """
    m = rotation
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    candidates = np.stack(
        [
            np.stack([1 + m00 + m11 + m22, a, b, c], -1),
            np.stack([a, 1 + m00 - m11 - m22, d, e], -1),
            np.stack([b, d, 1 - m00 + m11 - m22, f], -1),
            np.stack([c, e, f, 1 - m00 - m11 + m22], -1),
        ],
        -2,
    )  # [*B, 4, 4]
    best = np.argmax(np.einsum("...ii->...i", candidates), -1)
    quats = np.take_along_axis(candidates, best[..., None, None], -2)[..., 0, :]
    quats = quats / np.linalg.norm(quats, axis=-1, keepdims=True)
    return np.where(quats[..., :1] < 0, -quats, quats)


def multiply_quats(a: Float[np.ndarray, "*#B 4"], b: Float[np.ndarray, "*#B 4"]) -> Float[np.ndarray, "*B 4"]:
    """Hamilton product: the rotation b, then the rotation a."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def slerp(start: Float[np.ndarray, "4"], end: Float[np.ndarray, "4"], share: float) -> Float[np.ndarray, "4"]:
    """The unit quaternion that is `share` (0 to 1) of the short way from start to end."""
    dot = float(start @ end)
    end = -end if dot < 0 else end
    angle = np.arccos(min(abs(dot), 1.0))
    if angle < 1e-6:
        return start
    return (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)


def rotation_about(axis: Float[np.ndarray, "3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """Rotation by `angle` radians about an axis through the origin (right-hand rule)."""
    unit = axis / np.linalg.norm(axis)
    return matrix_from_quat(np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * unit]))
