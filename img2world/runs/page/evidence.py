"""How far to trust a world: views beside it, what was seen, continued and invented, and what was noticed."""

from typing import Any

import numpy as np

from img2world.doctor.findings import VideoFinding, format_ranges
from img2world.runs.page.elements import image, section, term
from img2world.runs.page.markup import Markup, element
from img2world.runs.page.material import Material
from img2world.runs.page.pictures import origins, read_as_is
from img2world.runs.page.places import placed_frames
from img2world.runs.page.reading import attempt, read_json
from img2world.runs.page.words import SEVERITIES, percent, sentence
from img2world.runs.report import COMPARISON, FINDINGS
from img2world.splat.comparison import FACTS, PICTURES

MAX_SHOWN = 6
"""Frames of a finding that are shown."""

NUM_ORIGINS = 6
"""Frames in which the origin of the pixels is shown."""


def views_section(material: Material) -> Markup | None:
    """Return some views beside the world as the same camera sees it, and where they differ."""
    if not material.world:
        return None
    if not material.has("comparison"):
        note = element("p", "Left out: views beside the world. They were not drawn yet.", class_="missing")
        return section("views", "Picture by picture", note)
    folder = material.path / COMPARISON
    found = attempt("views beside the world", read_json, folder / FACTS)
    if found.value is None:
        return section("views", "Picture by picture", found.note)
    rows = [_view(material, entry) for entry in found.value]
    was_tested = any(entry["held_out"] for entry in found.value)
    intro = [
        "Left the ",
        "generated frame" if material.kind == "picture" else "picture",
        ", then the world as the same camera sees it, then where the two differ. ",
    ]
    if was_tested:
        intro += [
            "Those marked ", term("held-out", "held out"), " were kept aside during training, the worst comes first; ",
            "they tell how the world looks from new places.",
        ]  # fmt: skip
    else:
        intro += ["All were used for training, so they tell little about how the world looks from new places."]
    ends = ["equal", "plain to see", "another colour"]
    scale = element(
        "div",
        element("span", term("difference", "Difference of colours"), class_="scale-name"),
        element("div", class_="inferno", aria_hidden="true"),
        element("div", [element("span", end) for end in ends], class_="ends"),
        class_="scale",
    )
    return section("views", "Picture by picture", element("p", intro), scale, element("div", rows, class_="views"))


def _view(material: Material, entry: dict[str, Any]) -> Markup:
    """Return one view, the world and their difference."""
    index = entry["index"]
    frames = attempt("names of the views", placed_frames, material.report, material.num_views).value
    name = material.frame_name(frames[index]) if frames else f"View {index}"
    texts = (name, f"The world from the camera of {name}", f"Differences from {name}: bright is different")
    read = [
        attempt(text.lower(), read_as_is, material.path / COMPARISON / f"{index:04d}-{part}.webp")
        for part, text in zip(PICTURES, texts, strict=True)
    ]
    cells = [
        image(part.value, text, loading="lazy") if part.value else part.note
        for part, text in zip(read, texts, strict=True)
    ]
    flag = "held out" if entry["held_out"] else "used for training"
    caption = element(
        "figcaption",
        element("strong", name),
        element("span", flag, class_="flag held" if entry["held_out"] else "flag"),
        element("span", f"{entry['psnr']:.1f} ", term("db", "dB")),
        element("span", f"{percent(entry['differing'])} plainly differs"),
    )
    return element("figure", cells, caption, class_="view")


