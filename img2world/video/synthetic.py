"""Render a random object or room with exact cameras, depth and alpha: ground truth for tests and evaluation."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32, UInt8

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import PositiveInt, Range
from img2world.core.rotation import matrix_from_quat
from img2world.core.subject import Subject
from img2world.render.triangles import TriangleHits, rasterize_triangles

OBJECT_RADIUS = 0.32
"""Radius of the object's bounding sphere, which is well inside the picture from one unit away."""

ROOM_HALF_SIZE = np.array([1.6, 1.0, 1.6])
"""Half the room's extent along each axis; cameras must be inside."""

LIGHT_IN_WORLD = np.array([-0.4, -0.8, -0.45])
"""Direction towards the light, which shines from above and from the left of the input camera."""

OCTAVES = ((11.0, 0.4), (29.0, 0.35), (67.0, 0.25))
"""Frequency per unit and weight of each octave of the texture. The finest cells are four pixels wide at 256 pixels."""

LATTICE = 64
"""Period of the noise in cells, larger than the object in every octave."""

FPS = 16.0


class Surface(NamedTuple):
    """Triangles with smooth normals, and a texture of two colours for each part."""

    vertices: Float32[np.ndarray, "M 3"]
    normals: Float32[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]
    parts: Int[np.ndarray, "F"]
    """Index of the part that a face belongs to."""
    colors: Float32[np.ndarray, "P 2 3"]
    """The two sRGB colours 0 to 1 of each part."""


