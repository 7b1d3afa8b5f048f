"""Our side of nerfstudio: the dataset it reads, the space it works in and what it writes.

`nerfstudio_1_1_5.json` is what its dataparser makes of the dataset of `arc_views`, recorded by
`record_nerfstudio.py`; where nerfstudio itself can be imported, the recording is made anew and compared.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from trimesh.exchange.ply import export_ply

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import OPENCV_FROM_OPENGL
from img2world.core.errors import MissingPackageError, SplatError
from img2world.core.gaussians import Gaussians
from img2world.core.ply import write_ply
from img2world.core.rotation import matrix_from_quat, rotation_about
from img2world.core.sh import rgb_from_dc, sh_basis
from img2world.core.views import Views
from img2world.splat import OPTIMIZERS
from img2world.splat.nerfstudio import (
    BIN_VARIABLE,
    NerfstudioSplat,
    gaussians_from_mesh,
    read_transform,
    write_dataset,
)
from img2world.viewer.live import LivePage

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "nerfstudio_1_1_5.json").read_text())


def arc_views() -> Views:
    """Nine tiny views on a tilted arc, with unequal focal lengths and the centre off the middle, and some points."""
    rng = np.random.default_rng(7)
    count, width, height = 9, 20, 16
    poses = on_sphere(np.linspace(-0.4, 0.9, count), np.linspace(0.1, 0.5, count), 1.3)
    poses[:, :3, 3] += (0.2, -0.3, 0.5)
    poses[3, :3, :3] = rotation_about(np.array([0.2, 1.0, -0.3]), 0.25) @ poses[3, :3, :3]
    intrinsics = np.repeat(intrinsics_from_fov(0.8, width, height)[None], count, 0)
    intrinsics[:, 1, 1] *= 1.1
    intrinsics[:, 0, 2] += 1.5
    intrinsics[5, 0, 0] *= 1.02
    return Views(
        rgb=rng.integers(0, 256, (count, height, width, 3), np.uint8),
        cameras=Cameras(world_from_cam=poses, intrinsics=intrinsics, width=width, height=height),
        confidence=np.ones(count, np.float32),
        points=rng.normal(size=(12, 3)).astype(np.float32),
        point_colors=rng.integers(0, 256, (12, 3), np.uint8),
        solver="truth",
    )


@pytest.fixture(scope="module")
def views():
    return arc_views()


@pytest.fixture(scope="module")
def world_from_nerfstudio(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "dataparser_transforms.json"
    path.write_text(json.dumps({name: RECORDED[name] for name in ("transform", "scale")}))
    return read_transform(path)


def test_it_is_registered():
    assert OPTIMIZERS["nerfstudio"] == f"{NerfstudioSplat.__module__}:{NerfstudioSplat.__name__}"


def test_its_dataparser_turned_moved_and_scaled_our_dataset():
    transform = np.array(RECORDED["transform"])
    assert np.abs(transform[:, :3] - np.eye(3)).max() > 0.1
    assert np.abs(transform[:, 3]).max() > 0.1
    assert abs(RECORDED["scale"] - 1) > 0.1
    centers = np.array(RECORDED["camera_to_worlds"])[..., 3]
    assert np.abs(centers).max() == pytest.approx(1, abs=1e-5)


def test_its_cameras_come_back_to_ours(views, world_from_nerfstudio):
    trained = np.flatnonzero(~NerfstudioSplat().held_out(len(views)))
    assert RECORDED["train"] == [f"{i:04d}.png" for i in trained]
    scale = np.cbrt(np.linalg.det(world_from_nerfstudio[:3, :3].astype(np.float64)))
    for theirs, ours in zip(RECORDED["camera_to_worlds"], views.cameras.world_from_cam[trained], strict=True):
        pose = world_from_nerfstudio @ np.vstack([theirs, [0, 0, 0, 1]]) @ OPENCV_FROM_OPENGL
        # Theirs are float32 after three products.
        np.testing.assert_allclose(pose[:3, 3], ours[:3, 3], atol=2e-6)
        np.testing.assert_allclose(pose[:3, :3] / scale, ours[:3, :3], atol=2e-6)
    for name, (row, column) in {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2)}.items():
        np.testing.assert_allclose(RECORDED[name], views.cameras.intrinsics[trained, row, column], rtol=1e-6)


def test_its_points_come_back_to_ours(views, world_from_nerfstudio):
    theirs = np.array(RECORDED["points"])
    points = theirs @ world_from_nerfstudio[:3, :3].T + world_from_nerfstudio[:3, 3]
    np.testing.assert_allclose(points, views.points, atol=5e-6)


def test_held_out_views_are_never_trained_on(views):
    held_out = NerfstudioSplat().held_out(len(views))
    assert held_out.any()
    assert RECORDED["val"] == [f"{i:04d}.png" for i in np.flatnonzero(held_out)]
    assert not set(RECORDED["val"]) & set(RECORDED["train"])


def test_a_splat_in_its_space_looks_the_same_in_ours(views, world_from_nerfstudio, tmp_path):
    """A Gaussian's centre, size, axes and colour, seen by its camera in its space and by ours in our world."""
    rng = np.random.default_rng(3)
    theirs = Gaussians(
        means=rng.normal(size=(5, 3)).astype(np.float32) * 0.3,
        quats=rng.normal(size=(5, 4)).astype(np.float32),
        log_scales=rng.normal(size=(5, 3)).astype(np.float32) - 3,
        logit_opacities=rng.normal(size=5).astype(np.float32),
        sh=rng.normal(size=(5, 16, 3)).astype(np.float32) * 0.3,
    )
    write_ply(columns_as_nerfstudio_writes(theirs), tmp_path / "splat.ply", ("Generated by Nerstudio 1.1.5",))
    ours = NerfstudioSplat()._read(tmp_path).transformed(world_from_nerfstudio)
    trained = np.flatnonzero(~NerfstudioSplat().held_out(len(views)))
    for camera, index in zip(RECORDED["camera_to_worlds"], trained, strict=True):
        pose = np.vstack([camera, [0, 0, 0, 1]]) @ OPENCV_FROM_OPENGL
        expected = seen_by(theirs, pose, views.cameras.intrinsics[index])
        actual = seen_by(ours, views.cameras.world_from_cam[index], views.cameras.intrinsics[index])
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name], value, rtol=2e-4, atol=2e-4, err_msg=name)


