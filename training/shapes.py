"""Simple shapes with texture coordinates: what the made things and places are put together from.

Made worlds have +Y up (as glTF) until a camera looks at them; a shape fits in a box of side 1 around its origin.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A textured surface; it need not be closed."""

    vertices: Float[np.ndarray, "M 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "M 2"]
    """One is the whole texture, which repeats."""
    smooth: bool = True
    """Whether it is lit as a rounded surface or as flat faces."""


def patch(
    points: Float[np.ndarray, "A B 3"], *, repeat: tuple[float, float] = (1.0, 1.0), smooth: bool = True
) -> Shape:
    """A surface through a grid of points."""
    faces, uv = _grid(*points.shape[:2], repeat)
    return Shape(vertices=points.reshape(-1, 3), faces=faces, uv=uv, smooth=smooth)


@lru_cache(maxsize=256)
def _grid(rows: int, columns: int, repeat: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Triangles and texture coordinates of a grid of points, not to be written to: many shapes have the same."""
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


def superquadric(roundness: float = 1.0, plan: float = 1.0, *, detail: int = 12) -> Shape:
    """A ball at (1, 1); towards 0 its sections become boxes, above 1 stars (Barr 1981)."""
    across, up = np.meshgrid(
        np.linspace(-np.pi, np.pi, 2 * detail), np.linspace(-np.pi / 2, np.pi / 2, detail), indexing="ij"
    )

    def power(values: np.ndarray, exponent: float) -> np.ndarray:
        return np.sign(values) * np.abs(values) ** exponent

    ring = power(np.cos(up), roundness)
    points = np.stack(
        [ring * power(np.cos(across), plan), power(np.sin(up), roundness), ring * power(np.sin(across), plan)], -1
    )
    return patch(0.5 * points, repeat=(2, 1), smooth=roundness > 0.15)


def lathe(radii: np.ndarray, heights: np.ndarray, *, detail: int = 20, closed: bool = True) -> Shape:
    """A profile turned about the upright axis; `closed` adds lids."""
    radii, heights = np.asarray(radii, float), np.asarray(heights, float)
    if closed:
        # The lid's rim is doubled, so that light breaks there.
        radii = np.concatenate([[0, radii[0]], radii, [radii[-1], 0]])
        heights = np.concatenate([[heights[0]] * 2, heights, [heights[-1]] * 2])
    turn = np.linspace(0, 2 * np.pi, detail)[:, None]
    points = np.stack([radii * np.cos(turn), heights + 0 * turn, radii * np.sin(turn)], -1)
    return patch(points, repeat=(2, 1))


def cylinder(top: float = 0.5, *, detail: int = 14) -> Shape:
    """A cylinder, or a cone where the top is narrower."""
    return lathe(np.array([0.5, top]), np.array([-0.5, 0.5]), detail=detail)


def tube(path: Float[np.ndarray, "K 3"], radii: np.ndarray, *, detail: int = 8) -> Shape:
    """A tube along a path with rounded ends: limbs, branches, handles, necks."""
    direction = np.gradient(path, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
    # A fixed reference that is never along the path keeps the tube from twisting much.
    reference = np.eye(3)[int(np.argmin(np.abs(direction).sum(0)))]
    side = np.cross(direction, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    over = np.cross(direction, side)
    ends = [path[0] - 0.6 * radii[0] * direction[0], path[-1] + 0.6 * radii[-1] * direction[-1]]
    centers = np.concatenate([ends[0][None], path, ends[1][None]])
    side, over = (np.concatenate([axis[:1], axis, axis[-1:]]) for axis in (side, over))
    radius = np.concatenate([[0.02 * radii[0]], radii, [0.02 * radii[-1]]])
    turn = np.linspace(0, 2 * np.pi, detail)[:, None, None]
    points = centers + radius[:, None] * (np.cos(turn) * side + np.sin(turn) * over)
    return patch(points, repeat=(1, 2))


def bent(start: ArrayLike, middle: ArrayLike, end: ArrayLike, *, steps: int = 7) -> Float[np.ndarray, "K 3"]:
    """A curve from `start` to `end` drawn towards `middle` (Bézier)."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) ** 2 * np.asarray(start) + 2 * t * (1 - t) * np.asarray(middle) + t**2 * np.asarray(end)


def torus(thickness: float = 0.15, *, detail: int = 20) -> Shape:
    """A flat ring of outer radius one half."""
    turn = np.linspace(0, 2 * np.pi, detail)[:, None]
    around = np.linspace(0, 2 * np.pi, 9)
    ring = 0.5 - thickness + thickness * np.cos(around)
    points = np.stack([ring * np.cos(turn), thickness * np.sin(around) + 0 * turn, ring * np.sin(turn)], -1)
    return patch(points, repeat=(3, 1))


def blob(rng: np.random.Generator, *, detail: int = 14, strength: float = 1.0) -> Shape:
    """A ball with seeded waves: stones, crowns of trees, bodies, fruit."""
    ball = superquadric(detail=detail)
    waves = np.zeros(len(ball.vertices))
    for _ in range(rng.integers(3, 8)):
        waves += np.sin(
            ball.vertices @ (rng.standard_normal(3) * rng.uniform(2, 10)) + rng.uniform(0, 6)
        ) * rng.uniform(0.02, 0.1)
    return Shape(vertices=ball.vertices * (1 + strength * waves)[:, None], faces=ball.faces, uv=ball.uv)


def extruded(outline: Float[np.ndarray, "K 2"]) -> Shape:
    """A flat star-shaped outline around the origin as a slab of thickness 1 along z."""
    count = len(outline)
    ring = np.concatenate([outline, outline[:1]])
    front, back = (np.concatenate([ring, np.full((count + 1, 1), z)], 1) for z in (-0.5, 0.5))
    middle = [np.broadcast_to(np.array([0.0, 0.0, z]), front.shape) for z in (-0.5, 0.5)]
    slab = patch(np.stack([middle[0], front, back, middle[1]], 1), smooth=False)
    return Shape(vertices=slab.vertices, faces=slab.faces, uv=slab.vertices[:, :2] + 0.5, smooth=False)


def star(rng: np.random.Generator) -> Shape:
    """A slab with a seeded outline: leaves, gears, signs, letters, wings."""
    count = int(rng.integers(5, 24))
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 6)
    radius = 0.5 * rng.uniform(rng.uniform(0.3, 0.9), 1, count)
    return extruded(np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1))


