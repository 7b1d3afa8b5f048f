"""The binary chunk of a GLB file, and its accessors.

Source: Khronos, "glTF 2.0 Specification", section 3.6.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

COMPONENTS = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
TYPES = {2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


@dataclass(frozen=True)
class Content:
    """The binary chunk of a file, and what describes it."""

    accessors: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, int]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def add(self, array: np.ndarray, *, target: int | None = None, limits: bool = False) -> int:
        """Add an array, with its least and largest values if wanted, and return the index of its accessor."""
        kind = "SCALAR" if array.ndim == 1 else TYPES[array.shape[1]]
        accessor: dict[str, Any] = {"bufferView": len(self.views), "count": len(array), "type": kind}
        accessor["componentType"] = COMPONENTS[array.dtype.name]
        if limits:
            accessor |= {"min": np.atleast_1d(array.min(0)).tolist(), "max": np.atleast_1d(array.max(0)).tolist()}
        self.accessors.append(accessor)
        self.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes(), target)
        return len(self.accessors) - 1

    def append(self, content: bytes, target: int | None = None) -> int:
        """Append content, padded to four bytes, and return the index of its buffer view."""
        view = {"buffer": 0, "byteOffset": sum(map(len, self.chunks)), "byteLength": len(content)}
        self.views.append(view if target is None else {**view, "target": target})
        self.chunks.append(content + b"\0" * (-len(content) % 4))
        return len(self.views) - 1
