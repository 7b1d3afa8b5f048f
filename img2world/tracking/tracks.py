"""Point tracks: the table of image observations that the pose solvers and their validation read."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from img2world.core.checks import check_shapes

MIN_LENGTH = 3
"""Observations in a track. A point seen in two frames is consistent with nearly any two cameras."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Observations of points, sorted by track and within each track by frame."""

    frame_ids: Int64[np.ndarray, "O"]
    """Index of the frame of each observation."""
    xy: Float64[np.ndarray, "O 2"]
    """Position of each observation in pixels of its frame; the centre of the first pixel is (0.5, 0.5)."""
    starts: Int64[np.ndarray, "T"]
    """Index of the first observation of each track."""

    def __post_init__(self) -> None:
        check_shapes(frame_ids=(self.frame_ids, "O"), xy=(self.xy, "O 2"))

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def empty(cls) -> "Tracks":
        """Return a table without tracks."""
        return cls(frame_ids=np.zeros(0, np.int64), xy=np.zeros((0, 2)), starts=np.zeros(0, np.int64))

    @property
    def lengths(self) -> Int64[np.ndarray, "T"]:
        """Number of observations of each track."""
        return np.diff(self.starts, append=len(self.frame_ids))

    @property
    def track_ids(self) -> Int64[np.ndarray, "O"]:
        """Index of the track of each observation."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    def select(self, chosen: Bool[np.ndarray, "T"]) -> "Tracks":
        """Return the chosen tracks."""
        lengths = self.lengths[chosen]
        keep = np.repeat(chosen, self.lengths)
        return Tracks(frame_ids=self.frame_ids[keep], xy=self.xy[keep], starts=np.cumsum(lengths) - lengths)

    def split(self, fraction: float, random: np.random.Generator) -> tuple["Tracks", "Tracks"]:
        """Split the tracks at random; the second part has about `fraction` of them."""
        second = random.random(len(self)) < fraction
        return self.select(~second), self.select(second)

    def in_frames(self, chosen: Int64[np.ndarray, "K"], num_frames: int) -> "Tracks":
        """Return the observations in the chosen of `num_frames` frames, which are renumbered in the order of `chosen`.

        Tracks left with fewer than `MIN_LENGTH` observations are dropped.
        """
        new_ids = np.full(num_frames, -1)
        new_ids[chosen] = np.arange(len(chosen))
        keep = new_ids[self.frame_ids] >= 0
        return tracks_from_observations(self.track_ids[keep], new_ids[self.frame_ids[keep]], self.xy[keep])

    def count_per_frame(self, num_frames: int) -> Int64[np.ndarray, "V"]:
        """Return the number of observations in each frame."""
        return np.bincount(self.frame_ids, minlength=num_frames)


def concatenate_tracks(parts: list[Tracks]) -> Tracks:
    """Return all tracks of several tables as one."""
    offsets = np.cumsum([0] + [len(part.frame_ids) for part in parts[:-1]])
    return Tracks(
        frame_ids=np.concatenate([part.frame_ids for part in parts]),
        xy=np.concatenate([part.xy for part in parts]),
        starts=np.concatenate([part.starts + offset for part, offset in zip(parts, offsets, strict=True)]),
    )


def tracks_from_observations(
    track_ids: Int64[np.ndarray, "O"], frame_ids: Int64[np.ndarray, "O"], xy: Float64[np.ndarray, "O 2"]
) -> Tracks:
    """Group observations into tracks by their track ids, and drop tracks shorter than `MIN_LENGTH`.

    The observations of one track must come in the order of their frames; ids need not be consecutive.
    """
    order = np.argsort(track_ids, kind="stable")
    track_ids, frame_ids, xy = track_ids[order], frame_ids[order], xy[order]
    starts = np.flatnonzero(np.diff(track_ids, prepend=-1))
    table = Tracks(frame_ids=frame_ids, xy=xy, starts=starts)
    return table.select(table.lengths >= MIN_LENGTH)
