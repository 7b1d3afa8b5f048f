"""Assemble textured shapes into a triangle mesh for the renderer."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numba import njit

from training.materials import Material
from training.shapes import Shape
from training.textures import SIZE


@dataclass(frozen=True, kw_only=True)
class SceneMesh:
    """Triangle mesh ready for rendering, +Y up."""

    vertices: Float32[np.ndarray, "M 3"]
    faces: Int32[np.ndarray, "F 3"]
    corner_normals: Float32[np.ndarray, "F 3 3"]
    corner_uv: Float32[np.ndarray, "F 3 2"]
    object_ids: Int32[np.ndarray, "F"]
    """Object of each face. In scenes, the hidden surface behind an object belongs to another object."""
    face_materials: Int32[np.ndarray, "F"]
    textures: Int32[np.ndarray, "K"]
    tints: Float32[np.ndarray, "K 3"]
    reflectance: Float32[np.ndarray, "K 3"]
    """Gloss, shininess and emission."""
    texel_density: Float32[np.ndarray, "F"]
    """Texels per unit of length."""

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper corners of the bounding box."""
        return self.vertices.min(0), self.vertices.max(0)


@dataclass(kw_only=True)
class Assembly:
    """Shapes with materials, collected object by object."""

    shapes: list[Shape] = field(default_factory=list)
    object_ids: list[int] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    current_object: int = 0
    """Id of the object that `add` extends."""

    def start_object(self) -> None:
        """Start a new object; shapes added from now on belong to it."""
        self.current_object += 1

    def add(
        self,
        shape: Shape,
        material: Material,
        *,
        at: np.ndarray | tuple = (0, 0, 0),
        size: np.ndarray | tuple | float = 1.0,
        rotation: np.ndarray | None = None,
    ) -> None:
        """Add a shape to the current object, scaled, then rotated, then translated to `at`."""
        vertices = shape.vertices * np.asarray(size, float)
        if rotation is not None:
            vertices = vertices @ rotation.T
        self.shapes.append(
            Shape(
                vertices=vertices + np.asarray(at, float),
                faces=shape.faces,
                uv=shape.uv * material.repeat,
                smooth=shape.smooth,
            )
        )
        self.object_ids.append(self.current_object)
        self.materials.append(material)

    def add_assembly(
        self, other: "Assembly", *, at: np.ndarray | tuple, size: float = 1.0, rotation: np.ndarray | None = None
    ) -> None:
        """Add all shapes of another assembly as one new object."""
        self.start_object()
        for shape, material in zip(other.shapes, other.materials, strict=True):
            transformed = shape.vertices * size
            transformed = transformed if rotation is None else transformed @ rotation.T
            self.shapes.append(
                Shape(vertices=transformed + np.asarray(at, float), faces=shape.faces, uv=shape.uv, smooth=shape.smooth)
            )
            self.object_ids.append(self.current_object)
            self.materials.append(material)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper corners of the bounding box of all shapes."""
        low = np.min([shape.vertices.min(0) for shape in self.shapes], 0)
        return low, np.max([shape.vertices.max(0) for shape in self.shapes], 0)

    def build(self) -> SceneMesh:
        """Return the mesh with corner normals and texel densities."""
        starts = np.cumsum([0, *(len(shape.vertices) for shape in self.shapes)])
        counts = [len(shape.faces) for shape in self.shapes]
        faces = np.concatenate([shape.faces + start for shape, start in zip(self.shapes, starts[:-1], strict=True)])
        vertices = np.concatenate([shape.vertices for shape in self.shapes]).astype(np.float32)
        uv = np.concatenate([shape.uv for shape in self.shapes]).astype(np.float32)[faces]
        smooth = np.repeat([shape.smooth for shape in self.shapes], counts)
        normals, areas = compute_normals(vertices, faces, smooth)
        a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        uv_area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        density = SIZE * np.sqrt(uv_area / (areas + 1e-12))
        materials = self.materials
        return SceneMesh(
            vertices=vertices,
            faces=faces.astype(np.int32),
            corner_normals=normals,
            corner_uv=uv,
            object_ids=np.repeat(np.array(self.object_ids, np.int32), counts),
            face_materials=np.repeat(np.arange(len(materials), dtype=np.int32), counts),
            textures=np.array([material.texture for material in materials], np.int32),
            tints=np.array([material.tint for material in materials], np.float32),
            reflectance=np.array([(each.gloss, each.shininess, each.emission) for each in materials], np.float32),
            texel_density=density.astype(np.float32),
        )


@njit(cache=True, fastmath=True, error_model="numpy")
def compute_normals(
    vertices: Float32[np.ndarray, "M 3"], faces: np.ndarray, smooth: Bool[np.ndarray, "F"]
) -> tuple[Float32[np.ndarray, "F 3 3"], Float32[np.ndarray, "F"]]:
    """Return unit normals of the faces' corners and twice the area of each face.

    Corners of smooth faces use the area-weighted mean of the faces that meet at the vertex.
    """
    at_vertex, cross = np.zeros((len(vertices), 3)), np.empty((len(faces), 3))
    areas, normals = np.empty(len(faces), np.float32), np.empty((len(faces), 3, 3), np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        for axis in range(3):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            product = (vertices[b, i] - vertices[a, i]) * (vertices[c, j] - vertices[a, j])
            cross[f, axis] = product - (vertices[b, j] - vertices[a, j]) * (vertices[c, i] - vertices[a, i])
            for corner in range(3):
                at_vertex[faces[f, corner], axis] += cross[f, axis]
        areas[f] = np.sqrt(cross[f, 0] ** 2 + cross[f, 1] ** 2 + cross[f, 2] ** 2)
    for f in range(len(faces)):
        for corner in range(3):
            vertex = faces[f, corner]
            x, y, z = cross[f, 0], cross[f, 1], cross[f, 2]
            if smooth[f]:
                x, y, z = at_vertex[vertex, 0], at_vertex[vertex, 1], at_vertex[vertex, 2]
            scale = 1 / (np.sqrt(x * x + y * y + z * z) + 1e-12)
            normals[f, corner, 0], normals[f, corner, 1], normals[f, corner, 2] = x * scale, y * scale, z * scale
    return normals, areas
