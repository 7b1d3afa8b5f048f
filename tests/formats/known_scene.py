"""A scene whose appearance is computed without any of the package's conventions or code.

Axes: +X right, +Y down, +Z forward, as in a splat PLY. Everything that is compared is physical: centers, covariance
matrices (four quaternions describe the same ellipsoid), opacities, and colors seen from several directions.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import sph_harm_y

from img2world.core.gaussians import Gaussians

RDF = np.eye(3)
RUB = np.diag([1.0, -1.0, -1.0])
"""To +Y up, +Z back, the axes of glTF, USD and SPZ."""

DIRECTIONS = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 2, 3], [2, -3, 1], [-3, -1, -2], [1, 1, -2], [-2, 2, -1], [3, 2, -1]], float
)
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
"""From the camera to the Gaussian, in the scene's axes."""


@dataclass(frozen=True)
class Splat:
    """One Gaussian as a file holds it, in plain units."""

    center: tuple[float, ...]
    quaternion: tuple[float, ...]
    """w x y z."""
    radii: tuple[float, ...]
    opacity: float
    harmonics: np.ndarray
    """[K, 3] coefficients in the order of degree and then order, from -degree to degree."""


@dataclass(frozen=True)
class Appearance:
    """What can be seen of a scene, the Gaussians in ascending order of opacity."""

    centers: np.ndarray
    covariances: np.ndarray
    opacities: np.ndarray
    colors: np.ndarray
    """[N, D, 3], not clipped."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Largest differences that the precision of a format explains."""

    center: float = 1e-6
    covariance: float = 1e-5
    """Relative to the largest entry of the matrix."""
    opacity: float = 1e-6
    color: float = 2e-6


def rotation_matrix(w: float, x: float, y: float, z: float) -> np.ndarray:
    """Return the rotation of a quaternion, as the specification of KHR_gaussian_splatting writes it down."""
    w, x, y, z = np.array([w, x, y, z], float) / np.sqrt(w * w + x * x + y * y + z * z)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@cache
def harmonics_at(x: float, y: float, z: float) -> np.ndarray:
    """Return [16] real spherical harmonics with the Condon-Shortley phase, from degree 0 to 3 and order -l to l."""
    values = []
    for degree in range(4):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), np.arccos(np.clip(z, -1, 1)), np.arctan2(y, x))
            part = value.real if order >= 0 else value.imag
            values.append(part if order == 0 else np.sqrt(2) * part)
    return np.array(values)


def color(harmonics: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the color of coefficients from a direction."""
    return 0.5 + harmonics_at(*direction.tolist())[: len(harmonics)] @ harmonics


def appearance(splats: list[Splat], frame: np.ndarray = RDF) -> Appearance:
    """Return what splats in the axes `frame` look like; DIRECTIONS are turned into these axes."""
    ordered = sorted(splats, key=lambda splat: splat.opacity)
    halves = [rotation_matrix(*splat.quaternion) * np.array(splat.radii) for splat in ordered]
    return Appearance(
        centers=np.array([splat.center for splat in ordered], float),
        covariances=np.array([half @ half.T for half in halves]),
        opacities=np.array([splat.opacity for splat in ordered], float),
        colors=np.array([[color(splat.harmonics, frame @ ray) for ray in DIRECTIONS] for splat in ordered]),
    )


def turned(scene: Appearance, frame: np.ndarray) -> Appearance:
    """Return the same scene in other axes: colors stay, since the directions turn with it."""
    return Appearance(
        centers=scene.centers @ frame.T,
        covariances=frame @ scene.covariances @ frame.T,
        opacities=scene.opacities,
        colors=scene.colors,
    )


def check_same(actual: Appearance, expected: Appearance, tolerance: Tolerance) -> None:
    """Fail with the name of what differs."""
    sizes = np.abs(expected.covariances).max((1, 2), keepdims=True)
    np.testing.assert_allclose(actual.centers, expected.centers, rtol=1e-6, atol=tolerance.center, err_msg="center")
    np.testing.assert_allclose(
        actual.covariances / sizes,
        expected.covariances / sizes,
        rtol=0,
        atol=tolerance.covariance,
        err_msg="covariance",
    )
    np.testing.assert_allclose(actual.opacities, expected.opacities, rtol=0, atol=tolerance.opacity, err_msg="opacity")
    np.testing.assert_allclose(actual.colors, expected.colors, rtol=0, atol=tolerance.color, err_msg="color")


def known_splats(degree: int) -> list[Splat]:
    """Return five unlike ellipsoids, none of which is its own mirror image.

    Logarithms of radii are multiples of 1/16 and coefficients of 1/8, which SPZ stores exactly.
    """
    rows = [
        ((-0.9, 0.2, 1.5), (0.9, 0.1, 0.3, 0.3), (-2, -3.5, -2.5), 0.2, (0.9, 0.2, 0.1)),
        ((0.7, -0.6, 0.4), (0.3, -0.8, 0.2, 0.5), (-3, -1.75, -2.25), 0.35, (0.15, 0.7, 0.3)),
        ((0.1, 0.8, -1.2), (0.2, 0.3, 0.9, -0.25), (-2.5, -3, -1.5), 0.55, (0.2, 0.35, 0.85)),
        ((1.3, 0.5, 0.9), (-0.35, 0.4, -0.3, 0.8), (-1.5, -2, -4), 0.75, (0.6, 0.6, 0.25)),
        ((-0.3, -1.1, 0.6), (0.6, 0.5, -0.45, 0.4), (-2.75, -2, -3.25), 0.95, (0.4, 0.1, 0.55)),
    ]
    generator = np.random.default_rng(11)
    splats = []
    for center, quaternion, log_radii, opacity, rgb in rows:
        harmonics = generator.integers(-5, 6, (16, 3)) / 8
        harmonics[0] = (np.array(rgb) - 0.5) * 2 * np.sqrt(np.pi)
        splats.append(Splat(center, quaternion, tuple(np.exp(log_radii)), opacity, harmonics[: (degree + 1) ** 2]))
    return splats


def gaussians_from(splats: list[Splat]) -> Gaussians:
    """Return splats in the axes of a PLY as the package holds them."""
    opacities = np.array([splat.opacity for splat in splats])
    arrays = {
        "means": [splat.center for splat in splats],
        "quats": [splat.quaternion for splat in splats],
        "log_scales": np.log([splat.radii for splat in splats]),
        "logit_opacities": np.log(opacities / (1 - opacities)),
        "sh": [splat.harmonics for splat in splats],
    }
    return Gaussians(**{name: np.array(array, np.float32) for name, array in arrays.items()})


def splats_from(gaussians: Gaussians) -> list[Splat]:
    """Return Gaussians of the package in plain units."""
    return [
        Splat(
            tuple(map(float, mean)),
            tuple(map(float, quat)),
            tuple(np.exp(log_scale.astype(float))),
            1 / (1 + np.exp(-float(logit))),
            sh.astype(float),
        )
        for mean, quat, log_scale, logit, sh in zip(
            gaussians.means,
            gaussians.quats,
            gaussians.log_scales,
            gaussians.logit_opacities,
            gaussians.sh,
            strict=True,
        )
    ]
