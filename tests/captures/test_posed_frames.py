"""Each dialect's cameras, compared with the truth by the pixels of points."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dialects
import numpy as np
import pycolmap
import pytest
from PIL import Image as PillowImage

from img2world.captures.dataset import dataset_root, find_layout
from img2world.captures.posed_frames import frames_from_dataset
from img2world.core.errors import CameraError
from img2world.core.frames import Frames
from img2world.core.progress import silent
from img2world.runs.source import find_source

WRITERS = {
    "nerfstudio": dialects.write_nerfstudio,
    "nerfstudio, per frame": lambda folder, truth: dialects.write_nerfstudio(folder, truth, shared=False),
    "nerfstudio, applied": lambda folder, truth: dialects.write_nerfstudio(
        folder, truth, applied_transform=[[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]]
    ),
    "instant-ngp": dialects.write_ngp,
    "colmap text": dialects.write_colmap,
    "colmap binary": lambda folder, truth: dialects.write_colmap(folder, truth, binary=True),
    "polycam": dialects.write_polycam,
    "record3d": dialects.write_record3d,
    "blender": dialects.write_blender,
}
Z_UP_WORLDS = ("nerfstudio", "nerfstudio, per frame", "nerfstudio, applied", "instant-ngp", "blender")


def read(folder: Path, size: int = 960) -> Frames:
    return frames_from_dataset(folder, size=size, max_photos=100, progress=silent)


def truth_for(name: str) -> dialects.Truth:
    truth = dialects.some_truth()
    if name == "blender":
        width, height = truth.size
        truth = replace(truth, matrix=np.array([[80.0, 0, width / 2], [0, 80.0, height / 2], [0, 0, 1]]))
    return truth


@pytest.mark.parametrize("name", WRITERS)
def test_cameras_come_through(tmp_path: Path, name: str):
    truth = truth_for(name)
    frames = read(WRITERS[name](tmp_path / "set", truth))
    assert frames.cameras is not None
    assert np.abs(frames.cameras.world_from_cam - truth.poses).max() < 1e-6
    assert np.abs(frames.cameras.intrinsics - truth.matrix).max() < 1e-5  # float32 at 80 pixels
    assert len(frames) == len(truth.rgb)
    if name not in ("polycam", "record3d"):
        assert np.array_equal(frames.rgb, truth.rgb)
    if frames.points is not None:
        assert np.abs(np.sort(frames.points, 0) - np.sort(truth.points, 0)).max() < 1e-6
    assert (frames.points is not None) == (name.startswith(("nerfstudio", "instant", "colmap")))


def pixel_error(folder: Path, truth: dialects.Truth) -> float:
    """The largest distance in pixels of the dataset's points from where the truth's cameras see them."""
    frames = read(folder)
    assert frames.cameras is not None
    points = truth.points if frames.points is None else frames.points.astype(np.float64)
    found = np.stack(
        [
            dialects.project(points, pose.astype(np.float64), matrix.astype(np.float64))
            for pose, matrix in zip(frames.cameras.world_from_cam, frames.cameras.intrinsics, strict=True)
        ]
    )
    return float(np.linalg.norm(found - truth.pixels(), axis=-1).max())


def change_poses(folder: Path, change) -> None:
    def edit(table: dict) -> None:
        for frame in table["frames"]:
            frame["transform_matrix"] = change(np.array(frame["transform_matrix"])).tolist()

    dialects.edit_table(folder, edit)


FAULTS = {
    "flipped camera axes": lambda pose: pose @ np.diag([1, -1, -1, 1]),
    "other world axes": lambda pose: np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) @ pose,
    "mirrored": lambda pose: pose @ np.diag([-1, 1, 1, 1]),
    "mirrored world": lambda pose: np.diag([1, 1, -1, 1]) @ pose,
    "transposed": lambda pose: pose.T,
    "transposed rotation": lambda pose: np.block([[pose[:3, :3].T, pose[:3, 3:]], [pose[3:]]]),
    "inverted": lambda pose: np.linalg.inv(pose),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_does_not_come_through(tmp_path: Path, fault: str):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    assert pixel_error(folder, truth) < 1e-3
    change_poses(folder, FAULTS[fault])
    if fault in ("mirrored", "mirrored world", "transposed"):
        with pytest.raises(CameraError, match=r"mirrored|ends with the row"):
            read(folder)
    else:
        assert pixel_error(folder, truth) > 1


def test_half_a_pixel_and_the_order_of_a_quaternion_matter(tmp_path: Path):
    truth = dialects.some_truth()
    shifted = replace(truth, matrix=truth.matrix - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]))
    assert pixel_error(dialects.write_colmap(tmp_path / "a", shifted), truth) > 0.6
    folder = dialects.write_record3d(tmp_path / "b", truth)
    assert pixel_error(folder, truth) < 1e-3

    def roll(table: dict) -> None:
        for pose in table["poses"]:
            pose[:4] = [pose[3], *pose[:3]]

    dialects.edit_table(folder, roll, "metadata.json")
    assert pixel_error(folder, truth) > 1


@pytest.mark.parametrize("name", Z_UP_WORLDS)
def test_up_in_a_z_up_world_is_up(tmp_path: Path, name: str):
    frames = read(WRITERS[name](tmp_path / "set", truth_for(name)))
    assert frames.cameras is not None
    # +Y is down, and all cameras are above the origin.
    assert (frames.cameras.centers_in_world[:, 1] < -0.5).all()
    assert (frames.cameras.world_from_cam[:, 1, 1] > 0.9).all()


LENSES = {
    "SIMPLE_RADIAL": [100, 80, 60, -0.1],
    "RADIAL": [100, 80, 60, -0.2, 0.05],
    "OPENCV": [100, 102, 81, 59, -0.2, 0.05, 0.002, -0.003],
    "FULL_OPENCV": [100, 102, 81, 59, -0.2, 0.05, 0.002, -0.003, 0.01, 0, 0, 0],
    "OPENCV_FISHEYE": [70, 71, 81, 59, 0.02, -0.01, 0.003, 0],
    "SIMPLE_RADIAL_FISHEYE": [70, 80, 60, 0.02],
    "FOV": [100, 102, 81, 59, 0.6],
    "THIN_PRISM_FISHEYE": [70, 71, 81, 59, 0.02, -0.01, 0.001, 0.001, 0, 0, 0.001, 0.001],
}


def ray_picture(lens: str, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """A picture that shows the direction of each pixel's ray in red and green, by pycolmap's inverse projection."""
    camera = pycolmap.Camera(model=lens, width=size[0], height=size[1], params=LENSES[lens])
    row, column = np.mgrid[: size[1], : size[0]].reshape(2, -1)
    flat = np.asarray(camera.cam_from_img(np.stack([column + 0.5, row + 0.5], -1).astype(np.float64)))
    rgb = np.zeros((size[1], size[0], 3))
    rgb[..., :2] = 128 + 80 * flat[:, :2].reshape(size[1], size[0], 2)
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


def check_rays(frames: Frames) -> None:
    """Check that each pixel of an undistorted picture shows the direction in which its pinhole camera sees it."""
    assert frames.cameras is not None
    height, width = frames.rgb.shape[1:3]
    row, column = np.mgrid[:height, :width]
    matrix = frames.cameras.intrinsics[0].astype(np.float64)
    x, y = (column + 0.5 - matrix[0, 2]) / matrix[0, 0], (row + 0.5 - matrix[1, 2]) / matrix[1, 1]
    for channel, direction in enumerate((x, y)):
        # Without the border, where the resampling repeats the last pixel, and what is too bright or dark to be stored.
        inner = (slice(4, -4), slice(4, -4))
        level = 128 + 80 * direction[inner]
        error = (frames.rgb[0][inner][..., channel] - level)[(level > 5) & (level < 250)]
        assert np.abs(error).max() < 3  # Rounding, and the curvature within a pixel.
        # Half a pixel is 0.4 levels.
        assert abs(error.mean()) < 0.08


@pytest.mark.parametrize("lens", LENSES)
def test_distortion_of_each_colmap_lens_is_undone(tmp_path: Path, lens: str):
    truth = dialects.some_truth(3, (160, 120))
    rgb = np.repeat(ray_picture(lens)[None], 3, 0)
    folder = dialects.write_colmap(tmp_path / "set", replace(truth, rgb=rgb), model=lens, params=LENSES[lens])
    frames = read(folder)
    check_rays(frames)
    assert frames.inventory is not None
    assert "the distortion of 3 pictures was undone" in frames.inventory.line()


@pytest.mark.parametrize("model", ["OPENCV", "OPENCV_FISHEYE", "is_fisheye"])
def test_distortion_of_nerfstudio_lenses_is_undone(tmp_path: Path, model: str):
    lens = "OPENCV" if model == "OPENCV" else "OPENCV_FISHEYE"
    truth = dialects.some_truth(3, (160, 120))
    rgb, p = np.repeat(ray_picture(lens)[None], 3, 0), LENSES[lens]
    matrix = np.array([[p[0], 0, p[2]], [0, p[1], p[3]], [0, 0, 1.0]])
    names = ("k1", "k2", "p1", "p2") if lens == "OPENCV" else ("k1", "k2", "k3", "k4")
    extra = dict(zip(names, p[4:], strict=True)) | ({"is_fisheye": True} if model == "is_fisheye" else {})
    extra |= {} if model == "is_fisheye" else {"camera_model": model}
    folder = dialects.write_nerfstudio(tmp_path / "set", replace(truth, rgb=rgb, matrix=matrix), **extra)
    if model == "is_fisheye":
        dialects.edit_table(folder, lambda table: table.pop("camera_model"))
    check_rays(read(folder))


def test_pycolmap_projects_points_to_the_same_pixels(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_colmap(tmp_path / "set", truth)
    model = pycolmap.Reconstruction(folder / "sparse" / "0")
    frames = read(folder)
    assert frames.cameras is not None
    for i in range(len(truth.rgb)):
        image = model.image(i + 1)
        for point in truth.points[:5]:
            theirs = image.project_point(point)
            pose, matrix = (
                each[i].astype(np.float64) for each in (frames.cameras.world_from_cam, frames.cameras.intrinsics)
            )
            assert np.abs(dialects.project(point[None], pose, matrix)[0] - theirs).max() < 1e-4


def test_smaller_pictures_scale_their_cameras(tmp_path: Path):
    truth = dialects.some_truth()
    frames = read(dialects.write_nerfstudio(tmp_path / "set", truth), size=48)
    assert frames.cameras is not None
    assert (frames.cameras.width, frames.cameras.height) == (48, 32)
    assert np.allclose(frames.cameras.intrinsics[:, :2], truth.matrix[:2] / 2, atol=1e-4)


def test_pictures_of_several_sizes_lie_on_one_canvas(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth, shared=False)

    def turn(table: dict) -> None:
        frame = table["frames"][1]
        frame["w"], frame["h"], frame["fl_x"], frame["fl_y"] = 64, 96, 82.0, 80.0
        frame["cx"], frame["cy"] = 33.0, 50.0
        PillowImage.fromarray(truth.rgb[1].swapaxes(0, 1)).save(folder / frame["file_path"])

    dialects.edit_table(folder, turn)
    frames = read(folder)
    assert frames.sizes is not None
    assert frames.sizes.tolist() == [[96, 64], [64, 96], *[[96, 64]] * 3]
    assert frames.cameras is not None
    assert frames.cameras.intrinsics[1, :2, 2].tolist() == [33, 50]
    assert np.array_equal(frames.rgb[1, :96, :64], truth.rgb[1].swapaxes(0, 1))


def test_paths_of_another_machine_are_found_inside(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    (tmp_path / "images").mkdir()

    def change(table: dict) -> None:
        for i, frame in enumerate(table["frames"]):
            name = Path(frame["file_path"]).name
            starts = ["C:\\scans\\set\\images\\", "/home/me/set/images/", "../set/images/", "images\\", ".\\images\\"]
            frame["file_path"] = starts[i] + name

    dialects.edit_table(folder, change)
    frames = read(folder)
    assert np.array_equal(frames.rgb, truth.rgb)
    assert frames.inventory is not None
    assert "3 paths lead out of the dataset" in frames.inventory.line()


def test_files_outside_are_not_read(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    PillowImage.fromarray(truth.rgb[0]).save(tmp_path / "secret.png")

    def change(table: dict) -> None:
        table["frames"][0]["file_path"] = "../secret.png"
        table["frames"][1]["file_path"] = str(tmp_path / "secret.png")

    dialects.edit_table(folder, change)
    frames = read(folder)
    assert len(frames) == 3
    assert frames.inventory is not None
    kinds = [item.kind for item in frames.inventory.left_out]
    assert kinds == ["missing picture"] * 2 + ["picture without a camera"] * 2


def test_suffixes_may_be_missing_or_others(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)

    def change(table: dict) -> None:
        for i, frame in enumerate(table["frames"]):
            frame["file_path"] = frame["file_path"].replace(".png", ["", ".jpg", ".PNG", "", ".png"][i])

    dialects.edit_table(folder, change)
    assert np.array_equal(read(folder).rgb, truth.rgb)


def test_masks_belong_to_their_pictures(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    mask = np.full((64, 96), 255, np.uint8)
    mask[:, :40] = 0
    PillowImage.fromarray(mask).save(folder / "mask_3.png")
    dialects.edit_table(folder, lambda table: table["frames"][3].update(mask_path="mask_3.png"))
    frames = read(folder)
    assert frames.mask is not None
    assert np.array_equal(frames.mask[3], mask)
    assert frames.mask[[0, 1, 2, 4]].all()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda table: table["frames"][2]["transform_matrix"][0].__setitem__(3, float("nan")), "frame 2 .* not finite"),
        (lambda table: table["frames"][2]["transform_matrix"][0].__setitem__(0, 3.0), "frame 2 .* not a rotation"),
        (lambda table: table["frames"][2].pop("transform_matrix"), "frame 2 .*transform_matrix"),
        (lambda table: table["frames"][2].update(transform_matrix=[[1, 0], [0, 1]]), "frame 2 .* shape"),
        (lambda table: table.update(frames=[]), "no frames"),
        (lambda table: table.update(frames=table["frames"][:1]), r"1 picture\(s\) with cameras, needs at least 2"),
        (lambda table: table.update(camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR, needs PINHOLE"),
        (lambda table: table.update(fl_x=-5), "focal|parameters"),
        (lambda table: table.update(fl_x="wide"), "could not convert"),
        (lambda table: table.update(w=1e999), "OverflowError"),
        (lambda table: table.update(h=640), "cannot be used.*96x64, its camera 96x640"),
        (lambda table: table.update(k1=0.1, k4=0.2), "k4"),
    ],
)
def test_bad_cameras_are_refused_in_one_line(tmp_path: Path, change, found: str):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    dialects.edit_table(folder, change)
    with pytest.raises(CameraError) as caught:
        read(folder)
    assert re.search(found, str(caught.value))
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "[" * 100_000, '{"frames": 3}', "\ufeff{}"])
def test_broken_camera_files_are_refused(tmp_path: Path, text: str):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    (folder / "transforms.json").write_text(text)
    with pytest.raises(CameraError):
        read(folder)


def test_a_byte_order_mark_and_three_rows_do_not_matter(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    change_poses(folder, lambda pose: pose[:3])
    text = (folder / "transforms.json").read_text()
    (folder / "transforms.json").write_text(text, encoding="utf-8-sig")
    assert pixel_error(folder, truth) < 1e-3


@pytest.mark.parametrize("file", ["cameras.bin", "images.bin", "points3D.bin"])
def test_damaged_colmap_models_are_refused(tmp_path: Path, file: str):
    folder = dialects.write_colmap(tmp_path / "set", dialects.some_truth(), binary=True)
    path = folder / "sparse" / "0" / file
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CameraError):
        read(folder)


def test_the_memory_for_a_model_depends_on_its_size():
    """A count in a damaged file may ask for any number of points."""
    program = "from img2world.captures.colmap_process import limit_memory; limit_memory({}); bytearray(1 << 30)"
    small, large = (
        subprocess.run([sys.executable, "-c", program.format(size)], capture_output=True, text=True, check=False)
        for size in (1000, 1 << 30)
    )
    assert "MemoryError" in small.stderr
    assert large.returncode == 0, large.stderr


def test_far_coordinates_keep_their_precision(tmp_path: Path):
    truth = dialects.some_truth()
    offset = np.array([4.5e5, 0, 5.1e6])
    poses = truth.poses.copy()
    poses[:, :3, 3] += offset
    far = replace(truth, poses=poses, points=truth.points + offset)
    assert pixel_error(dialects.write_colmap(tmp_path / "set", far), truth) < 1e-2


def test_pictures_without_a_camera_are_listed(tmp_path: Path):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    dialects.edit_table(folder, lambda table: table["frames"].pop(1))
    inventory = read(folder).inventory
    assert inventory is not None
    assert inventory.line().startswith("4 of 5 pictures used: 1 picture without a camera; transforms.json")
    assert inventory.left_out[0].name == "images/frame_00002.png"


def test_a_dataset_is_thinned_evenly(tmp_path: Path):
    folder = dialects.write_nerfstudio(tmp_path / "set", dialects.some_truth())
    frames = frames_from_dataset(folder, size=960, max_photos=3, progress=silent)
    assert frames.inventory is not None
    assert [name[-5] for name in frames.inventory.used] == ["1", "3", "5"]
    assert [item.kind for item in frames.inventory.left_out] == ["picture beyond the limit"] * 2


def test_cameras_of_pictures_that_are_stored_turned(tmp_path: Path):
    """COLMAP and nerfstudio read pixels as they are stored, whatever the EXIF orientation."""
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    for i, orientation in enumerate((6, 3, 8, 5, 2)):
        path = folder / f"images/frame_{i + 1:05d}.png"
        exif = PillowImage.Exif()
        exif[0x0112] = orientation
        PillowImage.fromarray(truth.rgb[i]).save(path, exif=exif)
    assert np.array_equal(read(folder).rgb, truth.rgb)


@pytest.mark.parametrize("name", WRITERS)
def test_each_layout_is_found(tmp_path: Path, name: str):
    folder = WRITERS[name](tmp_path / "set", truth_for(name))
    assert find_layout(folder) is not None
    assert find_layout(folder.parent) is None
    pictures = next(path.parent for path in sorted(folder.rglob("*.[jp][pn]g")))
    assert find_layout(pictures) is None


@pytest.mark.parametrize("place", ["sparse/0", "distorted/sparse/0", "colmap/sparse/0", "sparse"])
def test_a_colmap_model_is_found_in_its_places(tmp_path: Path, place: str):
    truth = dialects.some_truth()
    folder = dialects.write_colmap(tmp_path / "colmap", truth)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    if place != "sparse/0":
        (folder / "sparse" / "0").rename(folder / "moved")
        (folder / "sparse").rmdir()
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "moved").rename(folder / place)
    for path in (folder, folder / place):
        frames = read(path)
        assert np.array_equal(frames.rgb, truth.rgb)
        assert dataset_root(path) == folder


def test_the_larger_of_two_models_is_taken(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_colmap(tmp_path / "set", truth)
    (folder / "sparse" / "0").rename(folder / "sparse" / "1")
    part = replace(truth, rgb=truth.rgb[:2], poses=truth.poses[:2])
    (dialects.write_colmap(tmp_path / "part", part) / "sparse" / "0").rename(folder / "sparse" / "0")
    assert len(read(folder)) == len(truth.rgb)


def test_a_camera_file_may_be_named(tmp_path: Path):
    truth = dialects.some_truth()
    folder = dialects.write_nerfstudio(tmp_path / "set", truth)
    (folder / "transforms.json").rename(folder / "transforms_undistorted.json")
    assert np.array_equal(read(folder / "transforms_undistorted.json").rgb, truth.rgb)
    assert json.loads((folder / "transforms_undistorted.json").read_text())["frames"]


def with_times(folder: Path, times: list[float]) -> Path:
    """Give the pictures of a transforms.json, in its order, times."""
    table = json.loads((folder / "transforms.json").read_text())
    for row, time in zip(table["frames"], times, strict=True):
        row["time"] = time
    (folder / "transforms.json").write_text(json.dumps(table))
    return folder


def test_pictures_with_times_are_in_their_order(tmp_path: Path):
    truth = dialects.some_truth()
    folder = with_times(dialects.write_nerfstudio(tmp_path, truth), [0.5, 0.0, 1.0, 0.25, 0.75])
    frames = read(folder)
    assert frames.is_timed
    assert frames.viewpoints is None
    assert frames.times.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert np.array_equal(frames.rgb, truth.rgb[[1, 3, 0, 4, 2]])
    assert find_source(folder).default_recipe == "moving"
    # At most so many pictures, at times in even steps.
    assert frames_from_dataset(folder, size=960, max_photos=3, progress=silent).times.tolist() == [0, 0.5, 1]


def test_equal_times_are_no_motion(tmp_path: Path):
    folder = with_times(dialects.write_nerfstudio(tmp_path, dialects.some_truth()), [0.5] * 5)
    assert not read(folder).is_timed
    assert find_source(folder).default_recipe == "dataset"


def test_times_of_some_pictures_only_are_said_to_be_unused(tmp_path: Path):
    frames = read(with_times(dialects.write_nerfstudio(tmp_path, dialects.some_truth()), [0.5, None, 1.0, 0.25, 0.75]))
    assert not frames.is_timed
    assert "times not used: 1 of 5 pictures have none" in frames.inventory.notes


def test_cameras_that_take_several_pictures_are_viewpoints(tmp_path: Path):
    truth = dialects.some_truth(6)
    truth = replace(truth, poses=truth.poses[[0, 1, 2, 0, 1, 2]])
    frames = read(with_times(dialects.write_nerfstudio(tmp_path, truth), [0.0, 0, 0, 1, 1, 1]))
    assert frames.viewpoints is not None
    assert frames.viewpoints.tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(CameraError, match="the time nan"):
        read(with_times(tmp_path, [float("nan")] * 6))
