"""The start of the page: how good the world is and why, beside what it was made from."""

from pathlib import Path
from urllib.parse import quote

from img2world.quality.grade import Cost, find_costs
from img2world.runs.next_steps import run_command
from img2world.runs.page.elements import image, movie, section, table, term
from img2world.runs.page.markup import Markup, element, join
from img2world.runs.page.material import Material
from img2world.runs.page.pictures import WHOLE, read_as_is, read_picture, read_video
from img2world.runs.page.reading import attempt
from img2world.runs.page.words import COSTS, SOURCES, STAGES, WORLD_GRADES, sentence, stage_name
from img2world.runs.report import COMPARISON

WORLD_PAGE, TURNTABLE = "exports/world.html", "exports/turntable.mp4"
LEAST = 0.05
"""Points that are too few to be told."""

LARGE = 640
"""Longest side in pixels of the picture that a world was made from."""


def title(material: Material) -> str:
    """Return the name of what the world was made from."""
    source = Path(material.report["source"]["path"])
    folder = source.parent if source.name in ("images", "transforms.json") else source
    return folder.name or "world"


def headline(material: Material) -> Markup:
    """Return the header of the page."""
    inventory = material.report["inventory"]
    made_of = SOURCES[material.kind]
    if inventory:
        made_of = f"{len(set(inventory['used']))} {made_of}"
    kind = f"Report on a world from {made_of}" if material.world else f"Report on {made_of}"
    return element(
        "header",
        element("p", kind, class_="eyebrow"),
        element("h1", title(material)),
        _verdict(material),
        _links(material),
        _pair(material),
    )


def _verdict(material: Material) -> Markup:
    """Return the grade in words and its reason; of a run without a world, why there is none and what to do."""
    report, quality = material.report, material.report["quality"]
    if refusal := report["refused"]:
        return element(
            "div",
            element("div", "✕", class_="grade grade-d", aria_hidden="true"),
            element(
                "div",
                element("p", "No world was made of this", class_="judgement"),
                element("p", sentence(refusal["reason"])),
                _advice(refusal["hint"]),
            ),
            class_="verdict",
        )
    if not material.world:
        last = [STAGES[name] for name in report["stages"] if name in STAGES][-1:]
        words, letter = "Not finished yet", "…"
        reason: Markup | str = f"The last step that is done: {last[0].lower()}." if last else "No step is done yet."
    elif quality:
        words, letter = WORLD_GRADES[quality["grade"]], quality["grade"]
        reason = join([_reason(material), " ", term("grade", "What is this grade?")])
    else:
        words, letter = "Not graded", "–"
        reason = (
            "There is nothing to test this world on: of so few pictures none was held out."
            if material.kind != "picture"
            else "The first frame is not the photo, so there is nothing to compare the world with."
        )
    tone = letter.lower() if letter in WORLD_GRADES else "none"
    return element(
        "div",
        element("div", letter, class_=f"grade grade-{tone}", aria_label=f"Grade {letter}", role="img"),
        element("div", element("p", words, class_="judgement"), element("p", reason), _unfinished(material)),
        class_="verdict",
    )


def _advice(hint: str) -> list[Markup]:
    """Return the lines of a hint: what to do, and what else is possible with the command for it."""
    first, *others = hint.splitlines()
    parts = [element("p", element("strong", "What to do: "), sentence(first))]
    for line in others:
        purpose, _, command = line.partition(": ")
        parts += [element("p", f"{purpose[:1].upper()}{purpose[1:]}:"), element("pre", element("code", command))]
    return parts


def _unfinished(material: Material) -> list[Markup] | None:
    """Return what is out of date, and whether the training was stopped early, with the commands that mend it."""
    report, run = material.report, material.path.resolve()
    source, parts = report["source"]["path"], []
    if stages := report["unfinished"]:
        names = ", ".join(stage_name(stage, material.kind).lower() for stage in stages)
        text = f"These steps are out of date, so that this page does not show what they made: {names}. To do them anew:"
        parts += [element("p", text), element("pre", element("code", run_command(run, source)))]
    if stopped := report["metrics"].get("stopped_at"):
        text = f"The training was stopped early, at step {stopped:,.0f}. To train the world in full:"
        parts += [element("p", text), element("pre", element("code", run_command(run, source, "--fresh")))]
    return parts or None


