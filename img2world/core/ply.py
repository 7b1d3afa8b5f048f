"""PLY files: named columns of numbers, in elements such as vertices.

Source: G. Turk, "The PLY polygon file format", 1994. ASCII and both byte orders are read; little-endian
binary files are written.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from img2world.core.errors import FormatError

DTYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
NAMES = {"u1": "uchar", "f4": "float", "f8": "double", "i4": "int", "u4": "uint", "u2": "ushort", "i2": "short"}
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}

MAX_HEADER = 1 << 20
"""Bytes in which the header must end."""

BLOCK = 1 << 16
"""Rows that are written at once."""

HINT = "the file is damaged or was made by a faulty program; write it again"

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Element:
    """An element of the header: a table with one dtype for each column."""

    name: str
    count: int
    dtype: np.dtype
    has_lists: bool


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a PLY file."""

    order: str
    """Byte order of the body as NumPy writes it: < or >, and = for text."""
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    size: int
    """Bytes before the body."""


def write_ply(columns: Columns, path: Path, comments: tuple[str, ...] = ()) -> None:
    """Write named columns of equal length as the vertices of a little-endian PLY."""
    write_elements({"vertex": columns}, path, comments)


def write_elements(elements: dict[str, Columns], path: Path, comments: tuple[str, ...] = ()) -> None:
    """Write elements, each of named columns of equal length, as a little-endian PLY."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    for name, columns in elements.items():
        lines.append(f"element {name} {len(next(iter(columns.values())))}")
        lines += [f"property {NAMES[column.dtype.str[1:]]} {title}" for title, column in columns.items()]
    with path.open("wb") as file:
        file.write(("\n".join([*lines, "end_header"]) + "\n").encode("ascii"))
        for columns in elements.values():
            dtype = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
            count = len(next(iter(columns.values())))
            for start in range(0, count, BLOCK):
                rows = np.empty(min(BLOCK, count - start), dtype)
                for name, column in columns.items():
                    rows[name] = column[start : start + BLOCK]
                file.write(rows.tobytes())


def read_ply(path: Path) -> Columns:
    """Read the vertices of a PLY. Raises FormatError when it is not one or has none."""
    elements = read_elements(path)
    if "vertex" not in elements:
        raise FormatError(f"the PLY file has no vertices but {', '.join(elements) or 'nothing'}", hint=HINT)
    return elements["vertex"]


def read_elements(path: Path) -> dict[str, Columns]:
    """Read the elements of a PLY before the first one with lists, such as faces.

    Columns of binary files are views of the mapped file. Raises FormatError when it is not a PLY file or is truncated.
    """
    header = read_header(path)
    plain = []
    for element in header.elements:
        if element.has_lists:
            break
        plain.append(element)
    if header.order == "=":
        return _read_text(path, header, plain)
    total, offset, elements = path.stat().st_size, header.size, {}
    for element in plain:
        dtype = element.dtype.newbyteorder(header.order)
        _check_length(element, element.count * dtype.itemsize, total - offset)
        rows = np.memmap(path, dtype, "r", offset, element.count) if element.count else np.empty(0, dtype)
        elements[element.name] = {name: _native(rows[name]) for name in dtype.names or ()}
        offset += element.count * dtype.itemsize
    return elements


def read_header(path: Path) -> Header:
    """Read the header of a PLY. Raises FormatError when it is not one."""
    with path.open("rb") as file:
        start = file.read(MAX_HEADER)
    # A comment may hold the word, too.
    end = start.find(b"\nend_header")
    if not start.startswith((b"ply\n", b"ply\r")) or end < 0:
        raise FormatError(f"the file is not a PLY file: {path}", hint="needs a file that begins with the word ply")
    newline = start.find(b"\n", end + 1)
    lines = [line.split() for line in start[:end].decode("latin-1").splitlines()]
    order = next((ORDERS.get(line[1]) for line in lines if line[:1] == ["format"] and len(line) == 3), None)
    if order is None or newline < 0:
        raise FormatError(f"the PLY file is neither ASCII nor binary: {path}", hint=HINT)
    starts = [i for i, line in enumerate(lines) if line[:1] == ["element"]]
    elements = [_element(lines[first:last]) for first, last in pairwise([*starts, len(lines)])]
    comments = tuple(" ".join(line[1:]) for line in lines if line[:1] == ["comment"])
    return Header(order=order, elements=tuple(elements), comments=comments, size=newline + 1)


def _element(lines: list[list[str]]) -> Element:
    """Return the element that begins with the first of these lines."""
    title, properties = lines[0], [line for line in lines[1:] if line[:1] == ["property"]]
    has_lists = any(line[1:2] == ["list"] for line in properties)
    scalars = [line for line in properties if line[1:2] != ["list"]]
    known = all(len(line) == 3 and line[1] in DTYPES for line in scalars)
    names = [line[-1] for line in properties]
    if len(title) != 3 or not title[2].isdecimal() or len(title[2]) > 18 or not known or len(set(names)) < len(names):
        raise FormatError(f"the PLY file has a damaged header at: {' '.join(title)[:60]}", hint=HINT)
    dtype = np.dtype([(line[2], DTYPES[line[1]]) for line in scalars])
    return Element(name=title[1], count=int(title[2]), dtype=dtype, has_lists=has_lists)


def _read_text(path: Path, header: Header, elements: list[Element]) -> dict[str, Columns]:
    """Read the elements of an ASCII PLY."""
    with path.open("rb") as file:
        file.seek(header.size)
        body = file.read()
    try:
        with warnings.catch_warnings():
            # NumPy stops at a word that is not a number, and only warns.
            warnings.simplefilter("error")
            numbers = np.fromstring(body.decode("ascii"), np.float64, sep=" ")
    except (UnicodeDecodeError, DeprecationWarning, ValueError) as error:
        raise FormatError(f"the ASCII PLY file holds something else than numbers: {error}", hint=HINT) from error
    tables, offset = {}, 0
    for element in elements:
        width = len(element.dtype.names or ())
        _check_length(element, element.count * width, len(numbers) - offset, unit="numbers")
        table = numbers[offset : offset + element.count * width].reshape(element.count, width)
        with np.errstate(all="ignore"):
            tables[element.name] = {
                name: table[:, i].astype(element.dtype[name]) for i, name in enumerate(element.dtype.names or ())
            }
        offset += element.count * width
    return tables


def _check_length(element: Element, needed: int, present: int, unit: str = "bytes") -> None:
    """Check that as much of a file is present as an element needs."""
    if present < needed:
        raise FormatError(
            f"the PLY file ends after {max(present, 0)} of {needed} {unit} of its element {element.name}",
            hint="it is truncated; copy or write it again",
        )


def _native(column: np.ndarray) -> np.ndarray:
    """Return a column in the byte order of this machine."""
    return column if column.dtype.isnative else column.astype(column.dtype.newbyteorder("="))
