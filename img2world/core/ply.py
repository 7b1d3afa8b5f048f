"""Binary PLY files with one element, `vertex`, for splats and point clouds.

Source: G. Turk, "The PLY polygon file format", 1994.
"""

from pathlib import Path

import numpy as np

from img2world.core.errors import ExportError

DTYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4", "float32": "<f4",
    "double": "<f8", "float64": "<f8",
}  # fmt: skip
HINT = "needs a little-endian binary PLY file whose vertices have scalar properties"
NAMES = {"u1": "uchar", "f4": "float", "f8": "double", "i4": "int", "u4": "uint", "u2": "ushort", "i2": "short"}


def write_ply(columns: dict[str, np.ndarray], path: Path, comments: tuple[str, ...] = ()) -> None:
    """Write named columns of equal length as a little-endian PLY."""
    count = len(next(iter(columns.values())))
    dtype = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    rows = np.empty(count, dtype)
    for name, column in columns.items():
        rows[name] = column
    header = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    header += [f"element vertex {count}"]
    header += [f"property {NAMES[dtype[name].str[1:]]} {name}" for name in columns]
    path.write_bytes(("\n".join([*header, "end_header"]) + "\n").encode("ascii") + rows.tobytes())


def read_ply(path: Path) -> dict[str, np.ndarray]:
    """Read the vertex columns of a little-endian PLY without lists. Raises ExportError when it is not one.

    Elements after the vertices are ignored.
    """
    data = path.read_bytes()
    end = data.find(b"end_header\n")
    if not data.startswith(b"ply") or end < 0:
        raise ExportError("the file is not a PLY file", hint=HINT)
    lines = [line.split() for line in data[:end].decode("ascii", "replace").splitlines()]
    if ["format", "binary_little_endian", "1.0"] not in lines:
        raise ExportError("the PLY file is not binary little-endian", hint=HINT)
    count, dtype = _vertex_element(lines)
    body = data[end + len(b"end_header\n") :]
    if len(body) < count * dtype.itemsize:
        raise ExportError(
            f"the PLY file ends after {len(body)} of {count * dtype.itemsize} bytes",
            hint="it is truncated; write it again",
        )
    rows = np.frombuffer(body, dtype, count)
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}


def _vertex_element(lines: list[list[str]]) -> tuple[int, np.dtype]:
    """Return the number and the layout of the vertices, which must be the first element of the header."""
    starts = [i for i, line in enumerate(lines) if line[:1] == ["element"]]
    first = lines[starts[0]] if starts else []
    body = lines[starts[0] + 1 : starts[1] if len(starts) > 1 else None] if starts else []
    properties = [line for line in body if line[:1] == ["property"]]
    names = [line[-1] for line in properties]
    plain = all(len(line) == 3 and line[1] in DTYPES for line in properties) and len(set(names)) == len(names)
    if len(first) != 3 or first[1] != "vertex" or not first[2].isdigit() or not properties or not plain:
        raise ExportError("the PLY file does not begin with vertices of scalar properties", hint=HINT)
    return int(first[2]), np.dtype([(line[2], DTYPES[line[1]]) for line in properties])
