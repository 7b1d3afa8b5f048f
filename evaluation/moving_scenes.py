"""Scenes that move, made from a seed, whose shape is known at any time: ground truth for reconstructions in 4D.

Motion is continuous over times from 0 to 1. Lengths are such that an orbit at a distance of 1 sees the whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, UInt8

from evaluation.assets import TexturedMesh, mesh_from_scene
from evaluation.placement import square_cameras
from evaluation.procedural import with_random_texture
from evaluation.rendering import UNLIT, Lighting, RenderedViews, irradiance, render_asset, stack_renders
from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras
from img2world.core.conventions import Y_UP_FROM_WORLD
from img2world.core.rotation import rotation_about

if TYPE_CHECKING:
    from trimesh import Trimesh

RADIUS = 0.27
"""Radius of the scene's bounding sphere at a distance of 1."""

FOV_DEG = 38.0

MAX_SINE = 0.9
"""Sine of the greatest height of scattered cameras: none looks straight down."""

ALWAYS = (-np.inf, np.inf)
"""Times from which and before which something is there."""


@dataclass(frozen=True, kw_only=True)
class MovingScene:
    """A mesh whose vertices move."""

    mesh: TexturedMesh
    """The mesh at time 0."""
    vertices_at: Callable[[float], Float32[np.ndarray, "M 3"]]
    """Positions of its vertices at a time from 0 to 1."""
    moving: Bool[np.ndarray, "M"]
    """True for the vertices that move at some time."""
    spans: Float64[np.ndarray, "M 2"] | None = None
    """Times from which and before which each vertex is there; None where all are there all the time."""

    def at(self, time: float) -> TexturedMesh:
        """Return the mesh at a time from 0 to 1, with the faces that are there."""
        mesh, here = replace(self.mesh, vertices=self.vertices_at(time)), self.is_there(time)
        if here.all():
            return mesh
        faces = here[mesh.faces].all(1)
        return replace(mesh, faces=mesh.faces[faces], face_textures=mesh.face_textures[faces])

    def is_there(self, time: float) -> Bool[np.ndarray, "M"]:
        """Tell which vertices are there at a time from 0 to 1."""
        if self.spans is None:
            return np.ones(len(self.moving), bool)
        return (self.spans[:, 0] <= time) & (time < self.spans[:, 1])


def make_scene(kind: str, seed: int, kinds: "Kinds | None" = None) -> MovingScene:
    """Return the scene of a kind and a seed; `kinds` are KINDS by default. Raises KeyError for an unknown kind."""
    return (kinds or KINDS)[kind](np.random.default_rng([seed, sum(kind.encode())]))


@dataclass(frozen=True, kw_only=True)
class MovingViews:
    """Renders of a scene from each camera at each time, time by time."""

    views: RenderedViews
    times: Float[np.ndarray, "V"]
    moving: UInt8[np.ndarray, "V H W"]
    """255 where a pixel shows something that moves."""


def render_scene(scene: MovingScene, cameras: Cameras, times: Float[np.ndarray, "V"]) -> MovingViews:
    """Render one camera for each time: the i-th camera at the i-th time."""
    layers, moving = [], []
    still = _part(scene, ~scene.moving)
    for i, time in enumerate(times.tolist()):
        camera, mesh = cameras.select([i]), scene.at(time)
        view = render_asset(mesh, camera, lighting=UNLIT)
        layers.append(view)
        if still is None:
            moving.append(view.alpha[0] > 127)
        else:
            behind = render_asset(still, camera)
            differs = np.abs(view.depth[0] - behind.depth[0]) > 1e-3
            moving.append(differs & (view.alpha[0] > 127))
    return MovingViews(
        views=stack_renders(layers),
        times=times.astype(np.float64),
        moving=np.where(np.stack(moving), 255, 0).astype(np.uint8),
    )


