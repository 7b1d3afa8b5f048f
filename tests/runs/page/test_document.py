import json
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import RejectedError
from img2world.core.frames import Frames
from img2world.export.mp4 import write_mp4
from img2world.pipeline import run
from img2world.runs.folder import RunFolder
from img2world.runs.page.document import page_html, write_page
from img2world.runs.recipe import load_recipe
from img2world.runs.report import write_report
from img2world.runs.source import find_source

VOID = {"meta", "link", "img", "br", "input"}
HOSTILE = ["<img src=x onerror=alert(1)>.png", "\"quoted' & @@script@@.jpg", "caf\udce9.png"]


class Page(HTMLParser):
    """Elements of a page with their attributes, its text by section, and whether all elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.text, self.section = [], [], {"": ""}, ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"]
            self.text[self.section] = ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.section = "" if tag == "section" else self.section

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text[self.section] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def places_of(text):
    """Return the data of the 3D view of a page."""
    return json.loads(re.search(r'<script id="places" type="application/json">(.*?)</script>', text)[1])


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of a finished run; gives its page after a change to the report."""
    path = Path(shutil.copytree(finished, tmp_path / "run"))

    def call(**changes) -> Page:
        with RunFolder.open(path) as folder:
            return Page(page_html(folder, {**write_report(folder), **changes}))

    call.path = path
    return call


def test_the_page_of_a_run_has_every_section_and_asks_for_nothing(finished):
    text = (finished / "report.html").read_text(encoding="utf-8")
    page, report = Page(text), json.loads((finished / "report.json").read_text())
    assert list(page.text)[1:] == [
        "grade", "input", "frames", "cameras", "views", "origins", "findings", "files", "costs", "repeat", "terms",
    ]  # fmt: skip
    assert "photo.png" in page.text[""]
    assert "an object to look at" in page.text["input"]
    assert f"{report['quality']['score']:g} of 10 points" in page.text["grade"]
    assert page.text["views"].count("dB") == 3  # one of six views is held out, and two others are shown
    assert page.text["views"].count("held out") == 2  # that one, and the term
    assert "Left out" not in " ".join(page.text.values())
    # All that it loads is in it, and all that it links to is in the folder.
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    loaded = [attributes[name] for _, attributes in page.elements for name in ("src", "poster") if attributes.get(name)]
    assert len(loaded) == 19  # photo, world, video and its poster, six frames, three views in three pictures
    assert all(url.startswith("data:") for url in loaded)
    links = [link["href"] for link in page.all("a")]
    assert {"exports/world.html", "exports/scene.ply", "video.mp4"} <= set(links)
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert all(link[1:] in ids if link.startswith("#") else (finished / link).exists() for link in links)
    assert all(image.get("alt") for image in page.all("img") if image.get("id") != "shot")
    assert len(text) < 1e6


def test_the_page_is_the_same_each_time(finished):
    text = (finished / "report.html").read_text(encoding="utf-8")
    with RunFolder.open(finished) as folder:
        assert page_html(folder, json.loads((finished / "report.json").read_text())) == text


def test_the_cameras_of_the_3d_view_are_those_of_the_run(finished):
    from img2world.core.views import Views

    places = places_of((finished / "report.html").read_text(encoding="utf-8"))
    cameras = Views.load(finished / "views").cameras
    rows = np.array(places["cameras"])
    np.testing.assert_allclose(rows[:, :3], cameras.centers_in_world, atol=1e-5)
    np.testing.assert_allclose(rows[:, 9:12], cameras.world_from_cam[:, :3, 2], atol=1e-5)
    # The middle of the picture lies on the axis, and its width is that of the field of view.
    np.testing.assert_allclose(rows[:, 14] - rows[:, 12], cameras.width / cameras.intrinsics[:, 0, 0], atol=2e-5)
    assert places["frames"] == list(range(6))


