import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import ExportError
from img2world.core.views import Views
from img2world.export.dataset import DatasetExport

READ_BY_COLMAP = """
import json, sys
import pycolmap
model = pycolmap.Reconstruction(sys.argv[1])
images = [model.images[i] for i in sorted(model.images)]
print(json.dumps({
    "names": [image.name for image in images],
    "poses": [image.cam_from_world().matrix().tolist() for image in images],
    "params": [model.cameras[image.camera_id].params.tolist() for image in images],
    "sizes": [[model.cameras[image.camera_id].width, model.cameras[image.camera_id].height] for image in images],
    "points": [model.points3D[i].xyz.tolist() for i in sorted(model.points3D)],
    "colors": [model.points3D[i].color.tolist() for i in sorted(model.points3D)],
    "cameras": len(model.cameras),
}))
"""


def read_by_colmap(folder) -> dict:
    # In a process of its own: pycolmap and Pillow's PNG writer conflict in a single one.
    command = [sys.executable, "-c", READ_BY_COLMAP, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def dataset(balls_scene, balls_views, tmp_path):
    folder = tmp_path / "dataset"
    DatasetExport().write(balls_scene, balls_views, folder)
    return folder


def test_colmap_reads_the_same_cameras_and_points(dataset, balls_views):
    model, cameras = read_by_colmap(dataset / "sparse" / "0"), balls_views.cameras
    assert model["names"] == [f"{i:04d}.png" for i in range(12)]
    np.testing.assert_allclose(model["poses"], cameras.cam_from_world[:, :3], atol=1e-6)
    focal = float(cameras.intrinsics[0, 0, 0])
    assert model["params"] == [[focal, focal, 48.0, 40.0]] * 12
    assert model["sizes"] == [[96, 80]] * 12
    assert model["cameras"] == 1
    np.testing.assert_allclose(model["points"], balls_views.points, atol=1e-7)
    assert model["colors"] == balls_views.point_colors.tolist()


def test_each_camera_with_its_own_lens_gets_its_own_entry(balls_scene, balls_views, tmp_path):
    intrinsics = balls_views.cameras.intrinsics.copy()
    intrinsics[3, 0, 0] *= 1.5
    views = replace(balls_views, cameras=replace(balls_views.cameras, intrinsics=intrinsics))
    DatasetExport().write(balls_scene, views, tmp_path / "dataset")
    model = read_by_colmap(tmp_path / "dataset" / "sparse" / "0")
    assert model["cameras"] == 2
    np.testing.assert_allclose([row[0] for row in model["params"]], intrinsics[:, 0, 0])


def test_nerfstudio_finds_the_green_ball_above(dataset, balls):
    """By nerfstudio's conventions: OpenGL cameras in a +Z-up world, points in the same world, relative paths."""
    transforms = json.loads((dataset / "transforms.json").read_text())
    green = np.array([balls[1].center[0], balls[1].center[2], -balls[1].center[1], 1])
    for frame in transforms["frames"]:
        x, y, z = (np.linalg.inv(frame["transform_matrix"]) @ green)[:3]
        assert z < 0
        column, row = frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z
        with PillowImage.open(dataset / frame["file_path"]) as image:
            assert image.mode == "RGBA"
            red, green_value, _, alpha = image.getpixel((int(column), int(row)))
        assert alpha > 200
        assert green_value > 150 > red
    assert not any(frame["file_path"].startswith("/") for frame in transforms["frames"])
    points = np.loadtxt(dataset / "sparse" / "0" / "points3D.txt", usecols=(1, 2, 3))
    turned = Views.load(dataset).points
    np.testing.assert_allclose(turned, points, atol=1e-7)
    assert b"property float x" in (dataset / transforms["ply_file_path"]).read_bytes()


def test_points_have_the_axes_of_the_transforms(dataset, balls_views):
    import trimesh

    with (dataset / "points.ply").open("rb") as file:
        cloud = trimesh.load(file, file_type="ply")
    x, y, z = balls_views.points.T
    np.testing.assert_array_equal(cloud.vertices.astype(np.float32), np.stack([x, z, -y], -1))


def test_points_come_from_the_gaussians_when_the_poses_have_none(balls_scene, balls_views, tmp_path):
    bare = replace(balls_views, points=balls_views.points[:0], point_colors=balls_views.point_colors[:0])
    facts = DatasetExport(max_points=100).write(balls_scene, bare, tmp_path / "dataset")
    assert facts["points"] == 100
    model = read_by_colmap(tmp_path / "dataset" / "sparse" / "0")
    nearest = np.linalg.norm(balls_scene.gaussians.means[:, None] - np.array(model["points"]), axis=-1).min(0)
    assert nearest.max() < 1e-6
    assert np.array(model["colors"])[:30, 0].min() > 150  # the first ball is red


def test_a_folder_that_is_not_empty_is_refused(balls_scene, balls_views, tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        DatasetExport().write(balls_scene, balls_views, tmp_path / "dataset")


def test_wrong_cameras_are_detected(balls_scene, balls_views, tmp_path, monkeypatch):
    from img2world.export import dataset

    write = dataset.write_colmap_model

    def conjugated(views, folder):
        write(views, folder)
        lines = (folder / "images.txt").read_text().split("\n")
        row = lines[3].split()
        row[3] = str(-float(row[3]))
        lines[3] = " ".join(row)
        (folder / "images.txt").write_text("\n".join(lines))

    monkeypatch.setattr(dataset, "write_colmap_model", conjugated)
    with pytest.raises(ExportError, match="COLMAP cameras"):
        DatasetExport().write(balls_scene, balls_views, tmp_path / "dataset")
