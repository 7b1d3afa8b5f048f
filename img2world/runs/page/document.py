"""Write report.html: one file that needs no network, and links to the files of the run beside it."""

import base64
import hashlib
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from img2world.runs.files import write_text
from img2world.runs.folder import RunFolder
from img2world.runs.page.evidence import findings_section, origins_section, views_section
from img2world.runs.page.headline import grade_section, headline, title
from img2world.runs.page.markup import Markup, element, join
from img2world.runs.page.material import Material
from img2world.runs.page.record import costs_section, files_section, repeat_section, terms_section
from img2world.runs.page.story import cameras_section, frames_section, input_section
from img2world.runs.report import REPORT_PAGE
from img2world.viewer.page import json_in_html


def write_page(folder: RunFolder, report: dict[str, Any]) -> None:
    """Write report.html into a run folder from its report and its products.

    A product that is missing or damaged leaves a note in its place. Raises RunFolderError when the page cannot be
    written.
    """
    write_text(folder.path / REPORT_PAGE, page_html(folder, report))


def page_html(folder: RunFolder, report: dict[str, Any]) -> str:
    """Return the text of the page."""
    material = Material(folder=folder, report=report)
    cameras, places = cameras_section(material)
    findings = findings_section(material)
    sections = [
        # What rules out a world is what one looks for first.
        findings if material.is_refused else None,
        grade_section(material),
        input_section(material),
        frames_section(material),
        cameras,
        views_section(material),
        origins_section(material),
        None if material.is_refused else findings,
        files_section(material),
        costs_section(material),
        repeat_section(material),
    ]
    header = headline(material)
    sections.append(terms_section(join([header, *(part for part in sections if part)])))
    script = _static("report.js")
    parts = {
        "title": join(f"{title(material)}: report"),
        # Only this script runs, whatever a file name may contain.
        "script_digest": base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode("ascii"),
        "style": _static("report.css"),
        "header": header,
        "contents": _contents(part for part in sections if part),
        "sections": join(part for part in sections if part),
        "places": json_in_html(places.as_json() if places else {}),
        "script": script,
    }
    # In a single pass, so that a marker in a file name is not replaced.
    return re.sub("@@([a-z_]+)@@", lambda marker: parts[marker[1]], _static("report.html"))


def _contents(sections: Iterable[Markup]) -> Markup:
    """Return links to the sections."""
    found = [re.match(r'<section id="([a-z]+)"><h2>(.*?)</h2>', section) for section in sections]
    return join(element("a", Markup(match[2]), href=f"#{match[1]}") for match in found if match)


def _static(name: str) -> str:
    """Return the text of a file beside this module."""
    return files("img2world.runs.page").joinpath(name).read_text(encoding="utf-8").rstrip("\n")
