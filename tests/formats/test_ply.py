import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_scene import gaussians_from, known_splats

from img2world.core.errors import FormatError
from img2world.core.gaussians import Gaussians
from img2world.core.ply import write_ply
from img2world.formats.ply import columns_from_gaussians, from_columns, read, write

NAMES = [
    *"xyz", *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(45)), "opacity",
    *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4)),
]  # fmt: skip


def some_columns(count: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=count).astype(np.float32) for name in NAMES}


def test_columns_are_those_of_the_reference_code():
    """One Gaussian whose coefficient of basis k and channel c is 10 k + c."""
    sh = (10 * np.arange(4)[:, None] + np.arange(3)).astype(np.float32)[None]
    one = Gaussians(
        means=np.array([[1, 2, 3]], np.float32),
        quats=np.array([[0, 2, 0, 0]], np.float32),
        log_scales=np.array([[-1, -2, -3]], np.float32),
        logit_opacities=np.array([0.5], np.float32),
        sh=sh,
    )
    columns = {name: float(column[0]) for name, column in columns_from_gaussians(one, bases=16).items()}
    assert [columns[f"f_dc_{i}"] for i in range(3)] == [0, 1, 2]
    rest = [columns[f"f_rest_{i}"] for i in range(45)]
    assert rest[:3] == [10, 20, 30]
    assert rest[15:18] == [11, 21, 31]
    assert rest[30:33] == [12, 22, 32]
    assert sum(map(abs, rest)) == sum([10, 20, 30, 11, 21, 31, 12, 22, 32])
    assert [columns[f"rot_{i}"] for i in range(4)] == [0, 1, 0, 0]
    assert columns["opacity"] == 0.5
    assert [columns[f"scale_{i}"] for i in range(3)] == [-1, -2, -3]


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(59)), normals=st.booleans(), double=st.booleans())
def test_dialects_are_read(tmp_path_factory, order, normals, double):
    """Columns in any order, with or without normals, of floats or doubles, extra columns and a second element."""
    rng = np.random.default_rng(1)
    columns = {NAMES[i]: rng.normal(size=3).astype(np.float64 if double else np.float32) for i in order}
    columns |= {axis: np.zeros(3, np.float32) for axis in ("nx", "ny", "nz") if normals}
    columns["segment"] = np.arange(3, dtype=np.uint8)
    path = tmp_path_factory.mktemp("ply") / "dialect.ply"
    write_ply(columns, path, comments=("by another program",))
    path.write_bytes(
        path.read_bytes().replace(b"end_header", b"element extra 1\nproperty int value\nend_header") + b"1234"
    )
    found = read(path).gaussians
    np.testing.assert_array_equal(found.means[:, 1], columns["y"].astype(np.float32))
    np.testing.assert_array_equal(found.sh[:, 2, 1], columns["f_rest_16"].astype(np.float32))


@pytest.mark.parametrize(("order", "name"), [("ascii", "ascii"), (">", "binary_big_endian")])
def test_text_and_the_other_byte_order_hold_the_same_scene(tmp_path, order, name):
    gaussians = gaussians_from(known_splats(3))
    columns = columns_from_gaussians(gaussians)
    table = np.stack(list(columns.values()), -1)
    header = f"ply\nformat {name} 1.0\nelement vertex {len(table)}\n"
    header += "".join(f"property float {column}\n" for column in columns) + "end_header\n"
    rows = "\n".join(" ".join(map(repr, map(float, row))) for row in table) + "\n"
    body = rows.encode() if order == "ascii" else table.astype(">f4").tobytes()
    (tmp_path / "other.ply").write_bytes(header.encode() + body)
    write(gaussians, tmp_path / "ours.ply")
    actual, expected = (read(tmp_path / file).gaussians for file in ("other.ply", "ours.ply"))
    for field, array in vars(expected).items():
        np.testing.assert_array_equal(getattr(actual, field), array, err_msg=field)


def test_colors_may_be_bytes():
    columns = {name: column for name, column in some_columns().items() if not name.startswith("f_")}
    columns |= {name: np.array([0, 255], np.uint8) for name in ("red", "green", "blue")}
    file = from_columns(columns)
    np.testing.assert_allclose(0.5 + 0.28209479 * file.gaussians.sh[:, 0], [[0] * 3, [1] * 3], atol=1e-6)
    assert file.details == {"colors": "bytes"}
    # Harmonics are more precise than bytes, which some programs write beside them.
    both = from_columns(some_columns() | {name: np.zeros(2, np.uint8) for name in ("red", "green", "blue")})
    np.testing.assert_array_equal(both.gaussians.sh[:, 0, 0], some_columns()["f_dc_0"])


def test_gaussians_with_two_axes_are_flat():
    columns = some_columns()
    del columns["scale_2"]
    file = from_columns(columns)
    assert file.details == {"flat": "2D Gaussians"}
    np.testing.assert_allclose(file.gaussians.scales[:, 2], 0, atol=1e-8)


def test_infinite_values_that_mean_something_are_kept_and_broken_gaussians_counted():
    columns = {name: np.repeat(column[:1], 8) for name, column in some_columns().items()}
    columns["opacity"][:2] = np.inf, -np.inf
    columns["scale_1"][2:4] = np.inf, -np.inf
    columns["y"][4] = np.nan
    columns["f_rest_7"][5] = np.inf
    columns["opacity"][6] = np.nan
    for i in range(4):
        columns[f"rot_{i}"][7] = 0
    file = from_columns(columns)
    assert (len(file.gaussians), file.broken) == (4, 4)
    np.testing.assert_allclose(file.gaussians.opacities[:2], [1, 0], atol=1e-7)
    assert file.gaussians.scales[2, 1] > 1e8
    assert file.gaussians.scales[3, 1] < 1e-8


def test_missing_columns_are_named():
    with pytest.raises(FormatError, match="is a point cloud or a mesh"):
        from_columns({axis: np.zeros(2, np.float32) for axis in "xyz"})
    columns = some_columns()
    with pytest.raises(FormatError, match="has 44 f_rest columns"):
        from_columns({name: column for name, column in columns.items() if name != "f_rest_44"})
    for gone in ("f_rest_7", "rot_3", "z", "opacity", "f_dc_1"):
        with pytest.raises(FormatError, match=f"lacks {gone}"):
            from_columns({name: column for name, column in columns.items() if name != gone})


def test_a_mesh_is_told_from_splats(tmp_path):
    path = tmp_path / "mesh.ply"
    path.write_bytes(b"ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int v\nend_header\n")
    with pytest.raises(FormatError, match="has no vertices"):
        read(path)
