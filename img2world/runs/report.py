"""report.json: the quality, metrics and cost of a run."""

import json
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from img2world.core.errors import Img2WorldError
from img2world.core.subject import FACTS
from img2world.core.supported_region import region_from_json
from img2world.quality.grade import HELDOUT_VIEWS, grade_world
from img2world.runs.files import has_digest, quoted, write_text
from img2world.runs.folder import RunFolder, StageRecord
from img2world.runs.next_steps import run_command

FINDINGS, CAMERAS = "doctor.json", "views/transforms.json"
"""Files of the run folder that hold what the doctor found in the video, and the cameras of its frames."""

COMPARISON = "comparison"
"""Folder of the run folder that holds pictures of some views beside the scene; see `splat.comparison`."""

INVENTORY = "inventory.json"
"""File of the run folder that holds which files of a folder were used, and which were left out and why."""

ISOLATION, ISOLATED_FACTS = "isolation", "isolated/isolation.json"
"""The stage that cuts the subject out of the views of a capture, and its file on how it was found."""

REPORT, REPORT_PAGE = "report.json", "report.html"
"""Files of the run folder that tell how the run went: for programs, and for people."""

ALL_SIDES = 0.99
"""Fraction of the sides of a scene from which all were seen."""

MAX_NAMES = 3
"""Photos that the summary names."""

TWO_GRADES = "(quality: how good the world looks; grade of the cameras: how far their positions can be trusted)"
"""What the two grades of a run mean."""

WORLD = "world.json"
"""File of the run folder that holds the measures of the scene."""

PACKAGES = ("img2world", "numpy", "torch", "opencv-python-headless", "av", "pycolmap", "trimesh", "gsplat")
"""Packages whose version may change a result."""


def write_report(folder: RunFolder, refusal: Img2WorldError | None = None) -> dict[str, Any]:
    """Write report.json from the stages that are done, and return its content.

    `refusal` is the error with which a run ended that could not be finished.
    """
    names = folder.manifest["stages"]
    records = {name: record for name in names if (record := folder.record(name))}
    if "machine" not in folder.manifest or "torch" in sys.modules:
        folder.manifest["machine"] = describe_machine()
        folder.save()
    subject = _subject(
        _read_product(folder, records.get("input"), f"subject/{FACTS}")
        or _read_product(folder, records.get(ISOLATION), ISOLATED_FACTS)
    )
    inventory = _inventory(folder, records.get("video"))
    cameras = _cameras(_read_product(folder, records.get("poses"), CAMERAS), inventory)
    report = {
        "source": folder.manifest["source"],
        "inventory": inventory,
        "seed": folder.manifest["seed"],
        "licence": folder.manifest.get("licence"),
        "refused": refusal and {"reason": str(refusal), "hint": refusal.hint},
        "subject": subject,
        "quality": _quality(records, subject, cameras),
        "metrics": collect_metrics(records),
        "shares": _pixel_fractions(records),
        "findings": _read_product(folder, records.get("doctor"), FINDINGS) or [],
        "cameras": cameras,
        "motion": _motion(records),
        "supported": _supported(_read_product(folder, records.get("measure"), WORLD)),
        "stages": {name: {"seconds": record.seconds, **record.metrics} for name, record in records.items()},
        "files": _files(records),
        "unfinished": [name for name in names if name not in records],
    }
    write_text(folder.path / REPORT, json.dumps(report, indent=1) + "\n")
    return report


def _read_product(folder: RunFolder, record: StageRecord | None, name: str) -> Any:
    """Return the content of a stage's JSON file; None if the stage is not done or the file is no longer its own."""
    if record is None or not has_digest(folder.path / name, record.files[name]):
        return None
    return json.loads((folder.path / name).read_text(encoding="utf-8"))


def _inventory(folder: RunFolder, record: StageRecord | None) -> dict[str, Any] | None:
    """Return which files of a folder were used, and which were left out and why; None for other sources."""
    return _read_product(folder, record, INVENTORY) if record and INVENTORY in record.files else None