def profile(rng: np.random.Generator) -> Shape:
    """A seeded vase, bottle, bell or chess piece."""
    knots = int(rng.integers(4, 8))
    heights, radii = np.linspace(-0.5, 0.5, knots), rng.uniform(0.08, 0.5, knots)
    fine = np.linspace(-0.5, 0.5, 14)
    if rng.random() < 0.4:
        return lathe(np.interp(fine, heights, radii), fine)
    smooth = np.polynomial.Polynomial.fit(heights, radii, min(4, knots - 1))(fine)
    return lathe(smooth.clip(0.04, 0.55), fine)


def bowl(rng: np.random.Generator) -> Shape:
    """An open vessel with an inside: cup, bowl, pot, plate."""
    fine = np.linspace(0, 1, 7)
    outer = rng.uniform(0.2, 0.5) + (0.5 - 0.2) * fine ** rng.uniform(0.3, 2)
    outer = outer / outer.max() * 0.5
    wall = rng.uniform(0.03, 0.08)
    radii = np.concatenate([[0.0], outer, outer[::-1] - wall, [0.0]])
    heights = np.concatenate([[0.0], fine, fine[::-1].clip(wall, None), [wall]]) - 0.5
    return lathe(radii, heights, closed=False)


def any_shape(rng: np.random.Generator) -> Shape:
    """One of all shapes."""
    kind = int(rng.integers(12))
    if kind == 0:
        return BOX
    if kind == 1:
        return superquadric()
    if kind in (2, 3):
        return superquadric(*rng.uniform(0.1, 1.8, 2))
    if kind in (4, 5):
        return profile(rng)
    if kind == 6:
        return cylinder(rng.choice([0.5, 0.5, 0.3, 0.01]))
    if kind == 7:
        return torus(rng.uniform(0.05, 0.2))
    if kind == 8:
        return bowl(rng)
    if kind == 9:
        return star(rng)
    if kind == 10:
        path = bent(*rng.uniform(-0.45, 0.45, (3, 3)))
        return tube(path, rng.uniform(0.03, 0.2) * np.linspace(1, rng.uniform(0.2, 1), len(path)))
    return blob(rng)
