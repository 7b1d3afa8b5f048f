"""A small asset that no mirrored or turned picture can pass for, as a mesh and as splats upon it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float32

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.gaussians import Gaussians
from img2world.core.mesh import Mesh
from img2world.core.motion import Motion
from img2world.core.rotation import rotation_about
from img2world.export.skin import Skin
from img2world.meshing.surface import Surface, vertex_normals
from img2world.meshing.texture import draw_colors
from img2world.meshing.unwrap import unwrap
from img2world.render.triangles import rasterize_triangles

SIZE = 256
SUPERSAMPLING = 4
TEXTURE_SIZE = 512
BACKGROUND = (0.16, 0.2, 0.3)
MAGENTA = (1.0, 0.0, 1.0)
"""A background unlike all colours of the asset, where its outline counts."""

SHAPES = [
    (trimesh.creation.box((1.0, 0.1, 0.8)), (0.0, 0.3, 0.0), (0.45, 0.5, 0.4)),
    (trimesh.creation.box((0.25, 0.5, 0.25)), (-0.3, 0.0, 0.1), (0.9, 0.2, 0.15)),
    (trimesh.creation.icosphere(2, 0.2), (0.15, 0.05, 0.2), (0.15, 0.75, 0.25)),
    (trimesh.creation.icosphere(2, 0.13), (0.3, 0.12, -0.2), (0.95, 0.8, 0.1)),
    (trimesh.creation.box((0.5, 0.08, 0.1)), (-0.1, -0.3, 0.1), (0.2, 0.35, 0.95)),
]
"""Shape, centre with +Y down, and colour."""


def make_mesh() -> Mesh:
    """Return the shapes with colours that vary over each."""
    vertices, faces, colors = [], [], []
    for shape, center, color in SHAPES:
        points, triangles = trimesh.remesh.subdivide_to_size(shape.vertices, shape.faces, 0.06)
        faces.append(triangles + sum(map(len, vertices)))
        vertices.append(points + np.array(center))
        waves = np.sin(vertices[-1] @ np.array([[9.0, 3, -5], [-4, 8, 6], [5, -6, 10]]))
        colors.append(np.array(color) * (0.8 + 0.2 * waves))
    surface = Surface(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))
    return Mesh(
        vertices=surface.vertices.astype(np.float32),
        faces=surface.faces,
        normals=vertex_normals(surface).astype(np.float32),
        colors=(np.concatenate(colors).clip(0, 1) * 255).round().astype(np.uint8),
    )


def textured(mesh: Mesh) -> Mesh:
    """Return the mesh with its colours in a texture."""
    charts = unwrap(mesh.vertices, mesh.faces, TEXTURE_SIZE)
    texture = draw_colors((mesh.colors[charts.vertices] / 255).astype(np.float32), charts, TEXTURE_SIZE)
    return Mesh(
        vertices=mesh.vertices[charts.vertices],
        faces=charts.faces,
        normals=mesh.normals[charts.vertices],
        uvs=charts.uvs,
        texture=np.rint(255 * texture).astype(np.uint8),
    )


def make_skin(mesh: Mesh) -> Skin:
    """Return a skin by which everything above the slab turns, and its front shifts and turns, in 2 seconds."""
    count = len(mesh.vertices)
    front = np.clip(mesh.vertices[:, 2] / 0.3 + 0.5, 0, 1)
    above = mesh.vertices[:, 1] < 0.24
    table = np.stack([~above, above * (1 - front), above * front, np.zeros(count)], 1)
    angles = np.radians([[0, 0, 0], [0, 35, 20], [0, -30, 60]])
    motion = Motion(
        key_times=np.array([1.0, 1.5, 3.0]),
        bone_pivots=np.array([[0, 0, 0], [0, 0.2, 0], [-0.2, 0.2, 0.2]], np.float32),
        bone_quats=np.stack([np.cos(angles / 2), 0 * angles, np.sin(angles / 2), 0 * angles], -1).astype(np.float32),
        bone_translations=np.array(
            [[[0] * 3] * 3, [[0] * 3] * 3, [[0] * 3, [0, -0.1, 0], [0.1, -0.1, 0.1]]], np.float32
        ),
        bone_indices=np.tile(np.int32([0, 1, 2, 0]), (count, 1)),
        bone_weights=table.astype(np.float32),
    )
    joints = np.where(table > 0, motion.bone_indices, 0).astype(np.uint16)
    return Skin(joints=joints, weights=motion.bone_weights, motion=motion)


def make_gaussians(mesh: Mesh, degree: int, count: int = 4000) -> Gaussians:
    """Return flat Gaussians upon the mesh whose colours depend on the direction."""
    rng = np.random.default_rng(5)
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    means, faces = trimesh.sample.sample_surface_even(surface, count, seed=5)
    normals = surface.face_normals[faces]
    axis = np.cross(normals, rng.normal(size=normals.shape))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    frames = np.stack([axis, np.cross(normals, axis), normals], -1)
    quats = np.array([trimesh.transformations.quaternion_from_matrix(frame) for frame in frames])
    # Multiples of 1/8, which SPZ holds exactly: rounding the same value of all would change the colour of all.
    sh = rng.integers(-1, 2, ((degree + 1) ** 2, 3)) / 8 + np.zeros((len(means), 1, 1))
    sh[:, 0] = (mesh.colors[mesh.faces[faces]].mean(1) / 255 - 0.5) * 2 * np.sqrt(np.pi)
    arrays = {
        "means": means,
        "quats": quats,
        "log_scales": np.log([0.028, 0.014, 0.003]) + np.zeros((len(means), 1)),
        "logit_opacities": np.full(len(means), 3.0),
        "sh": sh,
    }
    return Gaussians(**{name: array.astype(np.float32) for name, array in arrays.items()})


def make_camera() -> Cameras:
    """Return a camera that looks down on the asset from the left."""
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = rotation_about(np.array([0.0, 1, 0]), 0.5) @ rotation_about(np.array([1.0, 0, 0]), -0.5)
    pose[:3, 3] = -2.0 * pose[:3, 2]
    intrinsics = intrinsics_from_fov(np.radians(40), SIZE, SIZE)
    return Cameras(world_from_cam=pose[None], intrinsics=intrinsics[None], width=SIZE, height=SIZE)


def draw_mesh(
    mesh: Mesh,
    camera: Cameras,
    shown: Callable[[np.ndarray], np.ndarray] = lambda colors: colors,
    background: tuple[float, float, float] = BACKGROUND,
) -> Float32[np.ndarray, "H W 3"]:
    """Return the picture of a mesh, sRGB from 0 to 1, whose vertex colours a program shows as it can."""
    fine = camera.resized(SIZE * SUPERSAMPLING, SIZE * SUPERSAMPLING)
    cam_from_world = fine.cam_from_world[0]
    points = mesh.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    hits = rasterize_triangles(points, mesh.faces, np.ones(len(points), np.float32), fine)
    weights = np.concatenate([1 - hits.barycentric.sum(-1, keepdims=True), hits.barycentric], -1)
    values = mesh.uvs if mesh.colors is None else shown(mesh.colors / 255)
    colors = (values[mesh.faces[hits.face]] * weights[..., None]).sum(2)
    if mesh.texture is not None:
        height, width = mesh.texture.shape[:2]
        column, row = ((colors[..., i] * side).astype(int).clip(0, side - 1) for i, side in enumerate((width, height)))
        colors = mesh.texture[row, column] / 255
    colors = np.where(hits.face[..., None] < 0, np.array(background), colors)
    return colors.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING, 3).mean((1, 3)).astype(np.float32)


def read_glb(path: Path) -> Mesh:
    """Return the textured mesh of a GLB file as trimesh reads it, in the axes of our world."""
    with path.open("rb") as file:
        (mesh,) = trimesh.load_scene(file, file_type="glb", process=False).geometry.values()
    signs = np.array([1, -1, -1], np.float32)
    return Mesh(
        vertices=mesh.vertices.astype(np.float32) * signs,
        faces=mesh.faces.astype(np.int32),
        normals=mesh.vertex_normals.astype(np.float32) * signs,
        uvs=(mesh.visual.uv * [1, -1] + [0, 1]).astype(np.float32),
        texture=np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")),
    )
