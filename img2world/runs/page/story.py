"""What went in, and what was found: the input, its frames and their cameras."""

from typing import Any

from img2world.core.subject import FACTS as SUBJECT
from img2world.runs.page.elements import image, movie, section, table, term
from img2world.runs.page.markup import Markup, element, join
from img2world.runs.page.material import Material
from img2world.runs.page.pictures import read_video
from img2world.runs.page.places import Places, read_places
from img2world.runs.page.reading import attempt
from img2world.runs.page.words import CAMERA_GRADES, plural, sentence
from img2world.runs.report import CAMERAS, INVENTORY, ISOLATED_FACTS, ISOLATION

MAX_NAMED = 100
"""Files left out, and photos without a camera, that are named."""


def input_section(material: Material) -> Markup | None:
    """Return what the input was taken for, and which files were left out and why."""
    subject, inventory = material.report["subject"], material.report["inventory"]
    parts: list[Markup | None] = [
        material.changed("input", f"subject/{SUBJECT}"),
        material.changed(ISOLATION, ISOLATED_FACTS),
        material.changed("video", INVENTORY),
    ]
    if subject:
        kind = "an object to look at from all around" if subject["kind"] == "object" else "a scene to look into"
        text = f"It was taken for {kind}, because {subject['reason']}."
        if count := subject["foreground"]:
            text += (
                f" {plural(count, 'thing')} in front of it {'was' if count == 1 else 'were'} cut out and lifted off."
            )
        if left_out := subject["left_out"]:
            text += f" In {plural(len(left_out), 'view')} it was not found: {', '.join(map(str, left_out))}."
        parts.append(element("p", text))
    if motion := material.report.get("motion"):
        parts.append(element("p", f"What it shows moves, at {motion}."))
    if inventory:
        parts.append(element("p", sentence(inventory["summary"])))
        files = inventory["left_out"]
        rows = [[file["name"], file["kind"], file["reason"]] for file in files[:MAX_NAMED]]
        if rows:
            more = f" (the first {MAX_NAMED} of {len(files)})" if len(files) > MAX_NAMED else ""
            parts.append(table(["File", "What it is", "Why"], rows, f"Left out{more}"))
    return section("input", "What went in", parts) if any(parts) else None


def frames_section(material: Material) -> Markup | None:
    """Return the video and its frames, the videos of all viewpoints and their pictures, or the photos."""
    count = material.num_frames
    if count == 0:
        return None
    is_video = material.kind in ("picture", "video")
    parts: list[Markup | None] = []
    if is_video or material.is_tiled:
        found = attempt("the video", read_video, material.path / "video.mp4")
        if found.value:
            note = " This is a smaller copy of video.mp4." if found.value.is_reduced else ""
            selection = material.report["stages"].get("video", {}).get("selection")
            taken = sentence(selection) if selection else _origin(material, count)
            parts.append(element("p", taken, note))
            parts.append(element("div", movie(found.value, "The frames as a video"), class_="film"))
        else:
            parts.append(found.note or element("p", element("a", "video.mp4", href="video.mp4"), " is too large here."))
    parts.append(_strip(material) if material.thumbnails.value else None if is_video else material.thumbnails.note)
    return section("frames", "The video" if is_video else f"The {material.noun}s", parts)


def _origin(material: Material, count: int) -> str:
    """Return where the frames are from."""
    if material.is_tiled:
        return "What was seen from all viewpoints at the same times."
    made = "were generated from the photo" if material.kind == "picture" else "were taken from it"
    return f"These {plural(count, 'frame')} {made}."


def _strip(material: Material) -> Markup:
    """Return the small pictures of all frames, and of photos their names."""
    cameras = material.report["cameras"] or {}
    placed = set(cameras["frames"]) if "frames" in cameras else None
    items = []
    for i, picture in (material.thumbnails.value or {}).items():
        is_missing = placed is not None and i not in placed
        name = material.frame_name(i)
        label = [name, element("span", "no camera", class_="flag")] if is_missing else name
        attributes = {"id": f"frame-{i}", "loading": "lazy"}
        items.append(element("li", image(picture, name, **attributes), element("small", label)))
    has_names = material.report["inventory"] is not None
    skipped = material.num_frames - len(items)
    note = element("p", f"{len(items)} of {material.num_frames} are shown.", class_="hint") if skipped else None
    row = element("ol", items, class_="sheet" if has_names else "strip", tabindex=None if has_names else 0)
    return join([row, note])


