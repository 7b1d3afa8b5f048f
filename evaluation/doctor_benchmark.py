"""How many faults the doctor of videos finds, and how many it imagines."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluation.degradations import DOSES
from evaluation.faults import Spoilt, material, spoilt_clips
from img2world.core.errors import RecipeError
from img2world.doctor.video import examine_video
from img2world.runs.options import did_you_mean


@dataclass(frozen=True, kw_only=True)
class DoctorRow:
    """What was found in one clip."""

    fault: str
    seed: int
    dose: str
    wanted: tuple[str, ...]
    also: tuple[str, ...]
    """What is right to say of it, too."""
    found: dict[str, tuple[int, ...]]
    """Kind to frames."""
    placed: bool
    """Whether the fault was found, and where it is."""


def evaluate_doctor(*, first: int = 0, seeds: int = 2, doses: tuple[str, ...], size: int = 192) -> Iterator[DoctorRow]:
    """Rows of all faults, for seeds from `first` on and each dose of what generators spoil anyway.

    Raises RecipeError for a dose that there is not.
    """
    for dose in doses:
        if dose not in DOSES:
            raise RecipeError(f"there is no {dose}", hint=did_you_mean(dose, list(DOSES)))
    for seed in range(first, first + seeds):
        for dose in doses:
            faults = DOSES[dose]
            given = material(seed, faults, size)
            also = ("flicker",) if faults is not None and faults.flicker >= 0.1 else ()
            for name, make in spoilt_clips(given, np.random.default_rng([seed, 6])).items():
                spoilt = make()
                found = {finding.kind: finding.frames for finding in examine_video(spoilt.frames)}
                yield DoctorRow(
                    fault=name,
                    seed=seed,
                    dose=dose,
                    wanted=spoilt.kinds,
                    also=also,
                    found=found,
                    placed=_placed(spoilt, found),
                )


def _placed(spoilt: Spoilt, found: dict[str, tuple[int, ...]]) -> bool:
    """Whether a right finding names a frame of the fault, or one beside it."""
    frames = [found[kind] for kind in spoilt.kinds if kind in found]
    near = {place + step for place in spoilt.where for step in (-1, 0, 1)}
    return bool(frames) and (not spoilt.where or bool(near & {*frames[0]}))


def recall_lines(rows: list[DoctorRow]) -> Iterator[str]:
    """A table in Markdown: which faults were found where they are, and what else was said of these clips."""
    yield "| fault | frames | clips | found | at the right frames | also said |"
    yield "|---|---|---|---|---|---|"
    for fault, dose in dict.fromkeys((row.fault, row.dose) for row in rows):
        own = [row for row in rows if (row.fault, row.dose) == (fault, dose)]
        hits = sum(bool({*row.wanted} & {*row.found}) for row in own)
        others = [kind for row in own for kind in row.found if kind not in (*row.wanted, *row.also)]
        said = ", ".join(f"{kind} {others.count(kind)}×" for kind in dict.fromkeys(others))
        right = f"{hits} | {sum(row.placed for row in own)}" if own[0].wanted else "– | –"
        yield f"| {fault} | {dose} | {len(own)} | {right} | {said} |"


def precision_lines(rows: list[DoctorRow]) -> Iterator[str]:
    """A table in Markdown: of all findings of a kind, those that were right, and of all such faults, those found."""
    yield "| finding | precision | recall |"
    yield "|---|---|---|"
    kinds = dict.fromkeys(kind for row in rows for kind in (*row.wanted, *row.found))
    for kind in sorted(kinds):
        said = [kind in (*row.wanted, *row.also) for row in rows if kind in row.found]
        there = [kind in row.found for row in rows if kind in row.wanted]
        yield f"| {kind} | {_share(said)} | {_share(there)} |"


def _share(right: list[bool]) -> str:
    """A share with its numbers."""
    return f"{sum(right) / len(right):.0%} ({sum(right)} of {len(right)})" if right else "–"