def ring_of_cameras(
    count: int, size: int, *, elevations: tuple[float, float] = (0.05, 0.5), offset: float = 0.0
) -> Cameras:
    """Return cameras evenly around the origin, alternately at two elevations in radians; `offset` in steps."""
    azimuths = 2 * np.pi * (np.arange(count) + offset) / count
    heights = np.where(np.arange(count) % 2 == 0, *elevations)
    return square_cameras(on_sphere(azimuths, heights), float(np.radians(FOV_DEG)), size)


def scattered_cameras(count: int, size: int) -> Cameras:
    """Return cameras anywhere on the upper half of a sphere around the origin, in no order."""
    rng = np.random.default_rng(count)
    azimuths, sines = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, MAX_SINE, count)
    return square_cameras(on_sphere(azimuths, np.arcsin(sines)), float(np.radians(FOV_DEG)), size)


def _part(scene: MovingScene, chosen: Bool[np.ndarray, "M"]) -> TexturedMesh | None:
    """Return the faces of which all vertices are chosen; None without any."""
    faces = chosen[scene.mesh.faces].all(1)
    if not faces.any():
        return None
    return replace(scene.mesh, faces=scene.mesh.faces[faces], face_textures=scene.mesh.face_textures[faces])


Kinds = dict[str, Callable[[np.random.Generator], MovingScene]]
"""Functions from a random generator to a scene, by the name of the kind."""

Part = tuple["Trimesh", "Motion | None"]
Motion = Callable[[Float[np.ndarray, "M 3"], float], Float[np.ndarray, "M 3"]]
"""Positions of vertices at a time from 0 to 1, from those in the mesh; +Y is up."""


def _scene_of(
    parts: list[Part], rng: np.random.Generator, spans: Sequence[tuple[float, float]] | None = None
) -> MovingScene:
    """Return one scene of meshes with random textures, each with its motion, or None where it stands still.

    `spans` are the times from which and before which each part is there.
    """
    import trimesh

    textured = [with_random_texture(mesh, rng) for mesh, _ in parts]
    mesh = mesh_from_scene(trimesh.Scene(textured))
    owner = _owners(mesh, textured)
    rest = mesh.vertices.astype(np.float64) @ Y_UP_FROM_WORLD[:3, :3]
    moving = np.isin(owner, [i for i, (_, motion) in enumerate(parts) if motion is not None])
    scene = fitted_scene(mesh, lambda time: _moved(rest, owner, parts, time), moving)
    return scene if spans is None else replace(scene, spans=np.array(spans, np.float64)[owner])


def fitted_scene(
    mesh: TexturedMesh,
    place: Callable[[float], Float64[np.ndarray, "M 3"]],
    moving: Bool[np.ndarray, "M"],
) -> MovingScene:
    """Return a scene that stays in a sphere of RADIUS about the origin, lit as the mesh is at rest.

    `place` returns the vertices at a time from 0 to 1, with +Y up and in any unit. Light is part of the colours and
    moves along: what turns looks the same from everywhere, so that its motion is all that a reconstruction must find.
    """
    moved = np.concatenate([place(float(time)) for time in np.linspace(0, 1, 9)])
    center = (moved.min(0) + moved.max(0)) / 2
    scale = RADIUS / np.linalg.norm(moved - center, axis=1).max()

    def vertices_at(time: float) -> Float32[np.ndarray, "M 3"]:
        return ((place(time) - center) * scale @ Y_UP_FROM_WORLD[:3, :3].T).astype(np.float32)

    lit = (mesh.tints * irradiance(mesh.normals, mesh.normals, Lighting())).astype(np.float32)
    return MovingScene(mesh=replace(mesh, vertices=vertices_at(0.0), tints=lit), vertices_at=vertices_at, moving=moving)


def _moved(
    rest: Float[np.ndarray, "M 3"], owner: Int[np.ndarray, "M"], parts: list[Part], time: float
) -> Float[np.ndarray, "M 3"]:
    """Return all vertices at a time."""
    moved = rest.copy()
    for i, (_, motion) in enumerate(parts):
        if motion is not None:
            moved[owner == i] = motion(rest[owner == i], time)
    return moved


