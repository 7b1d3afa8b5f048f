"""Find the stages of a run that are out of date, and write whole commands that go on from there."""

from pathlib import Path

from img2world.core.errors import Img2WorldError
from img2world.runs.files import digest_of, quoted
from img2world.runs.folder import RECIPE, RunFolder, StageRecord

READS = {
    "trajectory": {"subject": "input"},
    "video": {"subject": "input", "trajectory": "trajectory"},
    "doctor": {"subject": "input", "frames": "video"},
    "poses": {"frames": "video", "trajectory": "trajectory"},
    "isolation": {"views": "poses"},
    "splat": {"views": "isolation or poses"},
    "measure": {"scene": "splat"},
    "quality": {"subject": "input", "trajectory": "trajectory", "frames": "video", "scene": "splat"},
    "comparison": {"scene": "splat", "views": "isolation or poses"},
    "export": {"scene": "measure", "views": "isolation or poses"},
}
"""The stages in their order, each with the stages whose products it reads, by the names that `runs.stages` gives."""


def outdated_stages(folder: RunFolder) -> list[str]:
    """Return the stages that are done, but were made from other products than those that are in the folder now."""
    names = list(folder.manifest["stages"])
    records = {name: record for name in names if (record := folder.record(name))}
    outdated: list[str] = []
    for stage, sources in READS.items():
        for name in [name for name in records if name.partition(".")[0] == stage]:
            if not _is_current(records, names, name, sources):
                del records[name]
                outdated.append(name)
    return outdated


def _is_current(records: dict[str, StageRecord], names: list[str], name: str, sources: dict[str, str]) -> bool:
    """Tell whether a stage was made from the products of the stages that it reads, all of which are up to date."""
    reads = {}
    for word, source in sources.items():
        stage = ("isolation" if "isolation" in names else "poses") if source == "isolation or poses" else source
        if stage in records:
            reads[word] = records[stage].digest
        elif stage in names:
            return False
    return records[name].reads == digest_of(reads)


def run_command(run: Path, source: str, *options: str, program: str = "img2world") -> str:
    """Return the whole command that continues a run with its own recipe."""
    words = ["--recipe", quoted(run / RECIPE), "--out", quoted(run), *options]
    return " ".join([program, "run", quoted(Path(source)), *words])


def refusal_hint(folder: RunFolder, advice: str) -> str:
    """Return what to do after a refusal: the advice, and in lines of their own what else is possible."""
    source = folder.manifest["source"]
    lines = [advice, f"to continue regardless: {run_command(folder.path, source['path'], '--anyway')}"]
    if source["kind"] == "video":
        lines.append(f"to use one frame as a photo: img2world run {quoted(folder.path / 'frames' / '0000.png')}")
    return "\n".join(lines)


def name_page(error: Img2WorldError, page: Path) -> None:
    """Add to the hint of an error where it is explained with pictures."""
    error.hint += f"\nthe reasons with pictures: {quoted(page)}"