def origins_section(material: Material) -> Markup | None:
    """Return which parts of the world the photo shows, and which were continued or invented."""
    shares = material.report["shares"]
    if material.num_frames == 0 or material.is_refused:
        return None
    heading = "Seen, continued, invented"
    if not shares:
        text = (
            "Nothing was invented by this program: the world holds only what these pictures show. Where none looks, it "
            "is empty or blurred."
        )
        if material.kind == "picture":
            text = "The video model does not tell which pixels it took from the photo and which it invented."
        return section("origins", heading, element("p", text))
    bar = [
        element("span", class_=f"part {name}", style=f"width:{100 * shares[name]:.2f}%")
        for name in shares
        if shares[name]
    ]
    order = ("seen", "continued", "invented")
    meanings = {"seen": "in the photo", "continued": "from the surroundings", "invented": "not in the photo at all"}
    legend = [
        element(
            "li",
            element("i", class_=f"swatch {name}"),
            element("strong", f"{percent(shares[name])} {name}"),
            f" {meanings[name]}",
        )
        for name in order
        if name in shares
    ]
    chosen = np.linspace(0, material.num_frames - 1, min(NUM_ORIGINS, material.num_frames)).round().astype(int).tolist()
    found = attempt("frames with tints", origins, material.path / "frames", chosen)
    strip = found.note
    if found.value:
        pictures = zip(chosen, found.value, strict=True)
        items = [
            element(
                "li", image(picture, f"Frame {i}, tinted by origin", loading="lazy"), element("small", f"Frame {i}")
            )
            for i, picture in pictures
        ]
        strip = element("ol", items, class_="tints")
    intro = element(
        "p", "Of all pixels of the video", " that the object covers" if _is_object(material) else None, ", by their ",
        term("origin", "origin"), ". In the frames below, what was continued is blue, what was invented orange.",
    )  # fmt: skip
    label = ", ".join(f"{percent(shares[name])} {name}" for name in order if name in shares)
    return section(
        "origins",
        heading,
        intro,
        element("div", bar, class_="shares", role="img", aria_label=label),
        element("ul", legend, class_="legend"),
        strip,
    )


def _is_object(material: Material) -> bool:
    """Tell whether the picture shows an object."""
    return (material.report["subject"] or {}).get("kind") == "object"


def findings_section(material: Material) -> Markup | None:
    """Return what was noticed in the photo, in the video, and once its cameras were known."""
    if not material.has("doctor"):
        return None
    findings = _findings(material)
    if note := material.changed("doctor", FINDINGS):
        return section("findings", "What was noticed", note)
    if not findings:
        nothing = "No fault was noticed in the pictures." if material.is_refused else "Nothing that harms the world."
        return section("findings", "What was noticed", element("p", nothing))
    return section("findings", "What was noticed", [_finding(material, finding) for finding in findings])


def _findings(material: Material) -> list[VideoFinding]:
    """Return all findings, the worst first."""
    from img2world.doctor.camera_motion import moving_subject

    entries = material.report["findings"]
    findings = [VideoFinding(**{**entry, "frames": tuple(entry["frames"])}) for entry in entries]
    cameras = material.report["cameras"] or {}
    if cameras.get("moving_frames"):
        masked = cameras.get("moving_masked", False)
        in_motion = bool(material.report.get("motion"))
        share, frames = cameras["moving_share"], tuple(cameras["moving_frames"])
        findings.append(moving_subject(share, frames, masked=masked, in_motion=in_motion))
    order = list(SEVERITIES)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _finding(material: Material, finding: VideoFinding) -> Markup:
    """Return one finding with its frames."""
    pictures = [(i, picture) for i in finding.frames if (picture := material.thumbnail(i))]
    steps = np.linspace(0, len(pictures) - 1, min(MAX_SHOWN, len(pictures))).round().astype(int).tolist()
    shown = [pictures[step] for step in steps]
    where = f"{'Frames' if len(finding.frames) > 1 else 'Frame'} {format_ranges(finding.frames)}"
    items = [element("li", image(picture, f"Frame {i}"), element("small", f"Frame {i}")) for i, picture in shown]
    # The start of the page of a refused run says it.
    is_told = material.is_refused and finding.advice in material.report["refused"]["hint"]
    return element(
        "article",
        element(
            "h3",
            finding.kind[:1].upper() + finding.kind[1:],
            element("span", SEVERITIES[finding.severity], class_=f"flag {finding.severity}"),
        ),
        element("p", sentence(finding.found), f" {finding.sure:.0%} sure."),
        None if is_told else element("p", element("strong", "What to do: "), sentence(finding.advice)),
        element("p", where, class_="hint") if finding.frames else None,
        element("ol", items, class_="strip") if items else None,
        class_=f"finding {finding.severity}",
    )
