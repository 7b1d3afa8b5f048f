"""Changes to splats between reading and writing.

Axes are those of glTF: +X right, +Y up, +Z to the viewer. What moves is moved with its motion, and cropped at rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Float64

from img2world.core.camera_paths import UP_IN_WORLD
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.rotation import rotation_about
from img2world.core.sh import sh_degree
from img2world.formats.frames import engine_from_file, file_from_world
from img2world.formats.merge import decimate
from img2world.formats.splat_file import SplatFile, join, with_degree

FLOATER_NEIGHBORS = 16
"""Neighbors by whose distance a Gaussian that floats alone is told from a surface."""

FLOATER_RATIO = 4.0
"""Distance of those neighbors, relative to the median of all Gaussians, beyond which a Gaussian floats alone."""

ENGINES = {
    "three": Y_UP_FROM_WORLD,
    "playcanvas": Y_UP_FROM_WORLD,
    # Left-handed: +X right, +Y up, +Z away.
    "babylon": np.diag([1.0, -1.0, 1.0, 1.0]),
}
"""Engines in which splats have been measured, and the transform from our world to what stands upright in each."""

Action = Callable[[SplatFile], SplatFile]


def move(
    file: SplatFile,
    *,
    degrees: Sequence[float] = (0.0, 0.0, 0.0),
    factor: float = 1.0,
    offset: Sequence[float] = (0.0, 0.0, 0.0),
) -> SplatFile:
    """Rotate by degrees about X, then Y, then Z, scale, and translate."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = factor * Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = offset
    return file.transformed(Y_UP_FROM_WORLD @ matrix @ Y_UP_FROM_WORLD)


def stand_up(file: SplatFile, up: str, suffix: str) -> SplatFile:
    """Rotate content whose up axis in its file is x, y, z or the opposite of one, such as -y, until it stands upright.

    What was +Y in a file with +Z up points away afterwards, as in Blender and nerfstudio. Raises FormatError for
    another axis.
    """
    if up.lstrip("+-") not in ("x", "y", "z") or len(up) > 2:
        raise FormatError(f"--up has the value {up!r}, needs an axis", hint="one of x, y, z, -x, -y, -z")
    up_in_file = np.eye(3)["xyz".index(up[-1])] * (-1 if up.startswith("-") else 1)
    up_in_world = file_from_world(suffix)[:3, :3].T @ up_in_file
    cosine = float(up_in_world @ UP_IN_WORLD)
    # Half a turn has no axis of its own.
    axis = np.cross(up_in_world, UP_IN_WORLD) if abs(cosine) < 0.5 else np.array([1.0, 0, 0])
    return _rotated(file, rotation_about(axis, float(np.arccos(cosine))))


def turn_for_engine(file: SplatFile, engine: str, suffix: str) -> SplatFile:
    """Rotate content such that an engine shows a file of this format upright and from its front, without a turn.

    Raises FormatError for an engine in which no splats have been measured.
    """
    if engine not in ENGINES:
        raise FormatError(
            f"how {engine} loads splats has not been measured", hint=f"one of {', '.join(ENGINES)}, or --rotate"
        )
    loaded_from_world = engine_from_file(engine, suffix) @ file_from_world(suffix)
    return _rotated(file, (np.linalg.inv(loaded_from_world) @ ENGINES[engine])[:3, :3])


def _rotated(file: SplatFile, rotation: Float64[np.ndarray, "3 3"]) -> SplatFile:
    """Return rotated content, exact to the last bit for half turns about an axis."""
    rounded = np.rint(rotation)
    signs = np.diag(rounded).astype(int).tolist()
    if np.allclose(rotation, np.diag(signs), rtol=0, atol=1e-9):
        return file.flipped(signs)
    matrix = np.eye(4)
    # Axes are exchanged by right angles only.
    matrix[:3, :3] = rounded
    return file.transformed(matrix)


def crop_box(file: SplatFile, low: Sequence[float], high: Sequence[float]) -> SplatFile:
    """Keep the Gaussians whose centers lie in a box."""
    points = y_up_means(file.gaussians)
    return file.select(np.all((points >= low) & (points <= high), axis=1))


def crop_sphere(file: SplatFile, center: Sequence[float], radius: float) -> SplatFile:
    """Keep the Gaussians whose centers lie in a sphere."""
    return file.select(np.linalg.norm(y_up_means(file.gaussians) - center, axis=1) <= radius)


def drop_transparent(file: SplatFile, opacity: float) -> SplatFile:
    """Leave out the Gaussians that are more transparent."""
    return file.select(file.gaussians.opacities >= opacity)


