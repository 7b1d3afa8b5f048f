"""How far cameras that were found can be trusted."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Grade = Literal["A", "B", "C", "D"]
"""A: sound. B: good enough to reconstruct. C: doubtful. D: not to be used."""


@dataclass(frozen=True, kw_only=True)
class PoseReport:
    """What is known of the cameras of some frames. Pixels are those of frames 256 pixels wide."""

    solver: str
    grade: Grade
    reasons: tuple[str, ...]
    """Why the grade is not better."""
    frames: tuple[int, ...]
    """Numbers of the frames that were placed, rising."""
    total: int
    """Frames that there were."""
    tracks: int
    """Points by which the cameras were judged; no solver saw them."""
    heldout_px: float
    """Median distance from where such a point is seen to where it should be."""
    inlier_share: float
    """Share of these observations within 2 pixels."""
    parallax_deg: float
    """Median angle under which a point is seen from its first and its last frame."""
    focal_at_limit: bool
    """Whether the focal length, or another number, ran to the end of what is possible."""
    margins: dict[str, float] = field(default_factory=dict)
    """By what share other answers fit worse: the next model, the opposite direction."""
    moving_share: float = 0.0
    """Share of the points that move together, but not with the scene."""
    moving_frames: tuple[int, ...] = ()
    """Where they are; empty where nothing moves by itself."""

    @property
    def placed(self) -> int:
        """How many frames have a camera."""
        return len(self.frames)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {
            **asdict(self),
            "placed": self.placed,
            "reasons": list(self.reasons),
            "frames": list(self.frames),
            "moving_frames": list(self.moving_frames),
        }

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "PoseReport":
        """What `as_json` gave."""
        known = {name: value for name, value in table.items() if name != "placed"}
        fields = {**known, "reasons": tuple(table["reasons"]), "frames": tuple(table["frames"])}
        fields["moving_frames"] = tuple(table.get("moving_frames", ()))
        return cls(**fields)
