import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from img2world.core import camera_paths, sh
from img2world.core.cameras import Cameras, intrinsics_from_fov, load_cameras, save_cameras
from img2world.core.errors import CameraError, FormatError, Img2WorldError, RunFolderError
from img2world.core.frames import Frames
from img2world.core.gaussians import Gaussians
from img2world.core.mesh import Mesh
from img2world.core.motion import Motion
from img2world.core.ply import read_ply, write_ply
from img2world.core.rotation import matrix_from_quat
from img2world.core.scene import Scene
from img2world.core.views import Views


def some_cameras(num_views: int = 3, width: int = 12, height: int = 8) -> Cameras:
    intrinsics = np.repeat(intrinsics_from_fov(0.9, width, height)[None], num_views, 0)
    poses = camera_paths.orbit(num_views, elevation=0.3)
    return Cameras(world_from_cam=poses, intrinsics=intrinsics, width=width, height=height)


def some_gaussians(count: int = 5, bases: int = 4) -> Gaussians:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return Gaussians(
        means=normal(count, 3),
        quats=normal(count, 4),
        log_scales=normal(count, 3),
        logit_opacities=normal(count),
        sh=normal(count, bases, 3),
    )


def same(a: object, b: object) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        if isinstance(x, np.ndarray)
        else same(x, y)
        if hasattr(x, "__dict__")
        else x == y
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


