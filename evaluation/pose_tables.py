"""Tables of how right the cameras were, and rows of them as they are kept."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from evaluation.pose_metrics import PoseScore
from evaluation.pose_benchmark import PoseRow


def read_rows(path: Path) -> list[PoseRow]:
    """The rows of a file that holds what `as_json` gave, one a line; none where there is no file."""
    return [row_from_json(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def row_from_json(table: dict) -> PoseRow:
    """What `as_json` gave."""
    score = PoseScore(**{field.name: table[field.name] for field in fields(PoseScore)})
    own = {field.name: table[field.name] for field in fields(PoseRow) if field.name != "score"}
    return PoseRow(**{**own, "reasons": tuple(own["reasons"])}, score=score)


def as_json(row: PoseRow) -> dict[str, object]:
    """A row as one flat JSON object."""
    table = asdict(row)
    return {**{key: value for key, value in table.items() if key != "score"}, **table["score"]}


def mean_lines(rows: list[PoseRow]) -> Iterator[str]:
    """A table in Markdown: means of each way, dose and solver."""
    heads = ["path", "frames", "solver", "clips", "RRA@5", "RRA@15", "RTA@5", "RTA@15", "AUC@30", "worst AUC"]
    heads += ["focal", "placed", "s"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    groups: dict[tuple[str, str, str], list[PoseRow]] = {}
    for row in rows:
        groups.setdefault((row.way, row.dose, row.solver), []).append(row)
    for (way, dose, solver), group in groups.items():
        scores = [row.score for row in group]
        means = [
            np.mean([getattr(score, name) for score in scores]) for name in ("rra5", "rra15", "rta5", "rta15", "auc30")
        ]
        focal = np.median([abs(score.focal_error) for score in scores if score.placed])
        placed = np.mean([score.placed / score.total for score in scores])
        worst = min(score.auc30 for score in scores)
        cells = [way, dose, solver, str(len(group)), *(f"{mean:.1f}" for mean in means), f"{worst:.1f}"]
        cells += [f"{focal:.1%}", f"{placed:.0%}", f"{np.mean([row.seconds for row in group]):.1f}"]
        yield f"| {' | '.join(cells)} |"


def confusion_lines(rows: list[PoseRow], *, bar: float = 80.0) -> Iterator[str]:
    """A table in Markdown: how many clips of each grade are right and wrong."""
    yield f"| grade | AUC@30 of {bar:g} and more | less |"
    yield "|---|---|---|"
    for grade in ("A", "B", "C", "D", ""):
        own = [row.score.auc30 >= bar for row in rows if row.grade == grade]
        yield f"| {grade or 'refused'} | {sum(own)} | {len(own) - sum(own)} |"