def _subject(facts: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the picture or the capture shows and why, how many things are lifted off, and views without it."""
    return facts and {
        "kind": facts["kind"],
        "reason": facts["reason"],
        "foreground": len(facts.get("foreground", [])),
        "left_out": facts.get("left_out", []),
    }


def _quality(
    records: dict[str, StageRecord], subject: dict[str, Any] | None, cameras: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the grade of a world, its reason and its figures; empty until the scene is made."""
    if "splat" not in records:
        return {}
    metrics = records["splat"].figures
    figures = dict(records["quality"].figures) if "quality" in records else {}
    # Views that were generated from a photo resemble each other, held out or not.
    added = "floaters" if figures else "heldout_psnr"
    names = (added, HELDOUT_VIEWS) if added == "heldout_psnr" else (added,)
    figures |= {name: metrics[name] for name in names if name in metrics}
    if added in figures and (matched := metrics.get(f"{added}_matched")) is not None:
        # A difference in exposure alone is not a fault of the world.
        figures[added] = matched
    is_object = subject is not None and subject["kind"] == "object"
    return grade_world(figures, is_object=is_object, cameras=cameras) | figures


def _supported(world: dict[str, Any] | None) -> dict[str, float] | None:
    """Return how far a visitor may go: degrees to each side, and distances from the pivot in world units."""
    return world and region_from_json(world["supported"]).report()


def _cameras(views: dict[str, Any] | None, inventory: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the report on the cameras, or the solver alone where the cameras are those of the video backend.

    `not_placed` names the files of a folder that have no camera.
    """
    report = views and (views.get("pose_report") or {"solver": views["solver"]})
    if not report or not inventory or "frames" not in report:
        return report
    placed = set(report["frames"])
    return report | {"not_placed": [name for i, name in enumerate(inventory["used"]) if i not in placed]}


def _pixel_fractions(records: dict[str, StageRecord]) -> dict[str, float]:
    """Return the fractions of the video's pixels by origin; empty when the video backend does not know them."""
    metrics = records["video"].figures if "video" in records else {}
    return {name: metrics[name] for name in ("seen", "continued", "invented") if name in metrics}


def _motion(records: dict[str, StageRecord]) -> str | None:
    """Return at how many times a scene moves, and how many of its sides were never seen; None for one that is still."""
    if "splat" not in records or "times" not in records["splat"].figures:
        return None
    seen = records["poses"].figures if "poses" in records else {}
    words = f"{records['splat'].figures['times']:.0f} times"
    if "sides_seen" not in seen:
        return words
    always, ever = seen["sides_seen_at_a_time"], seen["sides_seen"]
    words += f"; {ever:.0%} of the sides were seen at some time, {always:.0%} at any one time"
    return words if always > ALL_SIDES else f"{words}: what the others looked like then is not known"


def _files(records: dict[str, StageRecord]) -> dict[str, dict[str, float | str]]:
    """Return, for the main file or folder of each exporter, which reader read it back and what it found."""
    exported = {name: record for name, record in records.items() if name.startswith("export.") and record.metrics}
    # A folder such as dataset/ counts as one, and files beside the main one have longer names; every bundle counts.
    names = {name: {"/".join(file.split("/")[:2]) for file in record.files} for name, record in exported.items()}
    return {
        file: record.metrics
        for name, record in exported.items()
        for file in sorted(names[name], key=lambda file: (len(file), file))[: None if name == "export.bundle" else 1]
    }


def collect_metrics(records: dict[str, StageRecord]) -> dict[str, float]:
    """Return the metrics of a run: quality, facts about the files, seconds per stage and in total, peak memory."""
    metrics: dict[str, float] = dict(records["splat"].figures) if "splat" in records else {}
    seconds: dict[str, float] = {}
    for name, record in records.items():
        stage, _, part = name.partition(".")
        seconds[f"seconds_{stage}"] = round(seconds.get(f"seconds_{stage}", 0.0) + record.seconds, 3)
        if part:
            metrics |= {f"{part}_{fact}": value for fact, value in record.figures.items()}
    peak = max((record.peak_rss_gb for record in records.values()), default=0.0)
    return {**metrics, **seconds, "seconds": round(sum(seconds.values()), 3), "peak_rss_gb": peak}


def summary_lines(out: Path, report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that end a run: where the results are and how good they are."""
    metrics, page = report["metrics"], out / "exports" / "world.html"
    yield ""
    if quality := report["quality"]:
        yield f"  {'quality':<8}{quality['grade']}: {quality['reason']}"
    elif "num_gaussians" in metrics and report["source"]["kind"] != "picture":
        yield f"  {'quality':<8}not graded: of so few views none was held out to test the world on"
    if stopped := metrics.get("stopped_at"):
        command = run_command(out, report["source"]["path"], "--fresh", program=shlex.quote(launcher()))
        yield f"  {'splat':<8}stopped early, at step {stopped:.0f}; to train it in full: {command}"
    if outdated := report["unfinished"]:
        command = run_command(out, report["source"]["path"], program=shlex.quote(launcher()))
        yield f"  {'to do':<8}out of date: {', '.join(outdated)}; to make them anew: {command}"
    if motion := report.get("motion"):
        yield f"  {'motion':<8}{motion}"
    if inventory := report.get("inventory"):
        yield f"  {'source':<8}{inventory['summary']}"
    if subject := report["subject"]:
        count = subject["foreground"]
        things = f", {count} {'thing' if count == 1 else 'things'} in front of it cut out" if count else ""
        yield f"  {'subject':<8}{subject['kind']} ({subject['reason']}){things}"
    for label, place in {"video": "video.mp4", "files": "exports", "report": REPORT_PAGE}.items():
        if (out / place).exists() and not (place == "exports" and outdated):
            yield f"  {label:<8}{quoted(out / place)}"
    yield f"  {'cost':<8}{metrics['seconds']:.0f} s, {metrics['peak_rss_gb']:.1f} GB"
    cameras = report["cameras"] or {}
    if "grade" in cameras:
        placed = f"{cameras['placed']} of {cameras['total']} frames"
        missing = _some(cameras.get("not_placed", []))
        yield f"  {'cameras':<8}grade {cameras['grade']}, by {cameras['solver']}, {placed}{missing}"
        if report["quality"]:
            yield f"  {'':<8}{TWO_GRADES}"
    for finding in report["findings"]:
        if finding["severity"] != "note":
            yield f"  {'doctor':<8}{finding['kind']}: {finding['found']}"
    if report["licence"]:
        yield f"  {'licence':<8}{report['licence']['model']}: {report['licence']['verdict']}"
    if page.exists() and not outdated:
        yield f"  {'look':<8}{shlex.quote(launcher())} view {quoted(out)}    or open {quoted(page)} in a browser"


def _some(names: list[str]) -> str:
    """Return the names of photos that were not placed, at most three, as the end of a line."""
    if not names:
        return ""
    more = len(names) - MAX_NAMES
    return f"; not placed: {', '.join(names[:MAX_NAMES])}" + (
        f" and {more} more, see {REPORT_PAGE}" if more > 0 else ""
    )


def launcher() -> str:
    """Return how a shell starts this program: by its name if that is on the PATH, otherwise by its path."""
    beside = Path(sys.executable).with_name("img2world")
    found = shutil.which("img2world")
    if not beside.exists() or (found and Path(found).samefile(beside)):
        return "img2world"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def describe_machine() -> dict[str, Any]:
    """Return the versions and the device, on which a result may depend in addition to the recipe."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    # A stage that needs torch has imported it by now; importing it just to ask takes seconds.
    torch = sys.modules.get("torch")
    device = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "cpu"
    return {"device": device, "machine": platform.machine(), "system": platform.system(), "versions": versions}
