"""Examination of splat and mesh files of any program: what each reader makes of them, and what is suspicious."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2world.doctor.mesh_file import MESH_SUFFIXES, NO_FACES, mesh_warnings, read_mesh
from img2world.formats.files import is_splat_file, read_splats
from img2world.formats.inspection import inspect_splats
from img2world.formats.readers import read_with_all


@dataclass(frozen=True, kw_only=True)
class AssetExamination:
    """The findings of all readers about a splat or mesh file."""

    kind: str
    """splats or mesh."""
    readings: Sequence[Any]
    """Those of `formats.readers` or of `mesh_file`, our own reader or the best one first."""
    warnings: list[str]

    @property
    def rejected(self) -> bool:
        """True if a reader rejects the file, nothing is in it, or two readers have found something else."""
        first, *others = self.readings
        return bool(first.error) or NO_FACES in self.warnings or not all(reading.agrees(first) for reading in others)

    def verdict(self) -> str:
        """Return the closing line."""
        if any(reading.error for reading in self.readings):
            return "rejected by a reader"
        if NO_FACES in self.warnings:
            return "rejected: nothing is in it"
        return "rejected: readers disagree" if self.rejected else "usable"

    def as_json(self) -> dict[str, object]:
        """Return the examination as a JSON object."""
        readings = [vars(reading) for reading in self.readings]
        return {"kind": self.kind, "readings": readings, "warnings": self.warnings, "rejected": self.rejected}


def is_asset(path: Path) -> bool:
    """Return True for a file that is, by its content or name, one of splats or a mesh."""
    return path.is_file() and (is_splat_file(path) or path.suffix.lower() in MESH_SUFFIXES)


def examine_asset(path: Path) -> AssetExamination:
    """Examine a splat or mesh file. A file that could hold either is a mesh if a reader finds faces in it."""
    splats = read_with_all(path) if is_splat_file(path) else []
    if splats and not splats[0].error:
        return AssetExamination(
            kind="splats", readings=splats, warnings=inspect_splats(read_splats(path), path).warnings
        )
    meshes = read_mesh(path) if path.suffix.lower() in MESH_SUFFIXES else []
    if any(reading.faces for reading in meshes) or not splats:
        return AssetExamination(kind="mesh", readings=meshes, warnings=mesh_warnings(meshes[0]))
    return AssetExamination(kind="splats", readings=splats, warnings=[])