def test_names_of_files_are_text_whatever_they_contain(copy):
    source = json.loads((copy.path / "report.json").read_text())["source"]
    left_out = [{"name": HOSTILE[0], "kind": "thumbnail", "reason": "</td><script>alert(1)</script>"}]
    inventory = {"summary": "6 of 7 pictures used", "used": HOSTILE * 2, "left_out": left_out, "notes": []}
    page = copy(inventory=inventory, source=source | {"path": f"/photos/{HOSTILE[0]}", "kind": "photos"})
    assert HOSTILE[0] in page.text[""]
    assert HOSTILE[1] in page.text["frames"]
    assert "caf\ufffd.png" in page.text["frames"]
    assert "</td><script>" in page.text["input"]
    assert not any(image.get("onerror") for image in page.all("img"))
    assert len(page.all("script")) == 2
    with RunFolder.open(copy.path) as folder:
        write_page(folder, {**write_report(folder), "inventory": inventory})
    (copy.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("product", "section"),
    [
        ("video.mp4", "frames"),
        ("views/transforms.json", "cameras"),
        ("scene/scene.safetensors", "cameras"),
        ("comparison/comparison.json", "views"),
        ("comparison/0000-difference.webp", "views"),
        ("doctor.json", "findings"),
        ("subject/subject.json", "input"),
        ("input.png", ""),
        ("recipe.toml", "repeat"),
    ],
)
@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_product_that_is_gone_leaves_a_note_in_its_place(copy, product, section, is_damaged):
    whole = copy()
    data = (copy.path / product).read_bytes()
    (copy.path / product).write_bytes(data[: len(data) // 2]) if is_damaged else (copy.path / product).unlink()
    page = copy()
    assert "Left out: " in page.text[section]
    assert list(page.text) == list(whole.text)


def test_a_refused_video_has_a_page_with_the_reason_and_the_frames_of_its_findings(picture, tmp_path):
    rgb = np.repeat(np.asarray(PillowImage.open(picture))[None], 2, 0)
    write_mp4(rgb, tmp_path / "short.mp4", 12.0)
    with pytest.raises(RejectedError) as refused:
        run(find_source(tmp_path / "short.mp4"), load_recipe("video"), tmp_path / "run")
    page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "No world was made" in page.text[""]
    assert str(refused.value)[1:] in page.text[""]
    advice, anyway, one_frame, pictures = refused.value.hint.splitlines()
    assert advice[1:] in page.text[""]
    assert anyway.partition(": ")[2] in page.text[""]
    assert shlex.split(one_frame)[-3:] == ["img2world", "run", str(tmp_path / "run" / "frames" / "0000.png")]
    assert pictures.endswith(str(tmp_path / "run" / "report.html"))
    assert advice[1:] not in page.text["findings"]
    assert not {"files", "terms"} & set(page.text)
    assert list(page.text)[1] == "findings"
    assert "Rules out a world" in page.text["findings"]
    assert not {"grade", "views", "origins"} & set(page.text)
    assert not any(link["href"].startswith("exports/") for link in page.all("a"))


def test_a_world_of_an_earlier_run_is_not_shown_as_that_of_a_refused_one(copy):
    page = copy(refused={"reason": "the doctor rejects the video: cut", "hint": "use another"})
    assert "The doctor rejects the video: cut." in page.text[""]
    assert "earlier run" in page.text["files"]
    assert not any(link["href"].startswith("exports/") for link in page.all("a"))


def test_a_training_that_was_stopped_and_the_grade_of_cameras_are_explained(copy):
    assert "Grade of the cameras" not in copy().text["terms"]
    cameras = {
        "solver": "colmap", "grade": "A", "reasons": [], "frames": [0, 1], "placed": 6, "total": 6, "tracks": 200,
        "heldout_px": 1.0, "inlier_share": 0.9, "parallax_deg": 91.0,
    }  # fmt: skip
    metrics = {"seconds": 3.0, "peak_rss_gb": 1.0, "stopped_at": 146.0}
    page = copy(cameras=cameras, metrics=metrics)
    assert "Grade of the cameras" in page.text["terms"]
    assert "within 1 pixel of" in page.text["cameras"]
    assert "stopped early, at step 146" in page.text[""]
    assert "--fresh" in page.text[""]


def test_the_page_says_why_frames_of_a_video_were_left_out(copy):
    reason = "4 of 6 frames were taken; left out were 2 blurred"
    assert reason in copy(stages={"video": {"seconds": 1.0, "selection": reason}}).text["frames"]


def test_a_finding_shows_its_frames(copy):
    finding = {
        "kind": "cut", "severity": "warning", "frames": [2, 4], "sure": 0.9, "found": "frames have nothing in common",
        "advice": "use one shot",
    }  # fmt: skip
    page = copy(findings=[finding])
    assert "Frames 2, 4" in page.text["findings"]
    assert [image["alt"] for image in page.all("img") if image["alt"] in ("Frame 2", "Frame 4")].count("Frame 4") == 2
    assert "Use one shot." in page.text["findings"]


def test_a_run_that_stopped_early_has_a_page_of_what_there_is(copy):
    with RunFolder.open(copy.path) as folder:
        for stage in [name for name in folder.manifest["stages"] if name not in ("input", "trajectory", "video")]:
            folder.discard(stage)
    page = copy()
    assert "Not finished yet" in page.text[""]
    assert {"input", "frames"} <= set(page.text)
    assert not {"grade", "views", "cameras"} & set(page.text)


@pytest.mark.parametrize("product", ["frames.safetensors", "0005.png"])
def test_origins_of_pixels_are_shown_and_their_loss_is_told(copy, product):
    frames = Frames.load(copy.path / "frames")
    seen = np.zeros(frames.rgb.shape[:3], np.uint8)
    seen[:, :, 10:] = 2
    replace(frames, seen=seen).save(copy.path / "frames")
    shares = {"invented": 0.25, "continued": 0.002, "seen": 0.748}
    page = copy(shares=shares)
    assert "Left out" not in page.text["origins"]
    for part in ("75% seen in the photo", "less than 1% continued", "25% invented"):
        assert part in page.text["origins"]
    assert sum("tinted" in image["alt"] for image in page.all("img")) == 6
    (copy.path / "frames" / product).write_bytes(b"?")
    assert "Left out" in copy(shares=shares).text["origins"]


def test_frames_are_tinted_where_they_are_invented_or_continued():
    from img2world.runs.page.pictures import tinted

    rgb = np.full((1, 4, 3), 100, np.uint8)
    seen, alpha = np.array([[0, 1, 2, 0]], np.uint8), np.array([[255, 255, 255, 0]], np.uint8)
    invented, continued, as_in_photo, outside = tinted(rgb, seen, alpha)[0].astype(int)
    assert invented[0] > invented[2]
    assert continued[2] > continued[0]
    assert as_in_photo.tolist() == outside.tolist() == [100, 100, 100]


def test_of_pictures_of_several_sizes_only_the_pictures_are_shown(copy):
    frames = Frames.load(copy.path / "frames")
    sizes = np.tile(np.array([[64, 64]]), (6, 1))
    sizes[3] = [64, 32]
    mask = np.full(frames.rgb.shape[:3], 255, np.uint8)
    replace(frames, sizes=sizes, mask=mask).save(copy.path / "frames")
    source = json.loads((copy.path / "report.json").read_text())["source"]
    with RunFolder.open(copy.path) as folder:
        text = page_html(folder, {**write_report(folder), "source": source | {"kind": "photos"}})
    heights = [image["height"] for image in Page(text).all("img") if (image.get("id") or "").startswith("frame-")]
    assert heights == ["64", "64", "64", "32", "64", "64"]
    cameras = np.array(places_of(text)["cameras"])
    np.testing.assert_allclose((cameras[3] - cameras[0])[[12, 13, 14]], 0, atol=1e-5)
    # Half of the picture ends at its middle, which lies on the axis.
    assert cameras[3, 15] == pytest.approx(0, abs=1e-5)


def test_transparent_pictures_are_shown_on_white(tmp_path):
    import base64
    import io

    from img2world.runs.page.pictures import read_picture

    PillowImage.new("RGBA", (8, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", 100)
    decoded = PillowImage.open(io.BytesIO(base64.b64decode(picture.url.partition(",")[2])))
    assert (picture.width, picture.height) == decoded.size == (8, 4)
    assert np.asarray(decoded.convert("RGB")).min() > 250
