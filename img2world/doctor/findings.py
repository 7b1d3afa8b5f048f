"""What is wrong with a video, where, how sure that is, and what to do."""

import json
from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning", "reject"]
"""note: goes on as it is. warning: the result will suffer. reject: a reconstruction would be invented."""


@dataclass(frozen=True, kw_only=True)
class VideoFinding:
    """One fault of a video."""

    kind: str
    """A short name, always the same: cut, jump, frozen, repeated, …"""
    severity: Severity
    frames: tuple[int, ...]
    """Numbers of the frames it is in, or begins at; empty where it is in all."""
    sure: float
    """0 to 1."""
    found: str
    advice: str

    def line(self) -> str:
        """The finding for people."""
        where = f" at frame {ranges(self.frames)}" if self.frames else ""
        return f"{self.kind}{where}: {self.found} ({self.sure:.0%} sure)"


def ranges(numbers: tuple[int, ...]) -> str:
    """Rising numbers, neighbours drawn together: 3-5, 9."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def findings_text(findings: list[VideoFinding]) -> str:
    """The findings as JSON."""
    return json.dumps([vars(finding) for finding in findings], indent=1) + "\n"


def findings_from_text(text: str) -> list[VideoFinding]:
    """What `findings_text` wrote."""
    return [VideoFinding(**{**entry, "frames": tuple(entry["frames"])}) for entry in json.loads(text)]


def rejects(findings: list[VideoFinding]) -> list[VideoFinding]:
    """Those that forbid a reconstruction."""
    return [finding for finding in findings if finding.severity == "reject"]
