"""Lists of the files of a folder that were used, and of those that were left out, with reasons."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

MASK = "mask"
"""Kind of pictures that are used, but not as frames."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file that does not become a frame."""

    name: str
    """Path relative to the folder."""
    kind: str
    """Noun in the singular, as in "thumbnail"; equal kinds are counted together."""
    reason: str
    is_picture: bool = True
    """False for what nobody expects to become a frame, such as a text file."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The files of a folder that became frames, in the order of the frames, and those that did not."""

    used: tuple[str, ...]
    """Path relative to the folder of the picture that each frame shows."""
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """Facts for the user, such as the number of lenses whose distortion was undone."""

    @property
    def is_complete(self) -> bool:
        """Tell whether all pictures are used, be it as masks."""
        return not any(item.is_picture and item.kind != MASK for item in self.left_out)

    def line(self) -> str:
        """Return a summary such as "31 of 34 pictures used: 1 thumbnail, 2 masks"."""
        used = len(set(self.used))
        kinds = Counter(item.kind for item in self.left_out if item.is_picture)
        total = used + sum(kinds.values())
        counted = ", ".join(f"{count} {_plural(kind, count)}" for kind, count in kinds.items())
        line = f"{used} of {total} pictures used" + (f": {counted}" if counted else "")
        return "; ".join([line, *self.notes])

    def as_json(self) -> dict[str, Any]:
        """Return the inventory as a JSON object."""
        left_out = [{"name": item.name, "kind": item.kind, "reason": item.reason} for item in self.left_out]
        return {
            "summary": self.line(),
            "used": list(self.used),
            "left_out": left_out,
            "notes": list(self.notes),
        }


def _plural(kind: str, count: int) -> str:
    """Return a kind in the plural where there are several, as in "pictures without a camera"."""
    if count == 1:
        return kind
    noun, *rest = re.split(r"(?= (?:that|with|without|beyond) )", kind, maxsplit=1)
    return "".join([noun, "s", *rest])
