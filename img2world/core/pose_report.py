"""The report on estimated cameras: how reliable they are."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Grade = Literal["A", "B", "C", "D"]
"""A: reliable. B: good enough for a reconstruction. C: doubtful. D: unusable."""


@dataclass(frozen=True, kw_only=True)
class PoseReport:
    """Quality of the cameras estimated for some frames. Pixels are those of frames 256 pixels wide."""

    solver: str
    grade: Grade
    reasons: tuple[str, ...]
    """Reasons why the grade is not better."""
    frames: tuple[int, ...]
    """Indices of the frames whose camera was found, ascending."""
    total: int
    """Number of frames given."""
    tracks: int
    """Number of held-out tracks by which the cameras were graded; no solver used them."""
    heldout_px: float
    """Median reprojection error of the held-out tracks."""
    inlier_share: float
    """Fraction of their observations within 2 pixels."""
    parallax_deg: float
    """Median angle between the rays to a point from its first and its last frame."""
    focal_at_limit: bool
    """True if the focal length, or another parameter, ended at its bound."""
    margins: dict[str, float] = field(default_factory=dict)
    """By what fraction other solutions fit worse: the next model, the opposite direction, half the focal
    length."""
    moving_share: float = 0.0
    """Fraction of the points, or of the pixels where these are masked, that move together, but not with the scene."""
    moving_frames: tuple[int, ...] = ()
    """Indices of the frames with such points; empty if nothing moves by itself."""
    moving_masked: bool = False
    """True if the views are masked where something moves by itself."""
    unsupported: float = 0.0
    """Error of the part of a scene that cameras found without it explain worst, relative to that of the rest: 1 to 1.5
    where all is rigid; 0 if not measured."""
    gain_db: float | None = None
    """By how much a small scene made with these cameras shows new views better than their neighbours do; None if there
    were too few views to tell."""

    @property
    def placed(self) -> int:
        """Number of frames whose camera was found."""
        return len(self.frames)

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            **asdict(self),
            "placed": self.placed,
            "reasons": list(self.reasons),
            "frames": list(self.frames),
            "moving_frames": list(self.moving_frames),
        }

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "PoseReport":
        """Return the report that `as_json` turned into a JSON object."""
        known = {name: value for name, value in table.items() if name != "placed"}
        fields = {**known, "reasons": tuple(table["reasons"]), "frames": tuple(table["frames"])}
        fields["moving_frames"] = tuple(table.get("moving_frames", ()))
        return cls(**fields)
