"""Products of a run as the page reads them: what is missing or damaged becomes a note for the readers of the page."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from img2world.core.errors import FormatError, Img2WorldError, library_errors
from img2world.runs.page.markup import Markup, element

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Read(Generic[T]):
    """Something that was read from the run folder, or a note that it could not be."""

    value: T | None
    note: Markup | None


def attempt(what: str, read: Callable[..., T], *arguments: Any) -> Read[T]:
    """Return what a function reads, or a note that this is left out, and why."""
    try:
        return Read(value=read(*arguments), note=None)
    except Img2WorldError as error:
        return Read(value=None, note=element("p", f"Left out: {what}. {error}.", class_="missing"))


def reading(name: str) -> AbstractContextManager[None]:
    """Raise what a library says about a missing or damaged file as a FormatError. Use it around that library only."""
    return library_errors(FormatError, f"{name} cannot be read: {{reason}}", hint="run the same command again")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises FormatError when it is missing or damaged."""
    with reading(path.name):
        return json.loads(path.read_text(encoding="utf-8"))
