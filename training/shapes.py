"""Primitive shapes with texture coordinates, from which procedural objects and scenes are assembled.

Axes have +Y up, as in glTF. Each shape fits in a box of side 1 around the origin.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Textured surface, closed or open."""

    vertices: Float[np.ndarray, "M 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "M 2"]
    """Texture coordinates; the texture covers the unit square and repeats."""
    smooth: bool = True
    """Shade with interpolated vertex normals rather than face normals."""


def grid_surface(
    points: Float[np.ndarray, "A B 3"], *, repeat: tuple[float, float] = (1.0, 1.0), smooth: bool = True
) -> Shape:
    """Return the surface through a grid of points."""
    faces, uv = _grid(*points.shape[:2], repeat)
    return Shape(vertices=points.reshape(-1, 3), faces=faces, uv=uv, smooth=smooth)


@lru_cache(maxsize=256)
def _grid(rows: int, columns: int, repeat: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles and texture coordinates of a grid, read-only because many shapes share them."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    corner = (i * columns + j).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + columns, corner + 1], 1),
            np.stack([corner + 1, corner + columns, corner + columns + 1], 1),
        ]
    )
    u, v = np.meshgrid(np.linspace(0, repeat[0], rows), np.linspace(0, repeat[1], columns), indexing="ij")
    uv = np.stack([u.ravel(), v.ravel()], 1)
    faces.flags.writeable = uv.flags.writeable = False
    return faces, uv


def _box() -> Shape:
    """Return a cube with a separate set of vertices for each side."""
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    vertices, faces = np.zeros((24, 3)), []
    for side in range(6):
        axis, sign = side // 2, 2 * (side % 2) - 1
        four = vertices[4 * side : 4 * side + 4]
        four[:, axis] = sign
        four[:, (axis + 1) % 3], four[:, (axis + 2) % 3] = square[:, 0] * sign, square[:, 1]
        faces += [[4 * side, 4 * side + 1, 4 * side + 2], [4 * side, 4 * side + 2, 4 * side + 3]]
    uv = np.tile((square + 1) / 2, (6, 1))
    return Shape(vertices=vertices * 0.5, faces=np.array(faces), uv=uv, smooth=False)


BOX = _box()


def superquadric(profile_exponent: float = 1.0, plan_exponent: float = 1.0, *, detail: int = 12) -> Shape:
    """Return a superellipsoid (Barr 1981): a ball at (1, 1), box-like sections towards 0, star-like above 1."""
    azimuth, latitude = np.meshgrid(
        np.linspace(-np.pi, np.pi, 2 * detail), np.linspace(-np.pi / 2, np.pi / 2, detail), indexing="ij"
    )

    def power(values: np.ndarray, exponent: float) -> np.ndarray:
        return np.sign(values) * np.abs(values) ** exponent

    ring = power(np.cos(latitude), profile_exponent)
    points = np.stack(
        [
            ring * power(np.cos(azimuth), plan_exponent),
            power(np.sin(latitude), profile_exponent),
            ring * power(np.sin(azimuth), plan_exponent),
        ],
        -1,
    )
    return grid_surface(0.5 * points, repeat=(2, 1), smooth=profile_exponent > 0.15)


def lathe(radii: np.ndarray, heights: np.ndarray, *, detail: int = 20, closed: bool = True) -> Shape:
    """Return the surface of revolution of a profile about the Y axis; `closed` adds end caps."""
    radii, heights = np.asarray(radii, float), np.asarray(heights, float)
    if closed:
        # The rim is doubled, so that the shading has a hard edge there.
        radii = np.concatenate([[0, radii[0]], radii, [radii[-1], 0]])
        heights = np.concatenate([[heights[0]] * 2, heights, [heights[-1]] * 2])
    angle = np.linspace(0, 2 * np.pi, detail)[:, None]
    points = np.stack([radii * np.cos(angle), heights + 0 * angle, radii * np.sin(angle)], -1)
    return grid_surface(points, repeat=(2, 1))


def cylinder(top: float = 0.5, *, detail: int = 14) -> Shape:
    """Return a cylinder of radius 0.5, or a truncated cone with the given top radius."""
    return lathe(np.array([0.5, top]), np.array([-0.5, 0.5]), detail=detail)


