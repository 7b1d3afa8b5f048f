"""The inputs of a batch: the pictures and videos of a folder, or a list as people and spreadsheets write it."""

import csv
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from img2world.captures.listing import SUFFIXES
from img2world.core.errors import Img2WorldError, reason
from img2world.core.text_file import expanded, read_text
from img2world.video.containers import container_of

COLUMNS = {
    "input": ("input", "image", "photo", "picture", "video", "path", "file", "filename", "file name", "source"),
    "name": ("name", "id", "title"),
    "recipe": ("recipe",),
}
"""Columns of a list, and the headings by which they are known."""

DELIMITERS = ",;\t|"
"""Spreadsheets write semicolons where the comma separates decimals."""

CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f]")
"""Characters that no text holds, but for null, which spoils one name only."""

LEGACY = "cp1252"
"""Encoding of lists that are neither UTF-8 nor UTF-16: that of Windows in western Europe, a superset of Latin-1."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One input of a batch."""

    input: Path
    recipe: str = ""
    """Empty: the recipe of the batch."""
    name: str = ""
    """Name of the run folder; empty: derived from the input."""
    error: str = ""
    """Why the row of the list cannot be run; empty if it can."""


def read_inputs(path: Path) -> list[Entry]:
    """Return the pictures and videos directly in a folder, or the inputs listed in a CSV file.

    The columns of the file are `input` and, optionally, `name` and `recipe`, or other `COLUMNS`; without a header the
    first column holds the inputs. Commas, semicolons, tabs or bars separate them. Lines that begin with # are comments
    unless there is such a file. Paths are relative to the list. Raises Img2WorldError when there is no usable input.
    """
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        entries = [Entry(input=file.absolute()) for file in files if _looks_usable(file)]
    else:
        entries = [_entry(row, path) for row in _read_rows(path)]
    if all(entry.error for entry in entries):
        found = f": {entries[0].error}" if entries else ""
        raise Img2WorldError(
            f"there are no usable inputs in {path}{found}",
            hint="give a folder of pictures, or a CSV file with a column `input`",
        )
    return entries


def _looks_usable(path: Path) -> bool:
    """Tell whether a file in a folder is an input: a picture by its name, even if broken, or a video by its content."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        return container_of(path) is not None
    except Img2WorldError:
        return False


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a list as mappings from column to cell."""
    try:
        text = read_text(path)
        if any("\udc80" <= letter <= "\udcff" for letter in text) and not _names_files(text, path):
            text = text.encode("utf-8", "surrogateescape").decode(LEGACY, "replace")
        if CONTROL.search(text):
            raise ValueError("it is not text")
        lines = text.splitlines(keepends=True)
        while lines and (not lines[0].strip() or _is_comment(lines[0], path)):
            lines.pop(0)
        delimiter = _delimiter(lines)
        if lines and lines[0].lower().startswith("sep="):
            # Excel's own way to name the delimiter.
            lines.pop(0)
        table = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, skipinitialspace=True)
        rows = [[cell.strip() for cell in row] for row in table]
    except (OSError, ValueError, csv.Error) as error:
        raise Img2WorldError(
            f"the list cannot be read ({reason(error)}): {path}",
            hint="give a folder, or a CSV file with a column `input`",
        ) from error
    rows = [row for row in rows if any(row) and not _is_comment(row[0], path)]
    header = _header(rows, path)
    return (
        [dict(zip(header, row, strict=False)) for row in rows[bool(header) :]]
        if header
        else [{"input": row[0]} for row in rows]
    )


def _names_files(text: str, path: Path) -> bool:
    """Tell whether a cell that is not valid UTF-8 is, byte by byte, the name of a file beside the list."""
    names = {name for name in os.listdir(path.parent or ".") if any("\udc80" <= letter <= "\udcff" for letter in name)}
    return any(name in text for name in names)


def _is_comment(line: str, path: Path) -> bool:
    """Tell whether a line begins with # and does not name a file."""
    return line.startswith("#") and not _exists(line.strip(), path)


def _delimiter(lines: list[str]) -> str:
    """Return what separates the cells: the candidate that cuts most lines into the same number of cells, above one."""
    if lines and lines[0].lower().startswith("sep=") and lines[0].strip()[4:5] in tuple(DELIMITERS):
        return lines[0].strip("\r\n")[4]

    def regularity(delimiter: str) -> tuple[int, int]:
        counts = [len(row) for row in csv.reader(lines[:50], delimiter=delimiter, skipinitialspace=True) if row]
        usual = max(set(counts), key=counts.count, default=1)
        known = any(
            cell.strip().lower() in COLUMNS["input"] for cell in next(csv.reader(lines[:1], delimiter=delimiter), [])
        )
        return (2 * known + (usual > 1)) * len(counts), counts.count(usual) if usual > 1 else 0

    return max(DELIMITERS, key=regularity)


def _header(rows: list[list[str]], path: Path) -> list[str]:
    """Return the names of the columns, or nothing when the first row is an input as well.

    A first row of unknown words is a header if it names no file and the second row does.
    """
    if not rows:
        return []
    words = [cell.lower() for cell in rows[0]]
    header = [next((name for name, known in COLUMNS.items() if word in known), word) for word in words]
    # A folder `input` may lie beside the list.
    is_certain = any(name in header for name in ("name", "recipe"))
    if "input" in header and (is_certain or not _exists(rows[0][0], path)):
        # Of several headings that could be the input, that which is known first.
        best = min(
            (i for i, name in enumerate(header) if name == "input"), key=lambda i: COLUMNS["input"].index(words[i])
        )
        return [name if name != "input" or i == best else "" for i, name in enumerate(header)]
    if len(rows) > 1 and not Path(rows[0][0]).suffix and not _exists(rows[0][0], path) and _exists(rows[1][0], path):
        return ["input", *header[1:]]
    return []


def _exists(cell: str, path: Path) -> bool:
    """Tell whether a cell names a file or folder."""
    try:
        return bool(cell) and (path.parent / expanded(Path(cell))).exists()
    except (OSError, ValueError):
        # Too long for a name, or with a null character.
        return False


def _entry(row: dict[str, str], path: Path) -> Entry:
    """Return a row of a list as an entry, with an error when it has no input or an impossible one."""
    given = {name: row.get(name) or "" for name in COLUMNS}
    error = ""
    if not given["input"]:
        error = f"a row of the list has no input, only {row}"
    elif any("\0" in cell for cell in given.values()):
        error = "a row of the list holds a null character"
        given = {name: cell.replace("\0", "\ufffd") for name, cell in given.items()}
    if "\\" in given["input"] and not _exists(given["input"], path):
        # Lists written on Windows.
        given["input"] = given["input"].replace("\\", "/")
    source = (path.parent / expanded(Path(given["input"]))).absolute()
    return Entry(input=source, name=given["name"], recipe=given["recipe"], error=error)
