"""Options of backends: converted from TOML to the types of their annotations, and back to TOML."""

import ast
import inspect
import json
import math
import textwrap
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from img2world.core.errors import RecipeError
from img2world.core.weights import Weights

TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    Weights: "a path or a name",
}


def did_you_mean(word: str, words: list[str]) -> str:
    """Return a hint with the words most similar to a misspelled one, or all words when none is similar."""
    words = list(dict.fromkeys(words))
    close = get_close_matches(word, words, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(words)}"


def option_types(backend: type) -> dict[str, Any]:
    """Return the annotation of each option of a backend by name."""
    hints = get_type_hints(backend, include_extras=True)
    return {field.name: hints[field.name] for field in fields(backend) if field.init}


def option_docs(backend: type) -> dict[str, str]:
    """Return the docstring below each option of a backend that has one."""
    body = ast.parse(textwrap.dedent(inspect.getsource(backend))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for option, after in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(option, ast.AnnAssign) and isinstance(option.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            docs[option.target.id] = " ".join(after.value.value.split())
    return docs


def is_path(value: Any) -> bool:
    """Tell whether the value of an option is a path: any Path, and Weights that are on this machine."""
    return isinstance(value, Path) or (isinstance(value, Weights) and bool(value) and Path(value).expanduser().exists())


def coerce(value: Any, wanted: Any, where: str) -> Any:
    """Return a TOML value as the annotated type: bool, int, float, str, Path, Literal, tuple[X, ...] or X | None.

    A whole number may stand for a float, text for a Path, one value or text with commas for a tuple, "none" for None;
    nothing else is converted. A number must be finite, and within its range where it has one, as in
    Annotated[int, Range(1)]. Raises RecipeError naming `where`.
    """
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        value = coerce(value, inner[0], where)
        if value not in inner[1]:
            raise RecipeError(f"{where} is {value!r}, needs {inner[1]}", hint=f"give a number in this range to {where}")
        return value
    if origin is UnionType:
        # An empty path is None too, not the current folder.
        return None if value in (None, "none", "") else coerce(value, inner[0], where)
    if origin is tuple:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(coerce(item, inner[0], f"{where}[{i}]") for i, item in enumerate(items))
    if wanted is float and type(value) is int:
        return float(value)
    if wanted in (Path, Weights) and isinstance(value, str | Path):
        return wanted(value)
    # type(), not isinstance(): True is an int to Python, but not a whole number to a user.
    if origin is Literal and (type(value), value) not in [(type(choice), choice) for choice in inner]:
        raise RecipeError(
            f"{where} is {value!r}, needs one of {', '.join(map(str, inner))}",
            hint=did_you_mean(str(value), [str(choice) for choice in inner]),
        )
    if origin is None and (type(value) is not wanted or (wanted is float and not math.isfinite(value))):
        raise RecipeError(f"{where} is {value!r}, needs {TYPE_NAMES[wanted]}", hint="see `img2world models BACKEND`")
    return value


def toml_text(value: Any) -> str:
    """Return a value as TOML. None, which TOML lacks, is written as "none"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    # A JSON string is a TOML string, except for the one control character that JSON does not escape.
    return json.dumps("none" if value is None else str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