def cameras_section(material: Material) -> tuple[Markup | None, Places | None]:
    """Return where the cameras stood and how certain that is, and the data of the 3D view."""
    report = material.report["cameras"]
    if report is None:
        note = material.changed("poses", CAMERAS)
        if note is None and material.is_refused:
            note = element("p", "No cameras were found, so there is nothing to show here.")
        return note and section("cameras", "The cameras", note), None
    views = material.path / ("isolated" if material.has("isolation") and material.world else "views")
    scene = material.path / "scene" / "scene.safetensors" if material.world else None
    found = attempt("the cameras in 3D", read_places, views, scene, material.report, material.extents)
    space = _space(material, found.value) if found.value else found.note
    return section("cameras", "The cameras", _camera_words(report, material), space), found.value


def _camera_words(report: dict[str, Any], material: Material) -> list[Markup]:
    """Return how reliable the cameras are."""
    if "grade" not in report:
        known = {
            "commanded": "The frames were generated along this path, so their cameras are known exactly.",
            "given": f"The cameras came with the {material.noun}s.",
        }
        return [element("p", known.get(report["solver"], f"The cameras come from {report['solver']}."))]
    grade, placed, total = report["grade"], report["placed"], report["total"]
    noun = f"{material.noun}s"
    words = [
        element(
            "p",
            element("strong", term("camera-grade", f"Grade {grade}"), f": {CAMERA_GRADES[grade]}."),
            f" {placed} of {total} {noun} got a camera, by {report['solver']}.",
        )
    ]
    if report["reasons"]:
        words.append(element("ul", [element("li", sentence(reason)) for reason in report["reasons"]]))
    error = f"{report['heldout_px']:.2g}"
    pixels = f"{error} {'pixel' if error == '1' else 'pixels'}"
    facts = (
        f"Tested with {plural(report['tracks'], 'point')} that were kept aside: half of them appear within "
        f"{pixels} of where the cameras say they must (in frames 256 pixels wide), and "
        f"{report['inlier_share']:.0%} of all within 2. Between the first and the last picture that "
        f"shows a point, the direction from which it is seen turns by {report['parallax_deg']:.0f}° (median); the more "
        "it turns, the more certain is the depth of the point."
    )
    words.append(element("p", facts, class_="hint"))
    if names := report.get("not_placed"):
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        words.append(element("p", element("strong", "Without a camera: "), ", ".join(names[:MAX_NAMED]), more, "."))
    return words


def _space(material: Material, places: Places) -> Markup:
    """Return the place of the 3D view."""
    count = len(places.cameras)
    label = f"3D view: {plural(count, 'camera')} and what they saw. Arrow keys turn it, plus and minus zoom."
    slider = element("input", type="range", id="pick", min=0, max=count - 1, value=0, aria_label="Camera")
    shot = element("figure", element("img", id="shot", alt=""), element("figcaption", id="shot-name"), id="shot-box")
    view = element(
        "div",
        element("canvas", id="space", tabindex=0, role="img", aria_label=label),
        shot,
        element("div", slider, element("button", "Back to the start", type="button", id="home"), class_="bar"),
        element(
            "p",
            "Drag to turn, pinch or click and scroll to zoom, or use the arrow keys and + and −. Click on a camera, or "
            "move the slider, to see its picture.",
            class_="hint",
        ),
        element("ol", [element("li", material.frame_name(i)) for i in places.frames], id="names", hidden=True),
        class_="space needs-script",
    )
    missing = element("p", "The view of the cameras in 3D needs JavaScript.", class_="missing")
    return join([view, element("noscript", missing)])
