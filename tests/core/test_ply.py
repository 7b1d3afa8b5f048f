import numpy as np
import pytest
from trimesh.exchange.ply import load_ply

from img2world.core.errors import FormatError
from img2world.core.ply import read_elements, read_ply, write_elements

HEADER = b"ply\nformat %s 1.0\n%send_header\n"
VERTICES = b"element vertex 2\nproperty float x\nproperty uchar red\nproperty double y\n"


def ply(header: bytes, body: bytes, order: bytes = b"binary_little_endian") -> bytes:
    return HEADER % (order, header) + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_are_read(tmp_path, order):
    path = tmp_path / "order.ply"
    rows = np.array([(1.5, 7, -2.25), (np.inf, 255, 1e300)], [("x", f"{order}f4"), ("r", "u1"), ("y", f"{order}f8")])
    name = {"<": b"binary_little_endian", ">": b"binary_big_endian"}[order]
    path.write_bytes(ply(VERTICES, rows.tobytes(), name))
    columns = read_ply(path)
    assert all(column.dtype.isnative for column in columns.values())
    assert [column.tolist() for column in columns.values()] == [[1.5, np.inf], [7, 255], [-2.25, 1e300]]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_text_is_read(tmp_path, newline):
    path = tmp_path / "text.ply"
    text = ply(VERTICES, b"1.5 7 -2.25\n  inf 255\t1e300 \n", b"ascii")
    path.write_bytes(text.replace(b"\n", newline))
    columns = read_ply(path)
    assert [column.tolist() for column in columns.values()] == [[1.5, np.inf], [7, 255], [-2.25, 1e300]]
    assert [str(column.dtype) for column in columns.values()] == ["float32", "uint8", "float64"]


def test_other_elements_may_come_first_and_faces_after(tmp_path):
    path = tmp_path / "elements.ply"
    header = b"comment made before end_header\nelement camera 1\nproperty int id\nproperty short s\n" + VERTICES
    header += b"element face 1\nproperty list uchar int vertex_indices\n"
    rows = np.array([(1, 2, 3), (4, 5, 6)], [("x", "<f4"), ("r", "u1"), ("y", "<f8")])
    path.write_bytes(ply(header, np.array([(9, 8)], "<i4,<i2").tobytes() + rows.tobytes() + b"\3" + bytes(12)))
    elements = read_elements(path)
    assert list(elements) == ["camera", "vertex"]
    assert elements["camera"]["id"].tolist() == [9]
    assert read_ply(path)["y"].tolist() == [3, 6]


def test_an_element_without_properties_or_rows_is_passed_over(tmp_path):
    path = tmp_path / "empty.ply"
    path.write_bytes(ply(b"element nothing 5\nelement none 0\nproperty float a\n" + VERTICES, bytes(26)))
    assert read_ply(path)["x"].tolist() == [0, 0]
    assert len(read_elements(path)["none"]["a"]) == 0


def test_several_elements_are_written_as_trimesh_reads_them(tmp_path):
    path = tmp_path / "two.ply"
    first, second = np.arange(70_000, dtype=np.uint32), np.arange(3, dtype=np.uint8)
    write_elements({"vertex": {"x": first, "y": first[::-1], "z": first}, "extra": {"c": second}}, path, ("hello",))
    with path.open("rb") as file:
        raw = load_ply(file)["metadata"]["_ply_raw"]
    np.testing.assert_array_equal(raw["vertex"]["data"]["x"], first)
    np.testing.assert_array_equal(raw["vertex"]["data"]["y"], first[::-1])
    np.testing.assert_array_equal(raw["extra"]["data"]["c"], second)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("element vertex one\nproperty float x", "damaged header at: element vertex one"),
        ("element vertex -1\nproperty float x", "damaged header"),
        ("element vertex 1\nproperty float x\nproperty float x", "damaged header"),
        ("element vertex 1\nproperty float", "damaged header"),
        ("element vertex 1\nproperty", "damaged header"),
        ("element vertex 1\nproperty quad x", "damaged header"),
        ("element vertex", "damaged header"),
        ("element vertex 1\nproperty list uchar int x", "no vertices but nothing"),
        ("element chunk 1\nproperty float x", "no vertices but chunk"),
        ("", "no vertices but nothing"),
        ("element vertex 26\nproperty float x", "ends after 100 of 104 bytes"),
        ("element vertex 999999999999999999\nproperty double x", "ends after 100 of"),
        ("element vertex 9999999999999999999999\nproperty double x", "damaged header"),
    ],
)
def test_other_ply_files_are_refused_in_one_line(tmp_path, header, found):
    path = tmp_path / "other.ply"
    path.write_bytes(ply(header.encode() + b"\n", bytes(100)))
    with pytest.raises(FormatError, match=found) as error:
        read_ply(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "not a PLY file"),
        (b"ply", "not a PLY file"),
        (b"ply\n", "not a PLY file"),
        (b"plywood\nend_header\n", "not a PLY file"),
        (b"ply\nformat binary_little_endian 1.0\nend_header", "neither ASCII nor binary"),
        (b"ply\nformat nonsense 1.0\nend_header\n", "neither ASCII nor binary"),
        (ply(VERTICES, b"1 2 3 4 five 6", b"ascii"), "something else than numbers"),
        (ply(VERTICES, b"1 2 3 4 \xff 6", b"ascii"), "something else than numbers"),
        (ply(VERTICES, b"1 2 3 4 5", b"ascii"), "ends after 5 of 6 numbers"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, data, found):
    path = tmp_path / "damaged.ply"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=found) as error:
        read_ply(path)
    assert "\n" not in str(error.value)
