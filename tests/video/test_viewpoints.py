"""Frames of several cameras at common times, from videos, folders and grids made here."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.camera_paths import orbit
from img2world.core.cameras import Cameras, intrinsics_from_fov, save_cameras
from img2world.core.errors import VideoError
from img2world.core.image import Image
from img2world.core.progress import silent
from img2world.export.mp4 import write_mp4
from img2world.video import clips
from img2world.video.decode import decode
from img2world.video.file import FileVideo
from img2world.video.grid import cut_grid, layout, parse_grid, tile_frames
from img2world.video.motion_energy import survey

SIDE = 48


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Decode videos in this process: the start of another takes far longer than those of tests."""
    tasks = {"img2world.video.motion_energy": survey, "img2world.video.decode": decode}
    monkeypatch.setattr(clips, "run_child", lambda module, options, **_: tasks[module](options, silent))


def picture(viewpoint: int, moment: int) -> np.ndarray:
    """Return a picture whose left half tells the viewpoint, and whose right half the moment, by their greys."""
    rgb = np.full((SIDE, SIDE, 3), 40 + 60 * viewpoint, np.uint8)
    rgb[:, SIDE // 2 :] = 10 + 8 * moment
    return rgb


def moments(rgb: np.ndarray) -> list[int]:
    """Return the moment that each picture shows."""
    return np.round((rgb[:, SIDE // 2, -8:, 0].mean(1) - 10) / 8).astype(int).tolist()


def viewpoints(rgb: np.ndarray) -> list[int]:
    """Return the viewpoint that each picture shows."""
    return np.round((rgb[:, SIDE // 2, :8, 0].mean(1) - 40) / 60).astype(int).tolist()


def write_videos(folder: Path, starts: list[int], count: int = 20, fps: list[float] | None = None) -> Path:
    folder.mkdir()
    for i, start in enumerate(starts):
        rate = 1 if fps is None else round(24 / fps[i])
        shown = np.stack([picture(i, k) for k in range(start, start + count, rate)])
        write_mp4(shown, folder / f"cam_{i}.mp4", 24 / rate, crf=4)
    return folder


def test_videos_become_frames_time_by_time(tmp_path):
    frames = FileVideo(path=write_videos(tmp_path / "set", [0, 0, 0]), num_frames=5).generate(None, None)
    assert (len(frames), frames.ordered, frames.is_timed, frames.cameras) == (15, False, True, None)
    assert frames.viewpoints is not None
    assert frames.viewpoints.tolist() == viewpoints(frames.rgb) == [0, 1, 2] * 5
    assert np.allclose(frames.times * 24, np.repeat([0, 5, 10, 14, 19], 3), atol=0.01)
    assert moments(frames.rgb) == np.repeat([0, 5, 10, 14, 19], 3).tolist()
    assert frames.inventory is not None
    assert "3 viewpoints at 5 times" in frames.inventory.line()
    assert "of 20 times 5 are used" in frames.inventory.line()


def test_told_offsets_align_clips(tmp_path):
    folder = write_videos(tmp_path / "set", [0, 6], 16)
    frames = FileVideo(path=folder, offsets=(0.0, 6 / 24)).generate(None, None)
    # Of the 22 moments that either saw, both saw ten.
    assert moments(frames.rgb[::2]) == moments(frames.rgb[1::2]) == list(range(6, 16))
    assert frames.inventory is not None
    assert any("as told" in note for note in frames.inventory.notes)
    with pytest.raises(VideoError, match="3 offsets for 2 clips"):
        FileVideo(path=folder, offsets=(0.0, 1.0, 2.0)).generate(None, None)
    with pytest.raises(VideoError, match="0 times in common"):
        FileVideo(path=folder, offsets=(0.0, 5.0)).generate(None, None)


def test_the_slowest_clip_tells_the_times(tmp_path):
    folder = write_videos(tmp_path / "set", [0, 0], 16, fps=[24, 12])
    frames = FileVideo(path=folder).generate(None, None)
    assert moments(frames.rgb[::2]) == moments(frames.rgb[1::2]) == list(range(0, 16, 2))


def test_cameras_come_from_the_folder_and_those_without_are_left_out(tmp_path):
    folder = write_videos(tmp_path / "set", [0, 0, 0], 6)
    intrinsics = np.tile(intrinsics_from_fov(0.8, 2 * SIDE, 2 * SIDE), (2, 1, 1))
    truth = Cameras(world_from_cam=orbit(2), intrinsics=intrinsics, width=2 * SIDE, height=2 * SIDE)
    save_cameras(truth, folder / "transforms.json", ["cam_2.png", "cam_0.png"])
    frames = FileVideo(path=folder).generate(None, None)
    assert frames.cameras is not None
    assert viewpoints(frames.rgb) == [0, 2] * 6
    assert np.allclose(frames.cameras.world_from_cam, truth.world_from_cam[[1, 0] * 6], atol=1e-6)
    # The cameras are of pictures of twice the size.
    assert np.allclose(frames.cameras.intrinsics[0, 0, 0] * 2, intrinsics[0, 0, 0])
    assert frames.inventory is not None
    assert [item.name for item in frames.inventory.left_out] == ["cam_1"]


def write_grid(path: Path, rows: int, columns: int) -> Path:
    cells = [[picture(row, column) for column in range(columns)] for row in range(rows)]
    PillowImage.fromarray(np.concatenate([np.concatenate(row, 1) for row in cells])).save(path)
    return path


def test_rows_of_a_picture_are_viewpoints_and_columns_times(tmp_path):
    path = write_grid(tmp_path / "grid.png", 3, 4)
    frames = FileVideo(path=path, grid="3x4").generate(None, None)
    assert viewpoints(frames.rgb) == [0, 1, 2] * 4
    assert moments(frames.rgb) == np.repeat(range(4), 3).tolist()
    assert frames.viewpoints is not None
    assert frames.viewpoints.tolist() == [0, 1, 2] * 4


def test_cells_of_a_video_are_viewpoints(tmp_path):
    shown = [np.concatenate([picture(0, t), picture(1, t)], 1) for t in range(6)]
    write_mp4(np.stack([np.concatenate([row, row], 0) for row in shown]), tmp_path / "grid.mp4", 24.0, crf=4)
    frames = FileVideo(path=tmp_path / "grid.mp4", grid="2x2", num_frames=3).generate(None, None)
    assert viewpoints(frames.rgb) == [0, 1, 0, 1] * 3
    assert moments(frames.rgb) == np.repeat([0, 2, 5], 4).tolist()


def test_viewpoints_are_seen_beside_each_other_at_each_time(tmp_path):
    frames = FileVideo(path=write_grid(tmp_path / "grid.png", 3, 4), grid="3x4").generate(None, None)
    tiled = tile_frames(frames.select(np.arange(1, 12)))
    assert tiled.shape == (4, SIDE, 3 * SIDE, 3)
    for i in range(3):
        cell = tiled[:, :, i * SIDE : (i + 1) * SIDE]
        assert viewpoints(cell[1:]) == [i] * 3
        assert moments(cell[1:]) == [1, 2, 3]
    # The first picture of the first viewpoint is not there.
    assert (tiled[0, :, :SIDE] == 128).all()


def test_tiles_make_an_about_square_picture():
    squares = {2: (1, 2), 4: (2, 2), 5: (2, 3), 7: (2, 4), 8: (2, 4), 12: (3, 4), 21: (3, 7)}
    assert {count: layout(count, 1.0) for count in squares} == squares
    assert layout(8, 16 / 9) == (4, 2)


def test_grids_that_do_not_fit_are_refused(tmp_path):
    assert parse_grid(" 4 x 12") == (4, 12)
    for grid in ("4", "1x1", "axb", "4x"):
        with pytest.raises(VideoError, match="needs rows x columns"):
            parse_grid(grid)
    with pytest.raises(VideoError, match="cells of 4x48 pixels"):
        FileVideo(path=write_grid(tmp_path / "grid.png", 1, 2), grid="1x20").generate(None, None)


def test_a_path_for_a_grid_tells_its_cameras(tmp_path):
    table = {"world_from_cam": orbit(2).tolist(), "intrinsics": intrinsics_from_fov(0.8, 64, 64).tolist()}
    (tmp_path / "path.json").write_text(json.dumps({**table, "width": 64, "height": 64}))
    path = write_grid(tmp_path / "grid.png", 2, 3)
    frames = FileVideo(path=path, grid="2x3", cameras=tmp_path / "path.json").generate(None, None)
    assert frames.cameras is not None
    assert np.allclose(frames.cameras.world_from_cam, np.tile(orbit(2), (3, 1, 1)))
    assert frames.cameras.intrinsics[0, 0, 0] == pytest.approx(intrinsics_from_fov(0.8, SIDE, SIDE)[0, 0])


def test_a_grid_has_to_divide_a_picture_and_nearly_a_frame():
    image = Image(rgb=np.zeros((100, 202, 3), np.uint8), alpha=None)
    assert len(cut_grid(image, 5, 2, Path("a.png"))) == 10
    with pytest.raises(VideoError, match="202 pixels do not divide into 4 columns"):
        cut_grid(image, 5, 4, Path("a.png"))
    assert len(cut_grid(image, 5, 4, Path("a.mp4"), slack=2)) == 20
    with pytest.raises(VideoError, match="100 pixels do not divide into 6 rows"):
        cut_grid(image, 6, 2, Path("a.png"), slack=1)
