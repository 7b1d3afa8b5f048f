"""Rows of the pose benchmark as JSON lines and as tables."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.markdown import markdown_table
from evaluation.pose_benchmark import ClipId, PoseRow
from evaluation.pose_metrics import PoseScore
from img2world.core.errors import RunFolderError


def read_rows(path: Path) -> list[PoseRow]:
    """Return the rows of a JSON lines file; none where there is no file. Raises RunFolderError when it is broken."""
    if not path.exists():
        return []
    try:
        return [row_from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"the rows cannot be read: {type(error).__name__} {error} ({path})", hint="remove the file"
        ) from error


def json_from_row(row: PoseRow) -> dict[str, object]:
    """Return a row as one flat JSON object."""
    table = asdict(row)
    return {**table.pop("clip"), **{key: value for key, value in table.items() if key != "score"}, **table["score"]}


def row_from_json(table: Mapping[str, Any]) -> PoseRow:
    """Return the row of which `json_from_row` made a JSON object."""

    def values(kind: type) -> dict[str, Any]:
        return {field.name: table[field.name] for field in fields(kind) if field.name in table}

    row = values(PoseRow) | {"clip": ClipId(**values(ClipId)), "score": PoseScore(**values(PoseScore))}
    return PoseRow(**{**row, "reasons": tuple(table["reasons"])})


def mean_lines(rows: list[PoseRow]) -> Iterator[str]:
    """Yield a Markdown table of means by path, degradation and solver."""
    headings = ["path", "frames", "solver", "clips", "RRA@5", "RRA@15", "RTA@5", "RTA@15", "AUC@30", "worst AUC"]
    headings += ["focal", "placed", "s"]
    groups: dict[tuple[str, str, str], list[PoseRow]] = {}
    for row in rows:
        groups.setdefault((row.clip.path, row.clip.degradation, row.solver), []).append(row)
    return markdown_table(headings, [[*names, *_mean_cells(group)] for names, group in groups.items()])


def _mean_cells(rows: list[PoseRow]) -> list[str]:
    """Return the cells of a group of rows from "clips" on."""
    scores = [row.score for row in rows]
    names = ("rra5", "rra15", "rta5", "rta15", "auc30")
    means = [np.mean([getattr(score, name) for score in scores]) for name in names]
    focal = np.median([abs(score.focal_error) for score in scores if score.placed])
    placed = np.mean([score.placed / score.total for score in scores])
    cells = [str(len(rows)), *(f"{mean:.1f}" for mean in means), f"{min(score.auc30 for score in scores):.1f}"]
    return [*cells, f"{focal:.1%}", f"{placed:.0%}", f"{np.mean([row.seconds for row in rows]):.1f}"]


def confusion_lines(rows: list[PoseRow]) -> Iterator[str]:
    """Yield a Markdown table of how many clips of each grade have right cameras."""
    cells = []
    for grade in ("A", "B", "C", "D", ""):
        right = [row.score.is_right for row in rows if row.grade == grade]
        cells.append([grade or "refused", str(sum(right)), str(len(right) - sum(right))])
    return markdown_table(["grade", "right", "wrong"], cells)


def grade_lines(rows: list[PoseRow]) -> Iterator[str]:
    """Yield a Markdown table of the grades of each path's clips, right and wrong ones."""
    grades = ("A", "B", "C", "D", "")
    cells = []
    for path, degradation in dict.fromkeys((row.clip.path, row.clip.degradation) for row in rows):
        group = [row for row in rows if (row.clip.path, row.clip.degradation) == (path, degradation)]
        counts = [[row.score.is_right for row in group if row.grade == grade] for grade in grades]
        cells.append(
            [path, degradation, *(f"{sum(each)} + {len(each) - sum(each)}" if each else "" for each in counts)]
        )
    return markdown_table(["clips", "frames", *(grade or "refused" for grade in grades)], cells)
