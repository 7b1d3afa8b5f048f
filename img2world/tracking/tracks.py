"""Points followed through frames: the one table that all solvers and their judge read."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from img2world.core.checks import check_shapes

SHORTEST = 3
"""Frames. A point in two frames fits nearly any pair of cameras, and so says nothing."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Observations of points, those of one track side by side and in the order of its frames."""

    frame: Int64[np.ndarray, "O"]
    """Number of the frame of each observation."""
    place: Float64[np.ndarray, "O 2"]
    """Where it is seen, in pixels of the frame."""
    starts: Int64[np.ndarray, "T"]
    """Number of the first observation of each track."""

    def __post_init__(self) -> None:
        check_shapes(frame=(self.frame, "O"), place=(self.place, "O 2"))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Int64[np.ndarray, "T"]:
        """Observations of each track."""
        return np.diff(self.starts, append=len(self.frame))

    @property
    def owner(self) -> Int64[np.ndarray, "O"]:
        """Number of the track of each observation."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    def select(self, chosen: Bool[np.ndarray, "T"]) -> "Tracks":
        """Some of the tracks."""
        lengths = self.lengths[chosen]
        keep = np.repeat(chosen, self.lengths)
        return Tracks(frame=self.frame[keep], place=self.place[keep], starts=np.cumsum(lengths) - lengths)

    def split(self, share: float, random: np.random.Generator) -> tuple["Tracks", "Tracks"]:
        """Two parts without a track in common; the second has about `share` of the tracks."""
        second = random.random(len(self)) < share
        return self.select(~second), self.select(second)

    def scaled(self, scale: float) -> "Tracks":
        """The same tracks in frames of another size."""
        return replace(self, place=self.place * scale)

    def seen_in(self, num_frames: int) -> Int64[np.ndarray, "V"]:
        """Observations in each frame."""
        return np.bincount(self.frame, minlength=num_frames)


def join(parts: list[Tracks]) -> Tracks:
    """All tracks of several tables."""
    first = np.cumsum([0] + [len(part.frame) for part in parts[:-1]])
    return Tracks(
        frame=np.concatenate([part.frame for part in parts]),
        place=np.concatenate([part.place for part in parts]),
        starts=np.concatenate([part.starts + start for part, start in zip(parts, first, strict=True)]),
    )


def tracks_from_steps(
    owner: Int64[np.ndarray, "O"], frame: Int64[np.ndarray, "O"], place: Float64[np.ndarray, "O 2"]
) -> Tracks:
    """The table of loose observations; those of one track have the same `owner`. Short tracks are left out."""
    order = np.argsort(owner, kind="stable")
    owner, frame, place = owner[order], frame[order], place[order]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    table = Tracks(frame=frame, place=place, starts=starts)
    return table.select(table.lengths >= SHORTEST)
