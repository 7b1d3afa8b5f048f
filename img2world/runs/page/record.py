"""What the run left behind: files and how they were read back, time, machine, recipe, and the terms of the page."""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from img2world.core.text_file import read_text
from img2world.runs.changes import different_options, flatten
from img2world.runs.files import quoted
from img2world.runs.folder import RECIPE
from img2world.runs.page.elements import section, table
from img2world.runs.page.markup import Markup, element
from img2world.runs.page.material import Material
from img2world.runs.page.reading import attempt, reading
from img2world.runs.page.words import FORMATS, TERMS, file_facts, seconds_text, size_text, stage_name
from img2world.runs.recipe import load_recipe, recipe_text
from img2world.runs.source import RECIPES

FILE_COLUMNS = ("File", "Size", "Read back by", "Found in it")
"""Headings of the table of files; on a narrow screen each cell has its own."""

OTHERS = {
    "input.png": "the picture that it was made from",
    "video.mp4": "the frames as a video",
    "frames": "the frames as pictures",
    "views": "the frames with their cameras, a nerfstudio dataset",
    "isolated": "the views of the subject alone",
    "scene": "the Gaussians as this program keeps them",
    "world.json": "vertical, ground, height, metres",
    "inventory.json": "which files were used and which were left out",
    "doctor.json": "what was noticed",
    "recipe.toml": "every option of this run",
    "report.json": "the figures of this page, for programs",
    "run.json": "the SHA-256 of every file",
}
"""Further files and folders of a run."""


def files_section(material: Material) -> Markup | None:
    """Return the files of the world with their sizes and what read them back, and the other files of the run."""
    parts: list[Markup | None] = []
    exported = material.report["files"]
    if not exported and material.is_refused:
        return None
    if exported and not material.is_refused:
        rows = [_file(name, facts) for name, facts in exported.items()]
        caption = "Each file was read again after it was written, and compared with the world"
        parts.append(table(list(FILE_COLUMNS), rows, caption, class_="files"))
    elif exported:
        parts.append(element("p", "The files in exports/ are those of an earlier run.", class_="missing"))
    there = {name: what for name, what in OTHERS.items() if (material.path / name).exists()}
    items = [element("li", element("a", name, href=quote(name)), f": {what}") for name, what in there.items()]
    parts.append(element("details", element("summary", "Other files of this run"), element("ul", items)))
    return section("files", "The files", parts)


def _file(name: str, facts: dict[str, Any]) -> list:
    """Return the row of an exported file."""
    base = name.rpartition("/")[2]
    link = element("a", base, href=quote(name))
    what = FORMATS.get(base)
    size = size_text(float(facts["bytes"])) if "bytes" in facts else ""
    return [
        element("th", link, [element("br"), element("small", what)] if what else None, scope="row"),
        element("td", size, class_="number", data_label=FILE_COLUMNS[1]),
        element("td", str(facts.get("reader", "")), data_label=FILE_COLUMNS[2]),
        element("td", file_facts(facts), data_label=FILE_COLUMNS[3]),
    ]


def costs_section(material: Material) -> Markup:
    """Return how long each stage took, and the memory."""
    stages, metrics = material.report["stages"], material.report["metrics"]
    longest = max((stage["seconds"] for stage in stages.values()), default=0.0)
    rows = [
        [
            element("th", stage_name(name, material.kind), scope="row"),
            element("td", seconds_text(stage["seconds"]), class_="number"),
            element("td", _bar(stage["seconds"] / max(longest, 1e-9)), class_="bar-cell"),
        ]
        for name, stage in stages.items()
    ]
    caption = f"{seconds_text(metrics['seconds'])} in all, with {metrics['peak_rss_gb']:.1f} GB of memory at most"
    return section("costs", "Time", table(["Step", "Time", "Share"], rows, caption, class_="times"))


def _bar(fraction: float) -> Markup:
    """Return a bar of a length from 0 to 1."""
    return element("div", class_="time", style=f"width:{max(100 * fraction, 0.5):.1f}%", aria_hidden="true")


def repeat_section(material: Material) -> Markup:
    """Return how to make the world again: command, options, versions, machine and licence."""
    report, machine = material.report, material.folder.manifest.get("machine", {})
    again = Path("..") / f"{material.path.name}-again"
    source = quoted(Path(report["source"]["path"]))
    command = f"img2world run {source} --recipe {RECIPE} --out {quoted(again)}"
    versions = machine.get("versions", {})
    licence = report["licence"]
    facts = {
        "Seed": str(report["seed"]),
        "Machine": ", ".join(machine[name] for name in ("system", "machine", "device") if name in machine),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Licence": f"{licence['model']}: {licence['verdict']}" if licence else "no model with conditions of its own",
        "SHA-256 of the source": report["source"]["sha256"],
    }
    rows = [[element("th", name, scope="row"), fact] for name, fact in facts.items() if fact]
    return section(
        "repeat",
        "To make it again",
        element("p", "In the folder of this page:"),
        element("pre", element("code", command)),
        _options(material),
        table(["What", "Which"], rows, "The result depends on these, too"),
    )


def _options(material: Material) -> Markup | None:
    """Return the options that differ from the usual recipe."""
    usual = RECIPES[material.kind]
    found = attempt("options of the run", _changed_options, material.path / RECIPE, usual)
    if found.value is None:
        return found.note
    if not found.value:
        return element("p", f"All options are those of the recipe {usual}.")
    return table(["Option", "Here", "Usually"], found.value, f"Options that differ from the recipe {usual}")


def _changed_options(path: Path, usual: str) -> list[list[str]]:
    """Return name, value and usual value of each option. Raises FormatError when the recipe cannot be read."""
    with reading(path.name):
        used = flatten(tomllib.loads(read_text(path)))
    normal = flatten(tomllib.loads(recipe_text(load_recipe(usual))))
    names = [name for name in different_options(normal, used) if name != "video.path"]
    return [[name, _option(used[name]), _option(normal[name])] for name in names]


def _option(value: Any) -> str:
    """Return the value of an option for people."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def terms_section(page: Markup) -> Markup | None:
    """Return the terms that a page refers to and what they mean."""
    used = {key: TERMS[key] for key in TERMS if f'href="#term-{key}"' in page}
    if not used:
        return None
    entries = [[element("dt", name, id=f"term-{key}"), element("dd", meaning)] for key, (name, meaning) in used.items()]
    return section("terms", "What the words mean", element("dl", entries))
