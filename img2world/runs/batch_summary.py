"""The results of a batch as tables: summary.csv for programs, summary.html with thumbnails for people."""

import base64
import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image as PillowImage

from img2world.runs.files import write_text
from img2world.runs.page.markup import printable
from img2world.runs.report import REPORT_PAGE

PAGE, TABLE = "summary.html", "summary.csv"
METRICS = {
    "heldout_psnr": ("held-out PSNR, dB", ".1f"),
    "heldout_ssim": ("held-out SSIM", ".3f"),
    "train_psnr": ("training PSNR, dB", ".1f"),
    "num_gaussians": ("Gaussians", ",.0f"),
    "seconds": ("time, s", ".0f"),
    "peak_rss_gb": ("peak memory, GB", ".2f"),
}
"""Metrics shown of each run: the heading and the number format for people."""
NUM_FRAMES, THUMBNAIL = 6, 128
"""Number of frames shown of each run, and their longest side in pixels."""

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse } th, td { padding: 4px 10px; border-bottom: 1px solid #ddd; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums } img { display: inline-block; margin-right: 2px }
tr.failed { background: #fdecea } small { color: #666 }
"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one input."""

    input: str
    name: str
    state: str
    """done or failed."""
    error: str
    seconds: float
    grade: str = ""
    """Grade of the world, A to D; empty if there is none."""
    reason: str = ""
    """Why the grade is not better."""
    metrics: dict[str, float] = field(default_factory=dict)


def write_summary(results: Sequence[Result], out: Path) -> None:
    """Write summary.csv and summary.html into a batch's folder."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["input", "name", "state", "grade", "reason", *METRICS, "error"])
    for result in results:
        figures = [f"{result.metrics[name]:.6g}" if name in result.metrics else "" for name in METRICS]
        facts = [printable(result.input), result.name, result.state, result.grade, result.reason]
        writer.writerow([*facts, *figures, printable(result.error)])
    write_text(out / TABLE, table.getvalue())
    done = sum(result.state == "done" for result in results)
    heads = "".join(f"<th>{heading}</th>" for heading, _ in METRICS.values())
    rows = "\n".join(_row(result, out) for result in results)
    write_text(
        out / PAGE,
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(out.name)}</title>'
        f"<style>{STYLE}</style>\n<h1>{html.escape(out.name)}</h1><p>{done} of {len(results)} done</p>\n"
        f"<table><tr><th>input</th><th>picture and video</th><th>quality</th>{heads}</tr>\n{rows}\n</table></html>\n",
    )


def _row(result: Result, out: Path) -> str:
    """Return the row of summary.html for one result."""
    name, folder = html.escape(result.name), quote(result.name)
    page = out / result.name / "exports" / "world.html"
    label = f'<a href="{folder}/exports/world.html">{name}</a>' if page.exists() else name
    label += f"<br><small>{html.escape(printable(Path(result.input).name))}</small>"
    if (out / result.name / REPORT_PAGE).exists():
        label += f'<br><a href="{folder}/{REPORT_PAGE}">report</a>'
    if result.state != "done":
        reason = html.escape(printable(result.error))
        return f'<tr class="failed"><td>{label}</td><td colspan="{len(METRICS) + 2}">{reason}</td></tr>'
    known = result.metrics
    figures = [f"{known[name]:{text}}" if name in known else "" for name, (_, text) in METRICS.items()]
    cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    pictures = "".join(_thumbnail(path) for path in _pictures(out / result.name))
    quality = f"<b>{result.grade}</b><br><small>{html.escape(result.reason)}</small>"
    return f"<tr><td>{label}</td><td>{pictures}</td><td>{quality}</td>{cells}</tr>"


def _pictures(run: Path) -> list[Path]:
    """Return the input of a run and evenly chosen frames, those that exist."""
    frames = sorted((run / "frames").glob("*.png"))
    chosen = np.linspace(0, len(frames) - 1, min(NUM_FRAMES, len(frames))).astype(int)
    return [path for path in [run / "input.png", *(frames[i] for i in chosen)] if path.exists()]


def _thumbnail(path: Path) -> str:
    """Return a small picture as an image element with its data inline, so that the page is one file."""
    with PillowImage.open(path) as picture:
        small = picture.convert("RGBA")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    white = PillowImage.new("RGBA", small.size, (255, 255, 255, 255))
    PillowImage.alpha_composite(white, small).convert("RGB").save(data, "JPEG", quality=80)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img alt="" width="{small.width}" height="{small.height}" src="data:image/jpeg;base64,{text}">'
