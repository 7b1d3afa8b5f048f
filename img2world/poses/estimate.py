"""What a solver found, and how well it does on tracks that it was not shown."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from img2world.poses.fit import pixel_scale, robust
from img2world.poses.triangulation import Rig, errors
from img2world.tracking.tracks import SHORTEST, Tracks

CLEAR_GAIN = 0.08
"""Share of the held-out cost that a model with many more free numbers must save to be preferred."""

GAIN_PER_NUMBER = 0.02
"""The same for each number more, where there are few: the frames' own bends can be fitted by as much."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Cameras of some frames."""

    solver: str
    rig: Rig
    """Of the placed frames."""
    placed: Int64[np.ndarray, "K"]
    """Numbers of the frames that have a camera, rising."""
    cost: float
    """Mean robust cost of the observations of held-out tracks; 0 is perfect, 0.7 an error of the loss's scale."""
    at_limit: bool = False
    """Whether a number such as the focal length ran to the end of what is possible."""
    margins: dict[str, float] = field(default_factory=dict)
    """By what share the held-out cost of other answers is higher."""
    doubt: str = ""
    """Why nothing that tracks can tell makes these cameras sure; empty where there is no such reason."""


def held_out_cost(tracks: Tracks, rig: Rig, width: int) -> float:
    """Mean robust cost of held-out observations; infinite where there are none."""
    if len(tracks) == 0:
        return float("inf")
    return float(robust(errors(tracks, rig), pixel_scale(width)).mean())


def among(tracks: Tracks, placed: Int64[np.ndarray, "K"], num_frames: int) -> Tracks:
    """The tracks as the placed frames see them, with frames numbered anew."""
    number = np.full(num_frames, -1)
    number[placed] = np.arange(len(placed))
    keep = number[tracks.frame] >= 0
    lengths = np.add.reduceat(keep.astype(np.int64), tracks.starts) if len(tracks) else np.zeros(0, np.int64)
    table = Tracks(frame=number[tracks.frame[keep]], place=tracks.place[keep], starts=np.cumsum(lengths) - lengths)
    # A track with no observation left has the start of the next one; it goes with the short ones.
    long = lengths >= SHORTEST
    rows = np.repeat(long, lengths)
    kept = lengths[long]
    return Tracks(frame=table.frame[rows], place=table.place[rows], starts=np.cumsum(kept) - kept)