def columns_as_nerfstudio_writes(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """The columns of nerfstudio 1.1.5's ExportGaussianSplat, in its order and with its layout of f_rest."""
    columns = {axis: gaussians.means[:, i] for i, axis in enumerate("xyz")}
    columns |= {axis: np.zeros(len(gaussians), np.float32) for axis in ("nx", "ny", "nz")}
    columns |= {f"f_dc_{i}": gaussians.sh[:, 0, i] for i in range(3)}
    rest = gaussians.sh[:, 1:].transpose(0, 2, 1).reshape(len(gaussians), -1)
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    columns |= {"opacity": gaussians.logit_opacities}
    columns |= {f"scale_{i}": gaussians.log_scales[:, i] for i in range(3)}
    return columns | {f"rot_{i}": gaussians.quats[:, i] for i in range(4)}


def seen_by(gaussians: Gaussians, pose: np.ndarray, intrinsics: np.ndarray) -> dict[str, np.ndarray]:
    """Pixels, sizes by depth (which no change of unit alters) and colours, for an OpenCV camera."""
    turn, center = pose[:3, :3].astype(np.float64), pose[:3, 3].astype(np.float64)
    in_cam = (gaussians.means - center) @ turn
    pixels = in_cam @ intrinsics.T.astype(np.float64)
    axes = turn.T @ matrix_from_quat(gaussians.quats.astype(np.float64)) * gaussians.scales[:, None, :]
    relative = axes / in_cam[:, 2, None, None]
    rays = gaussians.means - center
    basis = sh_basis(rays / np.linalg.norm(rays, axis=1, keepdims=True), 3)
    return {
        "pixels": pixels[:, :2] / pixels[:, 2:],
        "covariances": relative @ relative.transpose(0, 2, 1),
        "colors": (basis[:, :, None] * gaussians.sh).sum(1),
    }


def test_the_recording_is_still_what_nerfstudio_says(views, tmp_path):
    """Needs an interpreter that has nerfstudio: the one beside ns-train, or this one."""
    python = shutil.which("python", path=os.environ.get(BIN_VARIABLE, str(Path(sys.executable).parent)))
    probe = [python or sys.executable, "-c", "import nerfstudio.data.dataparsers.nerfstudio_dataparser"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("nerfstudio is not installed")
    write_dataset(views, NerfstudioSplat().held_out(len(views)), tmp_path / "data")
    command = [probe[0], str(HERE / "record_nerfstudio.py"), str(tmp_path / "data")]
    made = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
    assert made.keys() == RECORDED.keys()
    for name, value in made.items():
        if name in ("train", "val"):
            assert value == RECORDED[name]
        elif value is not None:
            np.testing.assert_allclose(value, RECORDED[name], atol=1e-5, err_msg=name)


def test_without_held_out_views_some_are_judged_that_are_trained_on(views, tmp_path):
    write_dataset(views, np.zeros(len(views), bool), tmp_path)
    transforms = json.loads((tmp_path / "transforms.json").read_text())
    assert len(transforms["train_filenames"]) == len(views)
    assert transforms["val_filenames"] == transforms["test_filenames"] == ["images/0000.png"]


@pytest.mark.parametrize(
    "text", ["{}", "not json", '{"transform": [[1]], "scale": 1}', '{"transform": 3, "scale": -1}']
)
def test_a_broken_transform_is_refused(text, tmp_path):
    (tmp_path / "dataparser_transforms.json").write_text(text)
    with pytest.raises(SplatError, match=r"dataparser_transforms.json cannot be read"):
        read_transform(tmp_path / "dataparser_transforms.json")


def test_a_mesh_becomes_flat_discs_on_its_surface(tmp_path):
    side, count = np.linspace(-1, 1, 20), 20
    x, y = (axis.ravel() for axis in np.meshgrid(side, side))
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    upper, lower = [corner, corner + 1, corner + count], [corner + 1, corner + count + 1, corner + count]
    mesh = trimesh.Trimesh(
        vertices=np.stack([x, y, 0.5 * x], -1),
        faces=np.concatenate([np.stack(upper, -1), np.stack(lower, -1)]),
        vertex_colors=np.tile(np.uint8([255, 0, 51, 255]), (count**2, 1)),
        process=False,
    )
    path = tmp_path / "tsdf_mesh.ply"
    path.write_bytes(export_ply(mesh, vertex_normal=False))
    discs = gaussians_from_mesh(path, 1000)
    np.testing.assert_allclose(discs.means, mesh.vertices, atol=1e-6)
    thin = np.take_along_axis(
        matrix_from_quat(discs.quats.astype(np.float64)), discs.log_scales.argmin(1)[:, None, None], 2
    )[..., 0]
    np.testing.assert_allclose(np.abs(thin @ (-1, 0, 2)) / 5**0.5, 1, atol=1e-5)
    np.testing.assert_allclose(rgb_from_dc(discs.sh[:, 0]), [[1, 0, 0.2]] * 400, atol=1e-6)
    spacing = side[1] - side[0]
    assert 0.4 * spacing < np.median(discs.scales.max(1)) < 0.8 * spacing
    assert len(gaussians_from_mesh(path, 100)) == 100
    assert len(NerfstudioSplat(method="nerfacto")._read(tmp_path)) == 400
    assert len(NerfstudioSplat(method="nerfacto", max_gaussians=100)._read(tmp_path)) == 100
    path.write_bytes(b"ply\nformat nonsense")
    with pytest.raises(SplatError, match=r"tsdf_mesh.ply cannot be read"):
        NerfstudioSplat(method="nerfacto")._read(tmp_path)


def test_progress_is_read_from_the_output():
    heard = []
    hear = NerfstudioSplat(steps=300)._report_to(lambda done, total: heard.append((done, total)))
    for line in [
        "Step (% Done)",
        "0 (0.00%)   10 s",
        "120 (40.00%)         12.3 ms",
        "\x1b[2K 199 (66.33%)",
        "100 rays",
    ]:
        hear(line)
    assert heard == [(1, 300), (121, 300), (200, 300)]


def test_without_nerfstudio_it_says_so(views, tmp_path, monkeypatch):
    monkeypatch.delenv(BIN_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match=r"^nerfstudio's ns-train is not on the PATH$") as error:
        NerfstudioSplat().optimize(views)
    assert BIN_VARIABLE in error.value.hint
    monkeypatch.setenv(BIN_VARIABLE, str(tmp_path / "else"))
    with pytest.raises(MissingPackageError, match=r"is not in .*else$"):
        NerfstudioSplat().optimize(views)
    with pytest.raises(MissingPackageError, match=r"is not in .*given$"):
        NerfstudioSplat(bin=str(tmp_path / "given")).optimize(views)


def test_a_failing_program_is_one_error_and_leaves_nothing(views, tmp_path, monkeypatch):
    make_programs(tmp_path, "echo 'ModuleNotFoundError: No module named torch' >&2; exit 1")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    page = LivePage("")
    with (
        pytest.raises(SplatError, match=r"^ns-train failed \(exit code 1\): ModuleNotFoundError"),
        pytest.warns(UserWarning, match="nerfstudio shows no scene while it trains, and cannot be stopped"),
    ):
        NerfstudioSplat(bin=str(tmp_path)).optimize(views, live=page)
    assert not list((tmp_path / "tmp").iterdir())


def make_programs(folder: Path, script: str) -> None:
    """Write shell scripts in place of nerfstudio's programs."""
    for name in ("ns-train", "ns-export"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_arguments_reach_the_training_and_time_is_limited(views, tmp_path):
    make_programs(tmp_path, f'echo "$@" > {tmp_path}/words; exec sleep 20')
    backend = NerfstudioSplat(bin=str(tmp_path), steps=7, arguments="--a.b 'c d'", time_limit=0.3)
    with pytest.raises(SplatError, match=r"longer than 0\.3 seconds"):
        backend.optimize(views)
    words = (tmp_path / "words").read_text()
    assert "--max-num-iterations 7 " in words
    assert " --a.b c d nerfstudio-data --data " in words


def test_every_so_many_views_are_held_out():
    assert NerfstudioSplat(holdout_every=3).held_out(9).sum() == 3
    assert not NerfstudioSplat(holdout_every=0).held_out(9).any()


def test_one_view_is_refused(views, tmp_path):
    make_programs(tmp_path, "")
    index = np.array([0])
    one = replace(views, rgb=views.rgb[index], cameras=views.cameras.select(index), confidence=views.confidence[index])
    with pytest.raises(SplatError, match="1 view, needs at least 2"):
        NerfstudioSplat(bin=str(tmp_path)).optimize(one)


def test_a_splat_that_is_not_there_is_one_error(tmp_path):
    with pytest.raises(SplatError, match=r"splat.ply cannot be read"):
        NerfstudioSplat()._read(tmp_path)
    write_ply({"x": np.zeros(3, np.float32)}, tmp_path / "splat.ply")
    with pytest.raises(SplatError, match=r"splat.ply cannot be read: the PLY file is a point cloud"):
        NerfstudioSplat()._read(tmp_path)
