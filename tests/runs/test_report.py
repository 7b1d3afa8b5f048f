import os
import shlex
import sys
from pathlib import Path

import pytest

from img2world.runs.report import summary_lines

REPORT = {
    "subject": None,
    "quality": {},
    "metrics": {"seconds": 31.4, "peak_rss_gb": 1.26, "heldout_psnr": 44.1},
    "cameras": None,
    "findings": [],
    "licence": None,
    "unfinished": [],
}


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Pretend that the program is installed in a virtual environment; return the path of its script."""
    script = tmp_path / "venv" / "bin" / "img2world"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", os.defpath)
    return script


def shown_command(run):
    """Return the words of the command with which a summary ends."""
    shown = "\n".join(summary_lines(run, REPORT))
    return shlex.split(shown.partition("look")[2].partition("    or open")[0])


def test_printed_command_works_without_the_environment_being_active(environment, tmp_path, monkeypatch):
    (tmp_path / "run" / "exports").mkdir(parents=True)
    (tmp_path / "run" / "exports" / "world.html").touch()
    assert shown_command(tmp_path / "run")[0] == str(environment)
    monkeypatch.chdir(tmp_path)
    assert shown_command(tmp_path / "run")[0] == "venv/bin/img2world"
    # A program of the same name elsewhere is not this one; a link to this one is.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "img2world").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    assert shown_command(tmp_path / "run")[0] == "venv/bin/img2world"
    (tmp_path / "other" / "img2world").unlink()
    (tmp_path / "other" / "img2world").symlink_to(environment)
    assert shown_command(tmp_path / "run")[0] == "img2world"


def test_printed_command_can_be_pasted(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(environment.parent))
    for name in ("photo", "my photo #1", "a'b\"c", "R&D", "two\nlines"):
        page = tmp_path / name / "exports" / "world.html"
        page.parent.mkdir(parents=True)
        page.touch()
        assert shown_command(tmp_path / name) == ["img2world", "view", str(tmp_path / name)]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo").rename("-x")
    assert shown_command(Path("-x")) == ["img2world", "view", "./-x"]


@pytest.mark.parametrize(
    ("count", "end"),
    [(0, "scene (why)"), (1, "scene (why), 1 thing in front of it cut out"), (3, ", 3 things in front of it cut out")],
)
def test_the_summary_says_what_the_picture_shows(tmp_path, count, end):
    report = REPORT | {"subject": {"kind": "scene", "reason": "why", "foreground": count}}
    assert next(line for line in summary_lines(tmp_path, report) if "subject" in line).endswith(end)


def test_photos_without_a_camera_are_named(tmp_path):
    names = [f"IMG_{i}.jpg" for i in range(6)]
    cameras = {"grade": "C", "solver": "colmap", "placed": 2, "total": 6}

    def line(**more):
        lines = summary_lines(tmp_path, REPORT | {"cameras": cameras | more})
        return next(line.strip() for line in lines if "cameras" in line)

    assert line() == line(not_placed=[]) == "cameras grade C, by colmap, 2 of 6 frames"
    assert line(not_placed=names[:2]).endswith("2 of 6 frames; not placed: IMG_0.jpg, IMG_1.jpg")
    assert line(not_placed=names[2:]).endswith(
        "; not placed: IMG_2.jpg, IMG_3.jpg, IMG_4.jpg and 1 more, see report.html"
    )


def test_a_capture_without_views_to_test_on_is_said_not_to_be_graded(tmp_path):
    report = REPORT | {"metrics": REPORT["metrics"] | {"num_gaussians": 9.0}, "source": {"kind": "photos"}}
    assert "quality not graded" in "\n".join(summary_lines(tmp_path, report))
    report |= {"source": {"kind": "picture"}}
    assert "quality" not in "\n".join(summary_lines(tmp_path, report))


def test_the_grade_is_the_headline_and_held_out_views_are_not(tmp_path):
    report = REPORT | {"quality": {"grade": "B", "score": 6.2, "reason": "31% of the widest views is invented"}}
    lines = [line.strip() for line in summary_lines(tmp_path, report) if line]
    assert lines[0] == "quality B: 31% of the widest views is invented"
    assert "cost    31 s, 1.3 GB" in lines
    assert not any("dB" in line or "44" in line for line in lines)
    assert not any("quality" in line for line in summary_lines(tmp_path, REPORT))