def tube(path: Float[np.ndarray, "K 3"], radii: np.ndarray, *, detail: int = 8) -> Shape:
    """Return a tube with rounded ends along a path, as for limbs, branches and handles."""
    direction = np.gradient(path, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
    # A fixed reference direction far from the path's own keeps the tube from twisting.
    reference = np.eye(3)[int(np.argmin(np.abs(direction).sum(0)))]
    side = np.cross(direction, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    normal = np.cross(direction, side)
    ends = [path[0] - 0.6 * radii[0] * direction[0], path[-1] + 0.6 * radii[-1] * direction[-1]]
    centers = np.concatenate([ends[0][None], path, ends[1][None]])
    side, normal = (np.concatenate([axis[:1], axis, axis[-1:]]) for axis in (side, normal))
    radius = np.concatenate([[0.02 * radii[0]], radii, [0.02 * radii[-1]]])
    angle = np.linspace(0, 2 * np.pi, detail)[:, None, None]
    points = centers + radius[:, None] * (np.cos(angle) * side + np.sin(angle) * normal)
    return grid_surface(points, repeat=(1, 2))


def bezier(start: ArrayLike, control: ArrayLike, end: ArrayLike, *, steps: int = 7) -> Float[np.ndarray, "K 3"]:
    """Return points on the quadratic Bézier curve from `start` to `end` with control point `control`."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) ** 2 * np.asarray(start) + 2 * t * (1 - t) * np.asarray(control) + t**2 * np.asarray(end)


def torus(thickness: float = 0.15, *, detail: int = 20) -> Shape:
    """Return a torus of outer radius 0.5 in the XZ plane."""
    angle = np.linspace(0, 2 * np.pi, detail)[:, None]
    around = np.linspace(0, 2 * np.pi, 9)
    ring = 0.5 - thickness + thickness * np.cos(around)
    points = np.stack([ring * np.cos(angle), thickness * np.sin(around) + 0 * angle, ring * np.sin(angle)], -1)
    return grid_surface(points, repeat=(3, 1))


def random_blob(rng: np.random.Generator, *, detail: int = 14, strength: float = 1.0) -> Shape:
    """Return a ball deformed by random waves: a stone, treetop, body or fruit."""
    ball = superquadric(detail=detail)
    waves = np.zeros(len(ball.vertices))
    for _ in range(rng.integers(3, 8)):
        waves += np.sin(
            ball.vertices @ (rng.standard_normal(3) * rng.uniform(2, 10)) + rng.uniform(0, 6)
        ) * rng.uniform(0.02, 0.1)
    return Shape(vertices=ball.vertices * (1 + strength * waves)[:, None], faces=ball.faces, uv=ball.uv)


def extrude(outline: Float[np.ndarray, "K 2"]) -> Shape:
    """Return a star-shaped 2D outline around the origin as a slab of thickness 1 along Z."""
    count = len(outline)
    ring = np.concatenate([outline, outline[:1]])
    front, back = (np.concatenate([ring, np.full((count + 1, 1), z)], 1) for z in (-0.5, 0.5))
    centers = [np.broadcast_to(np.array([0.0, 0.0, z]), front.shape) for z in (-0.5, 0.5)]
    slab = grid_surface(np.stack([centers[0], front, back, centers[1]], 1), smooth=False)
    return Shape(vertices=slab.vertices, faces=slab.faces, uv=slab.vertices[:, :2] + 0.5, smooth=False)


def random_star(rng: np.random.Generator) -> Shape:
    """Return a slab with a random star-shaped outline: a leaf, gear, sign or wing."""
    count = int(rng.integers(5, 24))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 6)
    radius = 0.5 * rng.uniform(rng.uniform(0.3, 0.9), 1, count)
    return extrude(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1))


def random_vase(rng: np.random.Generator) -> Shape:
    """Return a solid of revolution with a random profile: a vase, bottle, bell or chess piece."""
    knots = int(rng.integers(4, 8))
    heights, radii = np.linspace(-0.5, 0.5, knots), rng.uniform(0.08, 0.5, knots)
    fine = np.linspace(-0.5, 0.5, 14)
    if rng.random() < 0.4:
        return lathe(np.interp(fine, heights, radii), fine)
    smooth = np.polynomial.Polynomial.fit(heights, radii, min(4, knots - 1))(fine)
    return lathe(smooth.clip(0.04, 0.55), fine)


def random_bowl(rng: np.random.Generator) -> Shape:
    """Return an open vessel with an inner surface: a cup, bowl, pot or plate."""
    fine = np.linspace(0, 1, 7)
    outer = rng.uniform(0.2, 0.5) + (0.5 - 0.2) * fine ** rng.uniform(0.3, 2)
    outer = outer / outer.max() * 0.5
    wall = rng.uniform(0.03, 0.08)
    radii = np.concatenate([[0.0], outer, outer[::-1] - wall, [0.0]])
    heights = np.concatenate([[0.0], fine, fine[::-1].clip(wall, None), [wall]]) - 0.5
    return lathe(radii, heights, closed=False)


def random_shape(rng: np.random.Generator) -> Shape:
    """Return a random shape of any kind."""
    kind = int(rng.integers(12))
    if kind == 0:
        return BOX
    if kind == 1:
        return superquadric()
    if kind in (2, 3):
        return superquadric(*rng.uniform(0.1, 1.8, 2))
    if kind in (4, 5):
        return random_vase(rng)
    if kind == 6:
        return cylinder(rng.choice([0.5, 0.5, 0.3, 0.01]))
    if kind == 7:
        return torus(rng.uniform(0.05, 0.2))
    if kind == 8:
        return random_bowl(rng)
    if kind == 9:
        return random_star(rng)
    if kind == 10:
        path = bezier(*rng.uniform(-0.45, 0.45, (3, 3)))
        return tube(path, rng.uniform(0.03, 0.2) * np.linspace(1, rng.uniform(0.2, 1), len(path)))
    return random_blob(rng)
