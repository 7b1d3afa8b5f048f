"""Features and matches that are already found, in files that outlive the process that found them.

Each picture has a file of features, and each block of pairs one of matches. A file is written beside its place and
renamed, so a kill loses at most the one that was being made. The store is emptied when it belongs to other pictures,
options or code.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8, UInt32

from img2world.core.errors import is_out_of_memory

Pair = tuple[int, int]
"""Indices of two pictures, the smaller first."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """The features of one picture as COLMAP has them."""

    keypoints: Float32[np.ndarray, "N 6"]
    """Position in pixels, the centre of the first is (0.5, 0.5), and the affine shape, row by row."""
    descriptors: UInt8[np.ndarray, "N 128"]

    @property
    def scales(self) -> Float64[np.ndarray, "N"]:
        """Size of each feature in pixels."""
        return np.hypot(self.keypoints[:, 2].astype(np.float64), self.keypoints[:, 4])


@dataclass(frozen=True, kw_only=True)
class Match:
    """The verified matches of a pair; none where its geometry could not be verified."""

    geometry: int
    """COLMAP's kind of two-view geometry."""
    inliers: UInt32[np.ndarray, "M 2"]
    """Indices of features in the first and in the second picture."""

    def __len__(self) -> int:
        return len(self.inliers)


@dataclass(frozen=True, kw_only=True)
class MatchStore:
    """The files in a folder."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, key: str) -> "MatchStore":
        """Return the store in a folder, emptied unless it was made with the same key."""
        path = folder / "key"
        if not path.is_file() or path.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            path.write_text(key)
        return cls(folder=folder)

    def save_features(self, i: int, features: Features) -> None:
        """Keep the features of a picture."""
        self._write(f"features-{i:05d}.npz", **vars(features))

    def load_features(self) -> dict[int, Features]:
        """Return the features of all pictures that have them."""
        found = {}
        for path, arrays in self._read("features"):
            found[int(path.stem.partition("-")[2])] = Features(**arrays)
        return found

    def save_matches(self, kind: str, block: dict[Pair, Match]) -> None:
        """Keep the matches of a block of pairs, which are all of one kind, such as guided."""
        i, j = next(iter(block))
        self._write(
            f"{kind}-{i:05d}-{j:05d}.npz",
            pairs=np.array(list(block), np.int64).reshape(-1, 2),
            geometries=np.array([match.geometry for match in block.values()], np.int64),
            lengths=np.array([len(match.inliers) for match in block.values()], np.int64),
            inliers=np.concatenate([match.inliers for match in block.values()]),
        )

    def load_matches(self, kind: str) -> dict[Pair, Match]:
        """Return the matches of all pairs of a kind that were tried."""
        found = {}
        for _, arrays in self._read(kind):
            parts = np.split(arrays["inliers"], np.cumsum(arrays["lengths"])[:-1])
            for (i, j), geometry, inliers in zip(arrays["pairs"], arrays["geometries"], parts, strict=True):
                found[int(i), int(j)] = Match(geometry=int(geometry), inliers=inliers)
        return found

    def _read(self, kind: str) -> Iterator[tuple[Path, dict[str, np.ndarray]]]:
        """Yield the files of a kind with their arrays; remove those that are damaged, to be made again."""
        for path in sorted(self.folder.glob(f"{kind}-*.npz")):
            data = path.read_bytes()
            try:
                with np.load(io.BytesIO(data)) as file:
                    arrays = dict(file)
            except Exception as error:
                # Damaged archives make NumPy and zipfile raise anything; a sound one must not go for lack of memory.
                if is_out_of_memory(error):
                    raise
                path.unlink()
                continue
            yield path, arrays

    def _write(self, name: str, **arrays: np.ndarray) -> None:
        """Write an .npz file under its name only when it is complete and on the disk."""
        partial = self.folder / f".{name}"
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / name)


def digest_arrays(*parts: np.ndarray | str | None) -> str:
    """Return the SHA-256 of arrays and texts, with the shapes and types of the arrays."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape} {part.dtype} ".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()