def _owners(mesh: TexturedMesh, textured: list["Trimesh"]) -> Int[np.ndarray, "M"]:
    """Return the index of the part of each vertex, which keep their order within a part."""
    from scipy.spatial import KDTree

    corners = np.concatenate([part.vertices for part in textured])
    owner = np.repeat(np.arange(len(textured)), [len(part.vertices) for part in textured])
    in_y_up = mesh.vertices @ Y_UP_FROM_WORLD[:3, :3]
    return owner[KDTree(corners).query(in_y_up)[1]]


def _about(axis: Sequence[float], pivot: Sequence[float], angle: Callable[[float], float]) -> Motion:
    """Return a rotation by an angle in radians about an axis through a pivot."""

    def motion(points: np.ndarray, time: float) -> np.ndarray:
        turn = rotation_about(np.asarray(axis, float), angle(time))
        return (points - np.asarray(pivot)) @ turn.T + np.asarray(pivot)

    return motion


def _hinged_box(rng: np.random.Generator) -> MovingScene:
    """Return a box whose lid opens."""
    from trimesh import creation

    width, depth, height = rng.uniform([0.9, 0.7, 0.4], [1.3, 1.0, 0.7])
    body = _fine_box((width, height, depth), 0.25)
    lid = _fine_box((width, 0.1, depth), 0.25)
    lid.apply_translation((0, height / 2 + 0.06, 0))
    ball = creation.icosphere(subdivisions=3, radius=0.18)
    ball.apply_translation((0.3 * width, height / 2 + 0.11 + 0.17, 0.1))
    opens = _about((1.0, 0.0, 0.0), (0.0, height / 2, -depth / 2), lambda time: -np.radians(100) * _ease(time))
    return _scene_of([(body, None), (lid, opens), (ball, opens)], rng)


def _capsule_chain(rng: np.random.Generator) -> MovingScene:
    """Return an arm of capsules that waves, on a base."""
    from trimesh import creation

    base = creation.cylinder(0.5, 0.2, sections=48)
    base.apply_transform(_upright())
    parts: list[Part] = [(base, None)]
    length, swings = 0.45, rng.uniform(0.3, 0.8, 3) * rng.choice([-1, 1], 3)

    def arm(link: int) -> Motion:
        def motion(points: np.ndarray, time: float) -> np.ndarray:
            for joint in range(link, -1, -1):
                turn = _about(
                    (0.0, 0.0, 1.0),
                    (0.0, 0.1 + joint * length, 0.0),
                    lambda t, j=joint: swings[j] * np.sin(2 * np.pi * t),
                )
                points = turn(points, time)
            return points

        return motion

    for link in range(3):
        bar = creation.capsule(length, 0.16 - 0.02 * link)
        bar.apply_transform(_upright())
        bar.apply_translation((0, 0.1 + (link + 0.5) * length - bar.bounds.mean(0)[1], 0))
        parts.append((bar, arm(link)))
    return _scene_of(parts, rng)


def _twisting_bar(rng: np.random.Generator) -> MovingScene:
    """Return a bar that twists about its own axis, which no few rigid parts can do exactly."""
    bar = _fine_box((0.5, 1.4, 0.3), 0.08)
    most = rng.uniform(0.7, 1.2) * rng.choice([-1, 1])

    def motion(points: np.ndarray, time: float) -> np.ndarray:
        angles = most * np.sin(np.pi * time) * (points[:, 1] + 0.7) / 1.4
        cos, sin = np.cos(angles), np.sin(angles)
        x, z = points[:, 0], points[:, 2]
        return np.stack([cos * x + sin * z, points[:, 1], -sin * x + cos * z], 1)

    return _scene_of([(bar, motion)], rng)


