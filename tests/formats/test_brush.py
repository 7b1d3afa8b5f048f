import zipfile

import numpy as np
import pytest

from img2world.core.errors import FormatError
from img2world.core.rotation import matrix_from_quat
from img2world.formats import brush
from img2world.formats.files import read_splats, write_splats
from tests.moving import moving_scene

SIZES = {"float": "<f4", "ushort": "<u2", "uchar": "<u1"}
ATTRIBUTES = ("x", "y", "z", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")


@pytest.fixture(scope="module")
def scene():
    return moving_scene(10)


def elements_of(data: bytes):
    """Yield each element of a PLY by the rules of Brush: integers are fractions of their largest value minus 1."""
    head, _, body = data.partition(b"end_header\n")
    lines = [line.split() for line in head.decode().splitlines()]
    assert lines[:2] == [["ply"], ["format", "binary_little_endian", "1.0"]]
    table = []
    for words in lines[2:]:
        if words[0] == "element":
            table.append((words[1], int(words[2]), []))
        elif words[0] == "property":
            table[-1][2].append((words[2], SIZES[words[1]]))
    offset = 0
    for name, count, columns in table:
        dtype = np.dtype(columns)
        rows = np.frombuffer(body, dtype, count, offset)
        offset += count * dtype.itemsize
        values = {column: rows[column] / (np.iinfo(kind).max - 1 if kind != "<f4" else 1) for column, kind in columns}
        yield name, values
    assert offset == len(body)


def frames_of(data: bytes) -> list[dict[str, np.ndarray]]:
    """Return the frames that Brush 0.3.0 shows (`parse_delta_ply`): vertex plus the delta, scaled from its limits."""
    elements = elements_of(data)
    name, base = next(elements)
    assert name == "vertex"
    low, high, frames = None, None, []
    for name, values in elements:
        row = np.stack([values[attribute] for attribute in ATTRIBUTES], -1)  # all ten have to be there
        if name.startswith("meta_delta_min_"):
            low = row
        elif name.startswith("meta_delta_max_"):
            high = row
        elif name.startswith("delta_vertex_"):
            delta = row * (high - low) + low
            frames.append({attribute: base[attribute] + delta[:, i] for i, attribute in enumerate(ATTRIBUTES)})
    return [{**base, **frame} for frame in frames]


def columns(frame, *names: str) -> np.ndarray:
    return np.stack([frame[name] for name in names], -1)


def test_brush_shows_each_frame_as_we_do(scene, tmp_path):
    write_splats(scene.gaussians, tmp_path / "a.brush.zip", {"motion": scene.motion})
    with zipfile.ZipFile(tmp_path / "a.brush.zip") as archive:
        # Anything else in it would make Brush take it for photos.
        assert archive.namelist() == ["scene.ply"]
        frames = frames_of(archive.read("scene.ply"))
    assert len(frames) == 2 * 24 + 1
    for i in (0, 10, 48):
        time, frame = i / 24, frames[i]
        expected = scene.at(time)
        np.testing.assert_allclose(columns(frame, "x", "y", "z"), expected.means, atol=2e-5)
        turns = matrix_from_quat(columns(frame, "rot_0", "rot_1", "rot_2", "rot_3"))
        np.testing.assert_allclose(turns, matrix_from_quat(expected.quats), atol=2e-4)
        np.testing.assert_allclose(frame["opacity"], scene.gaussians.logit_opacities)
        # Opacities do not change in Brush: the ball is a point until it appears.
        sizes = np.exp(columns(frame, "scale_0", "scale_1", "scale_2")) / scene.gaussians.scales
        np.testing.assert_allclose(sizes[:30], 1, rtol=2e-4)
        np.testing.assert_allclose(sizes[30:], 1 if time == 2 else 0, atol=1e-3)


def test_a_ply_for_each_frame_is_an_option(scene, tmp_path):
    brush.write(scene.gaussians, tmp_path / "a.brush.zip", motion=scene.motion, deltas=False)
    with zipfile.ZipFile(tmp_path / "a.brush.zip") as archive:
        names = archive.namelist()
        assert names == [f"frame_{i:04d}.ply" for i in range(2 * 30 + 1)]
        ((_, frame),) = elements_of(archive.read(names[15]))
    np.testing.assert_array_equal(columns(frame, "x", "y", "z"), scene.at(0.5).means)


def test_the_first_frame_is_read_and_the_others_are_named(scene, tmp_path):
    brush.write(scene.gaussians, tmp_path / "a.brush.zip", motion=scene.motion)
    file = read_splats(tmp_path / "a.brush.zip")
    np.testing.assert_allclose(file.gaussians.means, scene.at(0.0).means)
    assert {name: file.details[name] for name in ("frames", "seconds", "left out")} == {
        "frames": 49, "seconds": 2.0, "left out": "48 of 49 frames",
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "b.brush.zip", "w") as archive:
        archive.writestr("photo.jpg", b"")
    with pytest.raises(FormatError, match="no PLY"):
        read_splats(tmp_path / "b.brush.zip")
