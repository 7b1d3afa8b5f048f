"""Rows of the orbit benchmark as tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.markdown import markdown_table
from evaluation.metrics import mean_metrics
from evaluation.orbit_benchmark import OrbitRow

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
"""Heading and digits of each metric."""


@dataclass(frozen=True, kw_only=True)
class MeanRow:
    """Means of one method on one path over all samples."""

    path: str
    method: str
    samples: int
    failed: int
    metrics: dict[str, float]
    seconds: float


def mean_rows(rows: Iterable[OrbitRow]) -> list[MeanRow]:
    """Return the means of each path and method, in the order of their first rows."""
    groups: dict[tuple[str, str], list[OrbitRow]] = {}
    for row in rows:
        groups.setdefault((row.path, row.method), []).append(row)
    means = []
    for (path, method), group in groups.items():
        measured = [row for row in group if not row.error]
        means.append(
            MeanRow(
                path=path,
                method=method,
                samples=len(measured),
                failed=len(group) - len(measured),
                metrics=mean_metrics([dict(row.metrics) for row in measured]),
                seconds=sum(row.seconds for row in measured) / max(len(measured), 1),
            )
        )
    return means


def _cells(metrics: Mapping[str, float], seconds: float) -> list[str]:
    """Return the cells of a row from the first metric on."""
    columns = COLUMNS.items()
    values = [f"{metrics[name]:.{digits}f}" if name in metrics else "" for name, (_, digits) in columns]
    return [*values, f"{seconds:.1f}"]


def sample_table(rows: Sequence[OrbitRow]) -> "Table":
    """Return a terminal table of the rows of one sample."""
    table = _terminal_table(rows[0].sample, ["path", "method"])
    for row in rows:
        table.add_row(row.path, row.method, *([row.error] if row.error else _cells(row.metrics, row.seconds)))
    return table


def mean_table(rows: Sequence[OrbitRow]) -> "Table":
    """Return a terminal table of the means over all samples."""
    table = _terminal_table("means", ["path", "method", "samples", "failed"])
    for mean in mean_rows(rows):
        counts = (str(mean.samples), str(mean.failed or ""))
        table.add_row(mean.path, mean.method, *counts, *_cells(mean.metrics, mean.seconds))
    return table


def mean_lines(rows: Sequence[OrbitRow]) -> Iterator[str]:
    """Yield a Markdown table of the means over all samples."""
    cells = []
    for mean in mean_rows(rows):
        samples = f"{mean.samples} ({mean.failed} failed)" if mean.failed else str(mean.samples)
        cells.append([mean.path, mean.method, samples, *_cells(mean.metrics, mean.seconds)])
    return markdown_table(["path", "method", "samples", *(heading for heading, _ in COLUMNS.values()), "s"], cells)


def _terminal_table(title: str, names: list[str]) -> "Table":
    """Return an empty table with text columns, then the metrics and seconds."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for heading in (*(heading for heading, _ in COLUMNS.values()), "s"):
        table.add_column(heading, justify="right")
    return table
