"""Benchmark of the doctor's examination of videos: how many injected faults it finds, and false alarms."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluation.checks import check_names
from evaluation.degradations import DEGRADATIONS
from evaluation.faults import FaultyClip, faulty_clips, generated_clips, render_clean_clips
from evaluation.markdown import markdown_table
from img2world.doctor.findings import select_rejections
from img2world.doctor.video import examine_video

VISIBLE_FLICKER = 0.05
"""Degradations that flicker at least this much make the finding "flicker" correct."""


@dataclass(frozen=True, kw_only=True)
class DoctorRow:
    """Findings in one clip."""

    fault: str
    seed: int
    degradation: str
    expected: tuple[str, ...]
    """Kinds of finding that name the fault, its own name first; empty for a clip without one."""
    also_correct: tuple[str, ...]
    """Kinds of finding that are not wrong either, for one because of the degradation."""
    found: dict[str, tuple[int, ...]]
    """Kind of each finding and its frames."""
    rejecting: tuple[str, ...]
    """Kinds of finding for which the clip is rejected."""
    localized: bool
    """True if the fault was found at the right frames."""


def evaluate_doctor(
    *, first: int = 0, seeds: int = 2, degradations: tuple[str, ...], size: int = 192
) -> Iterator[DoctorRow]:
    """Yield the rows of all faults for each seed and degradation. Raises RecipeError for an unknown degradation."""
    check_names("degradation", degradations, DEGRADATIONS)
    for seed in range(first, first + seeds):
        for name in degradations:
            degradation = DEGRADATIONS[name]
            clips = render_clean_clips(seed, degradation, size)
            flickers = degradation is not None and degradation.flicker >= VISIBLE_FLICKER
            makers = faulty_clips(clips, np.random.default_rng([seed, 6])) | generated_clips(seed, degradation, size)
            for fault, make in makers.items():
                clip = make()
                findings = examine_video(clip.frames)
                found = {finding.kind: finding.frames for finding in findings}
                yield DoctorRow(
                    fault=fault,
                    seed=seed,
                    degradation=name,
                    expected=clip.expected,
                    also_correct=(*clip.also_correct, *(("flicker",) if flickers else ())),
                    found=found,
                    rejecting=tuple(finding.kind for finding in select_rejections(findings)),
                    localized=_is_localized(clip, found),
                )


def _is_localized(clip: FaultyClip, found: dict[str, tuple[int, ...]]) -> bool:
    """Return True if the first correct finding names a frame of the fault or a neighbour of one."""
    frames = [found[kind] for kind in clip.expected if kind in found]
    near = {frame + step for frame in clip.fault_frames for step in (-1, 0, 1)}
    return bool(frames) and (not clip.fault_frames or bool(near & {*frames[0]}))


def recall_lines(rows: list[DoctorRow]) -> Iterator[str]:
    """Yield a Markdown table of the faults found, and found at the right frames, and of other findings."""
    headings = ["fault", "frames", "clips", "found", "at the right frames", "other findings"]
    cells = []
    for fault, degradation in dict.fromkeys((row.fault, row.degradation) for row in rows):
        group = [row for row in rows if (row.fault, row.degradation) == (fault, degradation)]
        hits = sum(bool({*row.expected} & {*row.found}) for row in group)
        counts = [str(hits), str(sum(row.localized for row in group))] if group[0].expected else ["–", "–"]
        others = [kind for row in group for kind in row.found if kind not in (*row.expected, *row.also_correct)]
        other_counts = ", ".join(f"{kind} {others.count(kind)}×" for kind in dict.fromkeys(others))
        cells.append([fault, degradation, str(len(group)), *counts, other_counts])
    return markdown_table(headings, cells)


def precision_lines(rows: list[DoctorRow]) -> Iterator[str]:
    """Yield a Markdown table of precision and recall of each kind of finding, over all clips and by degradation.

    A fault counts as found when any kind that names it was found, and as the kind of its own name.
    """
    degradations = list(dict.fromkeys(row.degradation for row in rows))
    cells = []
    for kind in sorted({kind for row in rows for kind in (*row.expected, *row.found)}):
        correct = [kind in (*row.expected, *row.also_correct) for row in rows if kind in row.found]
        planted = [row for row in rows if kind in row.expected[:1]]
        detected = {
            name: [bool({*row.expected} & {*row.found}) for row in planted if name in (row.degradation, "")]
            for name in ("", *degradations)
        }
        rejections = [kind in (*row.expected, *row.also_correct) for row in rows if kind in row.rejecting]
        figures = (rejections, correct, *detected.values())
        cells.append([kind, *map(_percentage, figures)])
    return markdown_table(["finding", "rejected rightly", "precision", "recall", *degradations], cells)


def _percentage(values: list[bool]) -> str:
    """Return the fraction of true values with their number."""
    return f"{sum(values) / len(values):.0%} ({sum(values)} of {len(values)})" if values else "–"