def _reason(material: Material) -> Markup | str:
    """Return why the grade is not better."""
    worst = max(_costs(material), key=lambda cost: cost.points / cost.most)
    if worst.points <= 0:
        return "Nothing stands out."
    return join([COSTS[worst.figure], " ", element("span", f"({worst.reason})", class_="detail")])


def _costs(material: Material) -> list[Cost]:
    """Return what each figure cost."""
    subject, quality = material.report["subject"], material.report["quality"]
    is_object = subject is not None and subject["kind"] == "object"
    figures = {name: value for name, value in quality.items() if not isinstance(value, str) and name != "score"}
    return find_costs(figures, is_object=is_object, cameras=material.report["cameras"])


def grade_section(material: Material) -> Markup | None:
    """Return what cost points, the most costly first, and how far a visitor may go."""
    quality = material.report["quality"]
    if not quality or material.is_refused:
        return None
    rows = [
        [
            element("td", f"−{cost.points:.1f} of {cost.most:g}", class_="number"),
            [COSTS[cost.figure], element("br"), element("small", sentence(cost.reason))],
        ]
        for cost in sorted(_costs(material), key=lambda cost: -cost.points)
        if cost.points >= LEAST
    ]
    costs = table(["Points", "What cost them"], rows, f"{quality['score']:g} of 10 points are left") if rows else None
    return section(
        "grade", "Why this grade", costs or element("p", "All 10 points: nothing stands out."), _reach(material)
    )


def _reach(material: Material) -> Markup | None:
    """Return how far a visitor may go."""
    region = material.report["supported"]
    if region is None:
        return None
    is_round = min(region["left"], region["right"]) >= 180
    sides = {} if is_round else {"left": "to the left", "right": "to the right"}
    far = {**sides, "up": "up", "down": "down"}
    ways = [f"{region[name]:.0f}° {way}" for name, way in far.items() if region[name] >= 0.5]
    ways = ["all around", *ways] if is_round else ways
    if not ways:
        return None
    return element("p", f"From the first camera one may go {', '.join(ways)}; beyond that the world ends.")


def _links(material: Material) -> Markup | None:
    """Return the links to what people want first."""
    wanted = {WORLD_PAGE: "Open the world", TURNTABLE: "Video of the world", "video.mp4": "Video of the frames"}
    if material.kind not in ("picture", "video") and not material.is_tiled:
        # That video shows one photo after the other, too quickly to look at.
        del wanted["video.mp4"]
    there = {name: label for name, label in wanted.items() if (material.path / name).is_file()}
    if not material.world:
        there = {name: label for name, label in there.items() if not name.startswith("exports/")}
    links = [
        element("a", label, href=quote(name), class_="button" if name == WORLD_PAGE else "button quiet")
        for name, label in there.items()
    ]
    return element("p", links, class_="actions") if links else None


def _pair(material: Material) -> Markup:
    """Return the input beside the finished world; the input alone where there is none."""
    path, extent = material.path / "input.png", (material.extents or [WHOLE])[0]
    picture = attempt("the picture that it was made from", read_picture, path, LARGE, extent)
    label = {"picture": "The photo", "video": "First frame of the video"}.get(
        material.kind, f"One of the {material.noun}s"
    )
    figures = [_figure(image(picture.value, label), label) if picture.value else picture.note]
    if material.world:
        figures.append(_world(material))
    return element("div", figures, class_="pair" if len(figures) > 1 else "pair single")


def _world(material: Material) -> Markup | None:
    """Return a video of the finished world or, where there is none, a view of it."""
    if material.has("export.turntable"):
        found = attempt("the video of the world", read_video, material.path / TURNTABLE)
        if found.value:
            return _figure(movie(found.value, "The finished world"), "The finished world, from new places")
    pictures = sorted((material.path / COMPARISON).glob("*-scene.webp"))
    if not pictures:
        return element("p", "Left out: a picture of the world. There is none in this folder.", class_="missing")
    found = attempt("a picture of the world", read_as_is, pictures[0])
    return _figure(image(found.value, "The finished world"), "The finished world") if found.value else found.note


def _figure(content: Markup, caption: str) -> Markup:
    """Return a figure with its caption."""
    return element("figure", content, element("figcaption", caption))
