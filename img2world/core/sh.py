"""Real spherical harmonics of 3D Gaussian splatting: [N, K, 3], K = (degree + 1)², DC first."""

import math

import numpy as np
from jaxtyping import Float

from img2world.core.conventions import SH_C0

C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435, 2.890611442640554, -0.4570457994644658, 0.3731763325901154,
    -0.4570457994644658, 1.445305721320277, -0.5900435899266435,
)  # fmt: skip


def sh_degree(bases: int) -> int:
    """Return the degree 0 to 3 of K = 1, 4, 9 or 16 bases. Raises ValueError for any other K."""
    if bases not in (1, 4, 9, 16):
        raise ValueError(f"{bases} spherical-harmonic bases, needs 1, 4, 9 or 16")
    return math.isqrt(bases) - 1


def sh_basis(directions: Float[np.ndarray, "N 3"], degree: int) -> Float[np.ndarray, "N K"]:
    """Return the values of the bases for unit directions (from the camera to the Gaussian).

    Source: Kerbl et al. 2023, "3D Gaussian Splatting"; signs and order are those of its reference implementation.
    """
    x, y, z = directions.T
    bases = [np.full_like(x, SH_C0)]
    if degree > 0:
        bases += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        bases += [
            C2[0] * x * y,
            C2[1] * y * z,
            C2[2] * (2 * z * z - x * x - y * y),
            C2[3] * x * z,
            C2[4] * (x * x - y * y),
        ]
    if degree > 2:
        bases += [
            C3[0] * y * (3 * x * x - y * y),
            C3[1] * x * y * z,
            C3[2] * y * (4 * z * z - x * x - y * y),
            C3[3] * z * (2 * z * z - 3 * x * x - 3 * y * y),
            C3[4] * x * (4 * z * z - x * x - y * y),
            C3[5] * z * (x * x - y * y),
            C3[6] * x * (x * x - 3 * y * y),
        ]
    return np.stack(bases, -1)


def rotate_sh(sh: Float[np.ndarray, "N K 3"], rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "N K 3"]:
    """Return the coefficients of the same colours in a rotated scene: f'(R d) = f(d).

    Each degree is solved by least squares on more fixed directions than it has bases, which is exact for any rotation
    or reflection and needs no Wigner matrices.
    """
    degree = sh_degree(sh.shape[1])
    count = 64
    # Fibonacci points are evenly distributed, which keeps the small systems well conditioned.
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    directions = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], -1)
    before, after = sh_basis(directions @ rotation, degree), sh_basis(directions, degree)
    turned = sh.copy()
    for band in range(1, degree + 1):
        rows = slice(band * band, (band + 1) ** 2)
        turn = np.linalg.lstsq(after[:, rows], before[:, rows], rcond=None)[0]  # [K_band, K_band]
        signs = np.diag(turn)
        if np.abs(turn - np.diag(np.sign(signs))).max() < 1e-9:
            # Half turns and mirrors along the axes only change signs: exact, and fast for millions.
            turned[:, rows] *= np.sign(signs).astype(sh.dtype)[:, None]
        else:
            turned[:, rows] = np.einsum("ab,nbc->nac", turn.astype(sh.dtype), turned[:, rows], optimize=True)
    return turned


def rgb_from_dc(dc: Float[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B 3"]:
    """Return the colours, 0 to 1 but not clipped, of constant coefficients."""
    return 0.5 + SH_C0 * dc


def dc_from_rgb(rgb: Float[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B 3"]:
    """Return the constant coefficients of colours 0 to 1."""
    return (rgb - 0.5) / SH_C0
