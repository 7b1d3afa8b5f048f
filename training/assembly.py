"""Shapes with materials put together to a world that can be drawn."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numba import njit

from training.shapes import Shape
from training.textures import SIZE


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a surface looks."""

    texture: int
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gloss: float = 0.0
    """Strength of highlights and mirroring, 0 to 1."""
    sharpness: float = 20.0
    """Exponent of the highlight."""
    glow: float = 0.0
    """Own light."""
    repeat: float = 1.0
    """How often the texture repeats."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Triangles ready to be drawn, +Y up."""

    vertices: Float32[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]
    corner_normals: Float32[np.ndarray, "F 3 3"]
    corner_uv: Float32[np.ndarray, "F 3 2"]
    things: Int32[np.ndarray, "F"]
    """Which thing a face belongs to; what is hidden behind a thing is another thing."""
    material_of: Int32[np.ndarray, "F"]
    textures: Int32[np.ndarray, "K"]
    tints: Float32[np.ndarray, "K 3"]
    looks: Float32[np.ndarray, "K 3"]
    """Gloss, sharpness and glow."""
    texel_density: Float32[np.ndarray, "F"]
    """Texels per unit of length."""

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner."""
        return self.vertices.min(0), self.vertices.max(0)


@dataclass(kw_only=True)
class Composition:
    """A world while it is being put together."""

    shapes: list[Shape] = field(default_factory=list)
    things: list[int] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    thing: int = 0
    """The thing that is being put together."""

    def next_thing(self) -> None:
        """What is put from now on belongs to another thing."""
        self.thing += 1

    def put(
        self,
        shape: Shape,
        material: Material,
        *,
        at: np.ndarray | tuple = (0, 0, 0),
        size: np.ndarray | tuple | float = 1.0,
        turn: np.ndarray | None = None,
    ) -> None:
        """Scale a shape, turn it, move it and add it."""
        vertices = shape.vertices * np.asarray(size, float)
        if turn is not None:
            vertices = vertices @ turn.T
        self.shapes.append(
            Shape(
                vertices=vertices + np.asarray(at, float),
                faces=shape.faces,
                uv=shape.uv * material.repeat,
                smooth=shape.smooth,
            )
        )
        self.things.append(self.thing)
        self.materials.append(material)

    def include(
        self, other: "Composition", *, at: np.ndarray | tuple, size: float = 1.0, turn: np.ndarray | None = None
    ) -> None:
        """Put a whole composition as one thing."""
        self.next_thing()
        for shape, material in zip(other.shapes, other.materials, strict=True):
            moved = shape.vertices * size
            moved = moved if turn is None else moved @ turn.T
            self.shapes.append(
                Shape(vertices=moved + np.asarray(at, float), faces=shape.faces, uv=shape.uv, smooth=shape.smooth)
            )
            self.things.append(self.thing)
            self.materials.append(material)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of all that was put."""
        low = np.min([shape.vertices.min(0) for shape in self.shapes], 0)
        return low, np.max([shape.vertices.max(0) for shape in self.shapes], 0)

    def finished(self) -> World:
        """The world, with normals."""
        starts = np.cumsum([0, *(len(shape.vertices) for shape in self.shapes)])
        counts = [len(shape.faces) for shape in self.shapes]
        faces = np.concatenate([shape.faces + start for shape, start in zip(self.shapes, starts[:-1], strict=True)])
        vertices = np.concatenate([shape.vertices for shape in self.shapes]).astype(np.float32)
        uv = np.concatenate([shape.uv for shape in self.shapes]).astype(np.float32)[faces]
        smooth = np.repeat([shape.smooth for shape in self.shapes], counts)
        normals, areas = normals_of(vertices, faces, smooth)
        a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        uv_area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        density = SIZE * np.sqrt(uv_area / (areas + 1e-12))
        materials = self.materials
        return World(
            vertices=vertices,
            faces=faces.astype(np.int32),
            corner_normals=normals,
            corner_uv=uv,
            things=np.repeat(np.array(self.things, np.int32), counts),
            material_of=np.repeat(np.arange(len(materials), dtype=np.int32), counts),
            textures=np.array([material.texture for material in materials], np.int32),
            tints=np.array([material.tint for material in materials], np.float32),
            looks=np.array([(each.gloss, each.sharpness, each.glow) for each in materials], np.float32),
            texel_density=density.astype(np.float32),
        )


@njit(cache=True, fastmath=True, error_model="numpy")
def normals_of(
    vertices: Float32[np.ndarray, "M 3"], faces: np.ndarray, smooth: Bool[np.ndarray, "F"]
) -> tuple[Float32[np.ndarray, "F 3 3"], Float32[np.ndarray, "F"]]:
    """Normals of the faces' corners, of smooth faces by the mean at a vertex, and twice the faces' areas."""
    at_vertex, cross = np.zeros((len(vertices), 3)), np.empty((len(faces), 3))
    areas, normals = np.empty(len(faces), np.float32), np.empty((len(faces), 3, 3), np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        for axis in range(3):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            one = (vertices[b, i] - vertices[a, i]) * (vertices[c, j] - vertices[a, j])
            cross[f, axis] = one - (vertices[b, j] - vertices[a, j]) * (vertices[c, i] - vertices[a, i])
            for corner in range(3):
                at_vertex[faces[f, corner], axis] += cross[f, axis]
        areas[f] = np.sqrt(cross[f, 0] ** 2 + cross[f, 1] ** 2 + cross[f, 2] ** 2)
    for f in range(len(faces)):
        for corner in range(3):
            vertex = faces[f, corner]
            x, y, z = cross[f, 0], cross[f, 1], cross[f, 2]
            if smooth[f]:
                x, y, z = at_vertex[vertex, 0], at_vertex[vertex, 1], at_vertex[vertex, 2]
            share = 1 / (np.sqrt(x * x + y * y + z * z) + 1e-12)
            normals[f, corner, 0], normals[f, corner, 1], normals[f, corner, 2] = x * share, y * share, z * share
    return normals, areas