def limit_degree(file: SplatFile, degree: int) -> SplatFile:
    """Leave out the spherical harmonics above a degree, 0 to 3."""
    gaussians = file.gaussians
    own = sh_degree(gaussians.sh.shape[1])
    sh = np.ascontiguousarray(with_degree(gaussians.sh, min(own, degree)))
    return replace(file, gaussians=replace(gaussians, sh=sh))


def drop_floaters(file: SplatFile) -> SplatFile:
    """Leave out Gaussians that float alone, far from all others."""
    few = len(file.gaussians) <= FLOATER_NEIGHBORS
    return file if few else file.select(~find_floaters(file.gaussians.means))


def merge(file: SplatFile, other: SplatFile) -> SplatFile:
    """Add the Gaussians of another file. Raises FormatError when one of them moves."""
    return replace(file, gaussians=join(_still(file, "--merge"), _still(other, "--merge")))


def merge_neighbors(file: SplatFile, count: Callable[[int], int]) -> SplatFile:
    """Merge neighbors until `count` of their number are left. Raises FormatError when they move."""
    gaussians = _still(file, "--decimate")
    return replace(file, gaussians=decimate(gaussians, count(len(gaussians))))


def _still(file: SplatFile, option: str) -> Gaussians:
    """Return the Gaussians of a file in which nothing moves."""
    if file.motion is not None:
        raise FormatError(
            f"{option} cannot join Gaussians that move apart", hint="convert the file with --time first, to one moment"
        )
    return file.gaussians


def find_floaters(means: Float32[np.ndarray, "N 3"]) -> Bool[np.ndarray, "N"]:
    """Return which points are much farther from their neighbors than most are."""
    from scipy.spatial import KDTree

    distance, _ = KDTree(means).query(means, FLOATER_NEIGHBORS + 1, workers=-1)
    far = distance[:, -1]
    return far > FLOATER_RATIO * max(float(np.median(far)), 1e-12)


def y_up_means(gaussians: Gaussians) -> Float64[np.ndarray, "N 3"]:
    """Return the centers in the axes of the actions."""
    return gaussians.means.astype(np.float64) * np.diag(Y_UP_FROM_WORLD)[:3]


def parse_numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    """Return numbers separated by commas. Raises FormatError when there are not `count` of them."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        what = "a number" if count == 1 else f"{count} numbers with commas between"
        raise FormatError(
            f"{option} has the value {text!r}, needs {what}", hint=f"for example {option} {EXAMPLES[option]}"
        )
    return numbers


EXAMPLES = {
    "--rotate": "0,90,0",
    "--translate": "0,1.5,0",
    "--scale": "2",
    "--crop-box": "-1,-1,-1,1,1,1",
    "--crop-sphere": "0,0,0,2",
    "--opacity-min": "0.05",
    "--decimate": "50%",
    "--sh": "0",
}
"""A value for each option that takes numbers, for messages."""

NUMBERS = {"--rotate": 3, "--translate": 3, "--crop-box": 6, "--crop-sphere": 4}
"""Count of the numbers that an option takes; other options take one."""


def parse_action(option: str, text: str) -> Action:
    """Return the action of an option of `img2world convert`. Raises FormatError when its value cannot be used."""
    if option == "--decimate":
        (value,) = parse_numbers(text.removesuffix("%"), 1, option)
        is_fraction = text.endswith("%")
        if value <= 0 or (is_fraction and value > 100) or (not is_fraction and value != int(value)):
            raise FormatError(f"--decimate has the value {text!r}", hint="give a number of Gaussians, or a percentage")
        return partial(
            merge_neighbors, count=lambda own: max(1, round(value / 100 * own)) if is_fraction else int(value)
        )
    values = parse_numbers(text, NUMBERS.get(option, 1), option)
    if option == "--rotate":
        return partial(move, degrees=values)
    if option == "--translate":
        return partial(move, offset=values)
    if option == "--crop-box":
        return partial(crop_box, low=values[:3], high=values[3:])
    if option == "--crop-sphere":
        return partial(crop_sphere, center=values[:3], radius=values[3])
    if option == "--opacity-min":
        return partial(drop_transparent, opacity=values[0])
    if option == "--sh":
        if values[0] not in (0, 1, 2, 3):
            raise FormatError(f"--sh has the value {text!r}, needs a degree from 0 to 3", hint="for example --sh 0")
        return partial(limit_degree, degree=int(values[0]))
    if values[0] <= 0:
        raise FormatError(f"--scale has the value {text!r}, needs a positive number", hint="for example --scale 2")
    return partial(move, factor=values[0])
