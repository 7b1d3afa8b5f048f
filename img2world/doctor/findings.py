"""Findings about a video or photo: what is wrong, in which frames, how certain that is, and what to do."""

import json
from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning", "reject"]
"""note: no action is needed. warning: the result will suffer. reject: a reconstruction would be made up."""


@dataclass(frozen=True, kw_only=True)
class VideoFinding:
    """One fault of a video or photo."""

    kind: str
    """A short, constant name: cut, jump, frozen, repeated, …"""
    severity: Severity
    frames: tuple[int, ...]
    """Indices of the affected frames, or of those where the fault begins; empty for the whole video or a photo."""
    sure: float
    """Confidence, 0 to 1."""
    found: str
    """The finding and its measured value, in a phrase."""
    advice: str
    """Advice to the user, in a phrase."""

    def line(self) -> str:
        """Describe the finding in one line for people."""
        where = f" at frame {format_ranges(self.frames)}" if self.frames else ""
        return f"{self.kind}{where}: {self.found} ({self.sure:.0%} sure)"


def format_ranges(numbers: tuple[int, ...]) -> str:
    """Format ascending numbers with consecutive ones as ranges: 3-5, 9."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in ranges)


def findings_to_json(findings: list[VideoFinding]) -> str:
    """Serialise findings as JSON."""
    return json.dumps([vars(finding) for finding in findings], indent=1) + "\n"


def findings_from_json(text: str) -> list[VideoFinding]:
    """Parse what `findings_to_json` returned."""
    return [VideoFinding(**{**entry, "frames": tuple(entry["frames"])}) for entry in json.loads(text)]


def select_rejections(findings: list[VideoFinding]) -> list[VideoFinding]:
    """Return the findings that rule out a reconstruction."""
    return [finding for finding in findings if finding.severity == "reject"]
