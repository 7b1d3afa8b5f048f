"""The skin of a mesh, evaluated here by the rules of glTF from what pygltflib reads."""

from dataclasses import replace

import numpy as np
import pygltflib
import pytest
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation, Slerp

from img2world.core.mesh import Mesh
from img2world.core.motion import Motion
from img2world.export.glb import check_glb, write_glb
from img2world.export.mesh import MeshExport
from img2world.export.pictures import rendered_views
from img2world.export.skin import scene_in_pose, skin_vertices
from tests.moving import moving_scene

DTYPES = {pygltflib.FLOAT: "<f4", pygltflib.UNSIGNED_SHORT: "<u2", pygltflib.UNSIGNED_BYTE: "<u1"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def array_of(document: pygltflib.GLTF2, index: int) -> np.ndarray:
    accessor = document.accessors[index]
    start = document.bufferViews[accessor.bufferView].byteOffset
    count = accessor.count * WIDTHS[accessor.type]
    return np.frombuffer(document.binary_blob(), DTYPES[accessor.componentType], count, start).reshape(
        accessor.count, -1
    )


def skinned(path, time: float) -> np.ndarray:
    """Return the vertices of a GLB file at a time of its animation, with +Y up."""
    document = pygltflib.GLTF2().load(str(path))
    (skin,), (animation,) = document.skins, document.animations
    poses: dict[int, list] = {node: [np.array(document.nodes[node].translation), np.eye(3)] for node in skin.joints}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        times, values = (array_of(document, index) for index in (sampler.input, sampler.output))
        at = np.clip(time, times[0, 0], times[-1, 0])
        if channel.target.path == "translation":
            moved = [np.interp(at, times[:, 0], values[:, axis]) for axis in range(3)]
            poses[channel.target.node][0] = np.array(moved)
        else:
            poses[channel.target.node][1] = Slerp(times[:, 0], Rotation.from_quat(values))(at).as_matrix()
    inverse = array_of(document, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    matrices = np.tile(np.eye(4), (len(skin.joints), 1, 1))
    for i, node in enumerate(skin.joints):
        matrices[i, :3, 3], matrices[i, :3, :3] = poses[node]
    attributes = document.meshes[0].primitives[0].attributes
    position, joints, weights = (
        array_of(document, index) for index in (attributes.POSITION, attributes.JOINTS_0, attributes.WEIGHTS_0)
    )
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    blended = np.einsum("mk,mkij->mij", weights, (matrices @ inverse)[joints])
    return np.einsum("mij,mj->mi", blended[:, :3, :3], position) + blended[:, :3, 3]


def triangles(vertices: np.ndarray) -> Mesh:
    count = len(vertices) // 3
    return Mesh(
        vertices=vertices[: 3 * count].astype(np.float32),
        faces=np.arange(3 * count, dtype=np.int32).reshape(-1, 3),
        normals=np.tile(np.float32([0, 0, 1]), (3 * count, 1)),
        colors=np.zeros((3 * count, 3), np.uint8),
    )


def test_vertices_on_gaussians_move_with_them(tmp_path):
    """Vertices at the centres of rigid parts go where those Gaussians go, in another frame, between and at keys."""
    scene = moving_scene(30)
    late = replace(scene.motion, key_times=scene.motion.key_times + 3)
    chosen = np.r_[0:30, 40:55, 105:120]  # body, upper arm and the outer lower arm, without the elbow
    placed = np.diag([2.0, 2.0, 2.0, 1.0])
    placed[:3, 3] = 1, 2, 3
    mesh = triangles(scene.gaussians.means[chosen])
    skin = skin_vertices(mesh.vertices, scene.gaussians, late)
    mesh, skin = mesh.transformed(placed), skin.transformed(placed)
    write_glb(mesh, tmp_path / "a.glb", unlit=True, double_sided=True, skin=skin)
    check_glb(mesh, tmp_path / "a.glb", skin)
    for time in (0.0, 0.3, 1.4, 2.0):
        expected = 2 * scene.at(time).means[chosen][: len(mesh.vertices)] + [1, 2, 3]
        found = skinned(tmp_path / "a.glb", time) * [1, -1, -1]
        assert np.linalg.norm(found - expected, axis=1).max() < 0.1
        assert np.median(np.linalg.norm(found - expected, axis=1)) < 1e-5


def test_a_mesh_may_be_made_in_another_pose(tmp_path):
    """From there, it goes where the Gaussians go; and it stands there where nothing is animated."""
    scene = moving_scene(30, appears=False)
    moving = scene.motion
    posed, motion = scene_in_pose(scene, 1.5)
    np.testing.assert_array_equal(posed.gaussians.means, scene.at(1.5).means)
    chosen = np.r_[0:30, 40:52]
    mesh = triangles(posed.gaussians.means[chosen])
    skin = skin_vertices(mesh.vertices, posed.gaussians, motion, 1.5)
    write_glb(mesh, tmp_path / "a.glb", unlit=True, double_sided=True, skin=skin)
    check_glb(mesh, tmp_path / "a.glb", skin)
    for time in (0.0, 0.8, 2.0):
        distance = np.linalg.norm(
            skinned(tmp_path / "a.glb", time) * [1, -1, -1] - scene.at(time).means[chosen], axis=1
        )
        assert np.median(distance) < 1e-5
    document = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    node = document.nodes[document.skins[0].joints[1]]
    turned = Rotation.from_quat(node.rotation).as_matrix()
    axes = np.diag([1, -1, -1])
    np.testing.assert_allclose(axes @ turned @ axes, moving.bones_at(1.5)[1, :3, :3], atol=1e-6)


def test_a_vertex_has_the_bones_of_its_neighbours_only():
    scene = moving_scene(30)
    skin = skin_vertices(np.float64([[-0.2, 0.1, 0], [0.48, 0, 0]]), scene.gaussians, scene.motion)
    shares = np.zeros((2, 3))
    np.add.at(shares, (np.arange(2)[:, None], skin.joints), skin.weights)
    np.testing.assert_allclose(shares, [[1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_one_gaussian_and_one_bone_are_enough():
    scene = moving_scene(1)
    alone = scene.gaussians.select(slice(0, 1))
    still = np.tile(np.float32([1, 0, 0, 0]), (1, 1, 1))
    motion = Motion(
        key_times=np.zeros(1), bone_pivots=np.zeros((1, 3), np.float32), bone_quats=still,
        bone_translations=np.zeros((1, 1, 3), np.float32), bone_indices=np.zeros((1, 4), np.int32),
        bone_weights=np.float32([[1, 0, 0, 0]]),
    )  # fmt: skip
    skin = skin_vertices(np.zeros((5, 3)), alone, motion)
    assert not skin.joints.any()
    np.testing.assert_array_equal(skin.weights, np.tile([1, 0, 0, 0], (5, 1)))


def test_what_is_rarely_there_is_not_in_the_mesh():
    scene = moving_scene(10)
    rare = replace(scene, motion=replace(scene.motion, windows=scene.motion.windows + np.float32([0.3, 0])))
    with pytest.warns(UserWarning, match="10 of 40 Gaussians are there for less than half"):
        resting, motion = scene_in_pose(rare, None)
    assert (len(resting.gaussians), len(motion.bone_weights), resting.motion) == (30, 30, None)


def test_a_mesh_of_a_moving_scene_is_animated_and_the_next_level_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("img2world.export.pictures.SIZE", 64)
    scene = moving_scene(150, appears=False, size=48)
    exporter = MeshExport(resolution=40, max_faces=1500, picture_size=64, texture_size=64, lods=1)
    with pytest.warns(UserWarning, match="levels of detail keep the pose"):
        exporter.write(scene, rendered_views(scene), tmp_path / "mesh.glb")
    assert pygltflib.GLTF2().load(str(tmp_path / "mesh_lod1.glb")).animations == []
    for time in (0.0, 1.3, 2.0):
        surface = skinned(tmp_path / "mesh.glb", time) * [1, -1, -1]
        distance, _ = KDTree(scene.at(time).means).query(surface)
        assert np.quantile(distance, 0.95) < 0.1
    far = np.linalg.norm(skinned(tmp_path / "mesh.glb", 2.0) - skinned(tmp_path / "mesh.glb", 0.0), axis=1)
    assert far.max() > 0.4