quats = arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 1e-3)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_sh_bases_are_orthonormal(degree):
    # Gauss-Legendre in z and even angles integrate these polynomials exactly.
    z, weights = np.polynomial.legendre.leggauss(8)
    angles = np.arange(16) * 2 * np.pi / 16
    grid_z, angle = np.meshgrid(z, angles, indexing="ij")
    ring = np.sqrt(1 - grid_z**2)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), grid_z], -1).reshape(-1, 3)
    area = np.repeat(weights, 16) * 2 * np.pi / 16
    bases = sh.sh_basis(directions, degree)
    np.testing.assert_allclose(bases.T @ (area[:, None] * bases), np.eye(bases.shape[1]), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(quats)
def test_rotated_sh_shows_the_same_colors_from_turned_directions(quat):
    rotation = matrix_from_quat(quat)
    rng = np.random.default_rng(3)
    coefficients = rng.normal(size=(2, 16, 3))
    directions = rng.normal(size=(20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before = np.einsum("dk,nkc->ndc", sh.sh_basis(directions, 3), coefficients)
    after = np.einsum("dk,nkc->ndc", sh.sh_basis(directions @ rotation.T, 3), sh.rotate_sh(coefficients, rotation))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_cameras_survive_their_file_to_the_last_bit(tmp_path):
    cameras = some_cameras()
    save_cameras(cameras, tmp_path / "transforms.json")
    assert same(load_cameras(tmp_path / "transforms.json"), cameras)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_camera_file_is_read_with_a_byte_order_mark(tmp_path, encoding):
    """As Notepad and PowerShell write it."""
    path = tmp_path / "transforms.json"
    save_cameras(some_cameras(), path)
    path.write_text(path.read_text(), encoding=encoding)
    assert same(load_cameras(path), some_cameras())
    assert same(camera_paths.load_trajectory(path), some_cameras())


def test_camera_matrix_inverse_is_exact_enough():
    cameras = some_cameras(7)
    product = cameras.cam_from_world @ cameras.world_from_cam
    np.testing.assert_allclose(product, np.tile(np.eye(4), (7, 1, 1)), atol=1e-6)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"frames": []}', '{"frames": [{"file_path": "a"}], "w": 3, "h": 3}', "\x00\x01"]
)
def test_bad_camera_files_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "transforms.json"
    path.write_text(text)
    with pytest.raises(CameraError) as caught:
        load_cameras(path)
    assert caught.value.hint


def test_scaled_pose_is_refused():
    with pytest.raises(CameraError, match="rotation"):
        Cameras(
            world_from_cam=2 * np.eye(4, dtype=np.float32)[None],
            intrinsics=intrinsics_from_fov(1.0, 4, 4)[None],
            width=4,
            height=4,
        )


@pytest.mark.parametrize("known", [False, True])
def test_frames_survive_saving(tmp_path, known):
    rng = np.random.default_rng(0)
    maps = {
        "depth": rng.random((3, 8, 12), np.float32),
        "alpha": rng.integers(0, 255, (3, 8, 12), np.uint8),
        "seen": rng.integers(0, 3, (3, 8, 12), np.uint8),
        "mask": 255 * rng.integers(0, 2, (3, 8, 12), np.uint8),
        "sizes": np.array([[12, 8], [8, 6], [12, 4]]),
        "lenses": np.array([0, 1, 0]),
        "focals": np.array([0.0, 11.5, 10.0]),
        "locations": np.array([[0.0, 0, 0], [1.5, -2, 0.5], [np.nan, np.nan, np.nan]]),
        "points": rng.normal(size=(4, 3)).astype(np.float32),
        "point_colors": rng.integers(0, 255, (4, 3), np.uint8),
        "cameras": some_cameras(),
        "viewpoints": np.array([0, 1, 0]),
        "is_timed": True,
    }
    rgb = rng.integers(0, 255, (3, 8, 12, 3), np.uint8)
    frames = Frames(rgb=rgb, times=np.arange(3) / 7, ordered=known, **(maps if known else {}))
    frames.save(tmp_path)
    assert same(Frames.load(tmp_path), frames)


def test_points_without_colours_are_refused():
    with pytest.raises(ValueError, match="points and their colours"):
        Frames(rgb=np.zeros((1, 8, 12, 3), np.uint8), times=np.zeros(1), points=np.zeros((4, 3), np.float32))


@pytest.mark.parametrize("whole", [False, True])
def test_views_survive_saving(tmp_path, whole):
    rng = np.random.default_rng(0)
    views = Views(
        rgb=rng.integers(0, 255, (3, 8, 12, 3), np.uint8),
        cameras=some_cameras(),
        confidence=rng.random(3).astype(np.float32),
        points=rng.normal(size=(4, 3)).astype(np.float32),
        point_colors=rng.integers(0, 255, (4, 3), np.uint8),
        solver="commanded",
        depth=None if whole else rng.random((3, 8, 12), np.float32),
        alpha=None if whole else rng.integers(0, 255, (3, 8, 12), np.uint8),
        mask=None if whole else 255 * rng.integers(0, 2, (3, 8, 12), np.uint8),
        moving=None if whole else 255 * rng.integers(0, 2, (3, 8, 12), np.uint8),
        times=None if whole else np.array([0, 0, 1 / 3]),
    )
    views.save(tmp_path)
    assert same(Views.load(tmp_path), views)


def test_scene_survives_saving_and_its_bytes_repeat(tmp_path):
    motion = Motion(
        key_times=np.array([0.0, 1.0]),
        bone_pivots=np.zeros((2, 3), np.float32),
        bone_quats=np.tile(np.float32([1, 0, 0, 0]), (2, 2, 1)),
        bone_translations=np.zeros((2, 2, 3), np.float32),
        bone_indices=np.zeros((5, 4), np.int32),
        bone_weights=np.tile(np.float32([1, 0, 0, 0]), (5, 1)),
    )
    scene = Scene(
        gaussians=some_gaussians(), cameras=some_cameras(), background=(1.0, 0.5, 0.0), is_object=True, motion=motion
    )
    scene.save(tmp_path / "a.safetensors")
    scene.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = Scene.load(tmp_path / "a.safetensors")
    assert same(loaded.gaussians, scene.gaussians)
    assert same(loaded.cameras, scene.cameras)
    assert same(loaded.motion, motion)
    assert (loaded.background, loaded.is_object) == (scene.background, True)
    (tmp_path / "a.safetensors").write_bytes(b"no scene")
    with pytest.raises(RunFolderError):
        Scene.load(tmp_path / "a.safetensors")


def test_mesh_survives_saving(tmp_path):
    triangle = {"vertices": np.eye(3, dtype=np.float32), "faces": np.int32([[0, 1, 2]])}
    triangle["normals"] = np.full((3, 3), 3**-0.5, np.float32)
    texture = {"uvs": np.zeros((3, 2), np.float32), "texture": np.zeros((2, 2, 3), np.uint8)}
    for look in ({"colors": np.zeros((3, 3), np.uint8)}, texture):
        mesh = Mesh(**triangle, **look)
        mesh.save(tmp_path / "mesh.safetensors")
        assert same(Mesh.load(tmp_path / "mesh.safetensors"), mesh)
    with pytest.raises(ValueError, match="either colors"):
        Mesh(**triangle, **texture, colors=np.zeros((3, 3), np.uint8))


def test_motion_moves_with_one_rigid_bone_as_a_rigid_body():
    half_turn = np.float32([0, 0, 0, 1])  # about Z
    motion = Motion(
        key_times=np.array([0.0, 2.0]),
        bone_pivots=np.zeros((1, 3), np.float32),
        bone_quats=np.stack([np.float32([1, 0, 0, 0]), half_turn])[None],
        bone_translations=np.float32([[[0, 0, 0], [2, 0, 0]]]),
        bone_indices=np.zeros((5, 4), np.int32),
        bone_weights=np.tile(np.float32([1, 0, 0, 0]), (5, 1)),
    )
    gaussians = some_gaussians()
    scene = Scene(
        gaussians=gaussians, cameras=some_cameras(), background=(0.0, 0.0, 0.0), is_object=True, motion=motion
    )
    target_from_source = np.eye(4, dtype=np.float32)
    target_from_source[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    target_from_source[0, 3] = 1
    expected = gaussians.transformed(target_from_source)
    middle = scene.at(1.0)
    np.testing.assert_allclose(middle.means, expected.means, atol=1e-5)
    np.testing.assert_allclose(matrix_from_quat(middle.quats), matrix_from_quat(expected.quats), atol=1e-5)


def test_gaussians_refuse_what_is_not_finite_and_mirrors():
    gaussians = some_gaussians()
    means = gaussians.means.copy()
    means[3, 1] = np.nan
    with pytest.raises(Img2WorldError, match=r"index \(3, 1\)"):
        Gaussians(**{**vars(gaussians), "means": means})
    with pytest.raises(ValueError, match="mirrors"):
        gaussians.transformed(np.diag([-1, 1, 1, 1]).astype(np.float32))


def test_ply_is_read_by_trimesh_and_truncation_is_noticed(tmp_path):
    import trimesh

    points = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    path = tmp_path / "points.ply"
    write_ply({axis: points[:, i] for i, axis in enumerate("xyz")}, path)
    np.testing.assert_array_equal(trimesh.load(path).vertices.astype(np.float32), points)
    np.testing.assert_array_equal(read_ply(path)["y"], points[:, 1])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FormatError, match="ends after"):
        read_ply(path)