def _bouncing_balls(rng: np.random.Generator) -> MovingScene:
    """Return balls that bounce on a plate."""
    from trimesh import creation

    plate = _fine_box((1.6, 0.12, 1.6), 0.3)
    parts: list[Part] = [(plate, None)]
    for angle in rng.uniform(0, 2 * np.pi) + np.array([0, 2.1, 4.2]):
        ball = creation.icosphere(subdivisions=3, radius=float(rng.uniform(0.18, 0.26)))
        ball.apply_translation((0.5 * np.cos(angle), 0.06 - ball.bounds[0, 1], 0.5 * np.sin(angle)))
        parts.append((ball, _bounce(rng.uniform(0.5, 0.9), rng.uniform(0, 1), rng.uniform(-0.25, 0.25, 2))))
    return _scene_of(parts, rng)


def _appearing_ball(rng: np.random.Generator) -> MovingScene:
    """Return a ball that bounces on a plate, and one that appears in the air at a time of 0.4 and glides."""
    return _balls_with_spans(rng, [ALWAYS, (0.4, np.inf)])


def _passing_balls(rng: np.random.Generator) -> MovingScene:
    """Return a ball that bounces on a plate, one that is gone from 0.35 on, and one that appears at 0.6."""
    return _balls_with_spans(rng, [ALWAYS, (-np.inf, 0.35), (0.6, np.inf)])


def _balls_with_spans(rng: np.random.Generator, spans: list[tuple[float, float]]) -> MovingScene:
    """Return balls on a plate, each there for a span of time: the first bounces, the others glide in the air."""
    from trimesh import creation

    parts: list[Part] = [(_fine_box((1.6, 0.12, 1.6), 0.3), None)]
    start = rng.uniform(0, 2 * np.pi)
    for i in range(len(spans)):
        ball, angle = creation.icosphere(subdivisions=3, radius=float(rng.uniform(0.2, 0.26))), start + 2.1 * i
        ball.apply_translation((0.5 * np.cos(angle), 0.06 - ball.bounds[0, 1], 0.5 * np.sin(angle)))
        if i:
            ball.apply_translation((0, 0.45, 0))
        height, drift = (0.7, np.zeros(2)) if i == 0 else (0.0, rng.uniform(-0.4, 0.4, 2))
        parts.append((ball, _bounce(height, 0.0, drift)))
    return _scene_of(parts, rng, [ALWAYS, *spans])


def _fine_box(extents: tuple[float, float, float], side: float) -> "Trimesh":
    """Return a box whose edges are at most so long, so that it can bend."""
    from trimesh import Trimesh, creation
    from trimesh.remesh import subdivide_to_size

    box = creation.box(extents=extents)
    vertices, faces = subdivide_to_size(box.vertices, box.faces, side)[:2]
    return Trimesh(vertices, faces)


def _bounce(height: float, phase: float, drift: Float[np.ndarray, "2"]) -> Motion:
    """Return the motion of a ball that bounces and drifts aside."""

    def motion(points: np.ndarray, time: float) -> np.ndarray:
        part = (1.5 * time + phase) % 1
        return points + np.array([drift[0] * (time - 0.5), 4 * height * part * (1 - part), drift[1] * (time - 0.5)])

    return motion


def _upright() -> Float[np.ndarray, "4 4"]:
    """Return the rotation that makes what stands along +Z stand along +Y."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_about(np.array([1.0, 0.0, 0.0]), -np.pi / 2)
    return matrix


def _ease(time: float) -> float:
    """Return a smooth way from 0 to 1."""
    return time * time * (3 - 2 * time)


KINDS: Kinds = {
    "hinged box": _hinged_box,
    "capsule chain": _capsule_chain,
    "twisting bar": _twisting_bar,
    "bouncing balls": _bouncing_balls,
    "appearing ball": _appearing_ball,
    "passing balls": _passing_balls,
}
"""Scenes that need no data."""
