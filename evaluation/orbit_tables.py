"""Rows of an evaluation as tables for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.metrics import mean_of
from evaluation.orbit_benchmark import Row

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = {
    "psnr": ("PSNR dB", 2),
    "object_psnr": ("object dB", 2),
    "ssim": ("SSIM", 3),
    "flip": ("FLIP", 3),
    "iou": ("IoU", 3),
    "flicker": ("flicker", 2),
    "depth_mae": ("depth MAE", 3),
    "abs_rel": ("AbsRel", 3),
    "delta1": ("δ1", 3),
}
"""Metric to heading and digits."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Of one model on one path over all cases."""

    path: str
    model: str
    cases: int
    failed: int
    metrics: dict[str, float]
    seconds: float
    """For each case."""


def mean_rows(rows: Iterable[Row]) -> list[Mean]:
    """The mean of each path and model, in the order they came."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.path, row.model), []).append(row)
    means = []
    for (path, model), group in groups.items():
        good = [row for row in group if not row.error]
        means.append(
            Mean(
                path=path,
                model=model,
                cases=len(good),
                failed=len(group) - len(good),
                metrics=mean_of([dict(row.metrics) for row in good]),
                seconds=sum(row.seconds for row in good) / max(len(good), 1),
            )
        )
    return means


def cells(metrics: dict[str, float]) -> list[str]:
    """One text for each of COLUMNS."""
    return [f"{metrics[name]:.{digits}f}" if name in metrics else "" for name, (_, digits) in COLUMNS.items()]


def case_table(rows: Sequence[Row]) -> "Table":
    """All rows of one case."""
    table = _table(rows[0].case, ["path", "model"])
    for row in rows:
        if row.error:
            table.add_row(row.path, row.model, row.error)
        else:
            table.add_row(row.path, row.model, *cells(dict(row.metrics)), f"{row.seconds:.1f}")
    return table


def mean_table(rows: Sequence[Row]) -> "Table":
    """The means over all cases."""
    table = _table("means", ["path", "model", "cases", "failed"])
    for mean in mean_rows(rows):
        counts = (str(mean.cases), str(mean.failed or ""))
        table.add_row(mean.path, mean.model, *counts, *cells(mean.metrics), f"{mean.seconds:.1f}")
    return table


def markdown(rows: Sequence[Row]) -> list[str]:
    """The means as a table in Markdown."""
    heads = ["path", "model", "cases", *(title for title, _ in COLUMNS.values()), "s"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for mean in mean_rows(rows):
        cases = f"{mean.cases} ({mean.failed} failed)" if mean.failed else str(mean.cases)
        line = [mean.path, mean.model, cases, *cells(mean.metrics), f"{mean.seconds:.1f}"]
        lines.append(f"| {' | '.join(line)} |")
    return lines


def _table(title: str, first: list[str]) -> "Table":
    """An empty table."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in first:
        table.add_column(name, overflow="fold")
    for name, _ in COLUMNS.values():
        table.add_column(name, justify="right")
    table.add_column("s", justify="right")
    return table