@dataclass(frozen=True, kw_only=True)
class SyntheticVideo:
    """A seeded, textured, asymmetric object on white, or the same object in a textured room."""

    kind: Literal["object", "room"] = "object"
    num_parts: PositiveInt = 7
    """Number of rounded blocks that form the object."""
    supersample: Annotated[int, Range(1, 16)] = 2
    """Samples per pixel along each axis."""
    num_frames: PositiveInt = 36
    """Views of the full circle that is rendered without a trajectory."""
    size: Annotated[int, Range(16)] = 256
    """Width and height of these views in pixels."""

    def generate(
        self, subject: Subject | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """Render frames along the trajectory, or along a circle without one; the picture is ignored.

        Depth is exact at pixel centres and 0 on the background. `alpha` is None in a room. Raises VideoError when an
        option is out of range.
        """
        if self.kind not in ("object", "room") or min(self.num_parts, self.supersample, self.num_frames) < 1:
            raise VideoError(
                f"video.kind is {self.kind!r}, num_parts {self.num_parts}, supersample {self.supersample}, "
                f"num_frames {self.num_frames}; needs object or room, and numbers above 0",
                hint="correct the option in the recipe",
            )
        cameras = self._circle() if trajectory is None else trajectory
        random = np.random.default_rng(seed)
        surface = object_surface(random, self.num_parts)
        if self.kind == "room":
            surface = _join([surface, _room(random)])
        noise = random.random((LATTICE, LATTICE, LATTICE), np.float32)
        rendered = []
        for i in range(len(cameras)):
            rendered.append(_render(surface, noise, cameras.select([i]), self.supersample))
            progress(i + 1, len(cameras))
        rgb, alpha, depth = (np.stack(maps) for maps in zip(*rendered, strict=True))
        return Frames(
            rgb=rgb,
            alpha=alpha if self.kind == "object" else None,
            depth=depth,
            cameras=cameras,
            times=np.arange(len(cameras)) / FPS,
        )

    def _circle(self) -> Cameras:
        """Return the cameras of a full circle around the object, a little from above."""
        intrinsics = intrinsics_from_fov(np.deg2rad(45.0), self.size, self.size)
        return Cameras(
            world_from_cam=orbit(self.num_frames, elevation=np.deg2rad(15.0)),
            intrinsics=np.repeat(intrinsics[None], self.num_frames, 0),
            width=self.size,
            height=self.size,
        )


def object_surface(random: np.random.Generator, num_parts: int) -> Surface:
    """Return a rounded block with smaller ones attached to it, within OBJECT_RADIUS of the origin."""
    body = _block(random, radii=random.uniform(0.14, 0.26, 3), center=np.zeros(3))
    parts = [body]
    for _ in range(num_parts - 1):
        center = body.vertices[random.integers(len(body.vertices))].astype(np.float64)
        parts.append(_block(random, radii=random.uniform(0.04, 0.12, 3), center=center))
    surface = _join(parts)
    center = (surface.vertices.min(0) + surface.vertices.max(0)) / 2
    vertices = surface.vertices - center
    vertices *= OBJECT_RADIUS / np.linalg.norm(vertices, axis=1).max()
    return surface._replace(vertices=vertices)


def _block(random: np.random.Generator, *, radii: np.ndarray, center: np.ndarray, steps: int = 48) -> Surface:
    """Return a rotated superellipsoid with exact normals (Barr, "Superquadrics", 1981)."""
    roundness = random.uniform(0.4, 1.2, 2)
    rotation = matrix_from_quat(random.normal(size=4))
    latitude = np.linspace(-np.pi / 2, np.pi / 2, steps + 1)
    longitude = np.linspace(-np.pi, np.pi, 2 * steps + 1)

    def directions(exponents: np.ndarray) -> np.ndarray:
        up, flat = _power(np.sin(latitude), exponents[0]), _power(np.cos(latitude), exponents[0])
        x, z = _power(np.cos(longitude), exponents[1]), _power(np.sin(longitude), exponents[1])
        x, y, z = np.outer(flat, x), np.outer(up, np.ones_like(x)), np.outer(flat, z)
        return np.stack([x, y, z], -1).reshape(-1, 3)

    vertices = directions(roundness) * radii @ rotation.T + center
    normals = directions(2 - roundness) / radii @ rotation.T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    faces = _grid_faces(steps, 2 * steps)
    colors = random.random((1, 2, 3), np.float32)
    # The second colour differs enough from the first for the texture to be visible.
    colors[:, 1] = (colors[:, 0] + random.uniform(0.35, 0.65, 3).astype(np.float32)) % 1
    return Surface(
        vertices.astype(np.float32),
        normals.astype(np.float32),
        faces,
        np.zeros(len(faces), np.int64),
        0.05 + 0.9 * colors,
    )


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    """Return the power of the absolute values with the sign of the values."""
    return np.sign(values) * np.abs(values) ** exponent


def _grid_faces(rows: int, columns: int) -> Int32[np.ndarray, "F 3"]:
    """Return two triangles for each cell of a grid of vertices."""
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    right, below = corner + 1, corner + columns + 1
    return np.stack([corner, right, below, right, below + 1, below], -1).reshape(-1, 3).astype(np.int32)


def _room(random: np.random.Generator) -> Surface:
    """Return six walls around the origin, with normals towards the inside and colours of their own."""
    walls = []
    # Faces are small, because one that reaches behind the camera is not rendered at all.
    line = np.linspace(-1, 1, 33)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    faces = _grid_faces(32, 32)
    for axis in range(3):
        for side in (-1.0, 1.0):
            other = [i for i in range(3) if i != axis]
            vertices = np.full((len(grid), 3), side)
            vertices[:, other] = grid
            normals = np.zeros((len(grid), 3), np.float32)
            normals[:, axis] = -side
            colors = random.random((1, 2, 3), np.float32)
            parts = np.zeros(len(faces), np.int64)
            walls.append(Surface((vertices * ROOM_HALF_SIZE).astype(np.float32), normals, faces, parts, colors))
    return _join(walls)


def _join(surfaces: list[Surface]) -> Surface:
    """Return all surfaces as one."""
    first_vertex = np.cumsum([0] + [len(surface.vertices) for surface in surfaces])
    first_part = np.cumsum([0] + [len(surface.colors) for surface in surfaces])
    return Surface(
        np.concatenate([surface.vertices for surface in surfaces]),
        np.concatenate([surface.normals for surface in surfaces]),
        np.concatenate([s.faces + np.int32(i) for s, i in zip(surfaces, first_vertex[:-1], strict=True)]),
        np.concatenate([s.parts + i for s, i in zip(surfaces, first_part[:-1], strict=True)]),
        np.concatenate([surface.colors for surface in surfaces]),
    )


def _render(
    surface: Surface, noise: Float32[np.ndarray, "L L L"], camera: Cameras, supersample: int
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Return colours on white, alpha, and depth at pixel centres, from one camera."""
    cam_from_world = camera.cam_from_world[0]
    vertices = np.ascontiguousarray(surface.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3])
    opaque = np.ones(len(vertices), np.float32)
    depth = rasterize_triangles(vertices, surface.faces, opaque, camera).depth
    fine = camera.resized(camera.width * supersample, camera.height * supersample)
    hits = rasterize_triangles(vertices, surface.faces, opaque, fine)
    covered = hits.face >= 0
    rgb = np.ones((fine.height, fine.width, 3), np.float32)
    rgb[covered] = _shade(surface, noise, hits, covered)
    layers = np.dstack([rgb, covered])
    samples = [layers[i::supersample, j::supersample] for i in range(supersample) for j in range(supersample)]
    small = np.round(np.mean(samples, 0) * 255).astype(np.uint8)  # [H, W, 4]
    return small[..., :3], small[..., 3], depth


def _shade(
    surface: Surface, noise: Float32[np.ndarray, "L L L"], hits: TriangleHits, covered: np.ndarray
) -> Float32[np.ndarray, "C 3"]:
    """Return the colours of the covered samples: texture times Lambert's law, independent of the view."""
    face = hits.face[covered]
    second, third = hits.barycentric[covered].T
    weights = np.stack([1 - second - third, second, third], -1)  # [C, 3]
    corners = surface.faces[face]
    points = np.einsum("ck,ckd->cd", weights, surface.vertices[corners])
    normals = np.einsum("ck,ckd->cd", weights, surface.normals[corners])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    light = (LIGHT_IN_WORLD / np.linalg.norm(LIGHT_IN_WORLD)).astype(np.float32)
    # Half of the light is ambient, so that nothing is black.
    brightness = 0.55 + 0.45 * np.clip(normals @ light, 0, 1)
    octaves = np.stack(
        [np.float32(weight) * _value_noise(points * np.float32(frequency), noise) for frequency, weight in OCTAVES]
    )
    # Noise stays near its mean; with more contrast both colours are visible.
    mix = np.clip(0.5 + 2.2 * (octaves.sum(0) - 0.5), 0, 1)[:, None]
    first, other = surface.colors[surface.parts[face]].transpose(1, 0, 2)
    return ((1 - mix) * first + mix * other) * brightness[:, None]


def _value_noise(points: Float32[np.ndarray, "C 3"], noise: Float32[np.ndarray, "L L L"]) -> Float32[np.ndarray, "C"]:
    """Return random values at integer positions, smoothly interpolated between them."""
    cell = np.floor(points)
    x, y, z = (smooth * smooth * (3 - 2 * smooth) for smooth in (points - cell).T)
    i, j, k = (cell.astype(np.int64) % LATTICE).T
    i1, j1, k1 = (i + 1) % LATTICE, (j + 1) % LATTICE, (k + 1) % LATTICE

    def along_z(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return noise[i, j, k] * (1 - z) + noise[i, j, k1] * z

    near = along_z(i, j) * (1 - y) + along_z(i, j1) * y
    far = along_z(i1, j) * (1 - y) + along_z(i1, j1) * y
    return near * (1 - x) + far * x
