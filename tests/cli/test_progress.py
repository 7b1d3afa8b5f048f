import io
import json

import pytest
from rich.console import Console

from img2world.cli.progress import bar_listener, format_json, format_quality, json_listener, line_listener
from img2world.runs.folder import Event


def events():
    """Yield the events of a run: one stage that takes 25 seconds, and one that is up to date."""
    yield Event(kind="start", stage="splat")
    for i in range(1, 251):
        yield Event(kind="step", stage="splat", done=i, total=250, seconds=i / 10, quality={"psnr": 20 + i / 100})
    yield Event(kind="done", stage="splat", seconds=25.0, quality={"gaussians": 1000.0})
    yield Event(kind="skip", stage="export.ply", seconds=3.0)


def written(listener):
    lines = []
    listen = listener(lines.append)
    for event in events():
        listen(event)
    return lines


def test_lines_are_few_and_have_the_time_left():
    assert written(line_listener) == [
        "splat …",
        "splat  100 of 250, 15 s left  psnr 21",
        "splat  200 of 250, 5 s left  psnr 22",
        "splat  done in 25.0 s  gaussians 1000",
        "export.ply  kept",
    ]


def test_no_time_left_is_promised_while_more_may_follow():
    lines = []
    listen = line_listener(lines.append)
    listen(Event(kind="step", stage="poses", done=48, total=48, seconds=60.0))
    assert lines == ["poses  48 of 48"]


def test_lines_name_the_kind_of_work_and_another_round_of_it_is_reported_too():
    lines = []
    listen = line_listener(lines.append)
    for part, done, seconds in (
        ("features", 12, 20.0),
        ("pairs", 5, 12.0),
        ("pairs", 9, 29.0),
        ("pairs", 1, 0.5),
        ("pairs", 5, 11.0),
    ):
        listen(Event(kind="step", stage="poses", part=part, done=done, total=50, seconds=seconds))
    assert lines == [
        "poses features  12 of 50, 63 s left",
        "poses pairs  5 of 50, 108 s left",
        "poses pairs  9 of 50, 132 s left",
        "poses pairs  5 of 50, 99 s left",
    ]


def test_a_bar_counts_the_time_until_the_stage_is_done():
    clock = [0.0]
    screen = io.StringIO()
    with bar_listener(Console(file=screen, force_terminal=True, width=120, get_time=lambda: clock[0])) as listen:
        for seconds, kind in ((0.0, "start"), (5.0, "step"), (65.0, "done")):
            clock[0] = seconds
            listen(Event(kind=kind, stage="poses", done=48, total=48, seconds=seconds))
    assert "0:01:05" in screen.getvalue()


def test_a_run_of_a_batch_names_its_stage():
    event = Event(kind="step", stage="cat", part="splat", done=10, total=40, seconds=20.0)
    lines = []
    line_listener(lines.append)(event)
    json_listener(lines.append)(event)
    assert lines[0] == "cat splat  10 of 40, 60 s left"
    assert json.loads(lines[1])["part"] == "splat"
    screen = io.StringIO()
    with bar_listener(Console(file=screen, force_terminal=True, width=120)) as listen:
        listen(event)
    assert "cat splat" in screen.getvalue()


def test_figures_are_words_and_units_that_people_read():
    assert format_quality({"watertight": 0.0, "max_error_in_steps": 0.49}) == "watertight no, max error in steps 0.49"
    assert format_quality({"watertight": 1.0, "faces": 40000.0}) == "watertight yes, faces 40000"
    noise = {"rotation_error_deg": 3.831e-06, "psnr": 24.1378, "size": 23456.7, "shift": 0.0}
    assert format_quality(noise) == "rotation error deg <0.001, psnr 24.1, size 23457, shift 0"


def test_no_name_of_a_figure_is_cut_off_on_a_narrow_terminal():
    screen = io.StringIO()
    quality = {"rotation_error_deg": 0.25, "largest_error_in_steps": 0.5, "vertices": 12345.0}
    with bar_listener(Console(file=screen, force_terminal=True, width=90)) as listen:
        listen(Event(kind="done", stage="export.turntable", seconds=5.0, quality=quality))
    last = screen.getvalue().rpartition("export.turntable")[2]
    assert "…" not in screen.getvalue()
    for word in ("rotation", "largest", "steps", "vertices", "12345"):
        assert word in last


def test_json_lines_are_objects_and_not_too_many():
    lines = [json.loads(line) for line in written(json_listener)]
    assert lines[0] == {"event": "start", "stage": "splat"}
    steps = [line for line in lines if line["event"] == "step"]
    assert 100 < len(steps) < 130
    assert steps[-1] == {
        "event": "step", "stage": "splat", "done": 250, "total": 250, "seconds": 25.0, "quality": {"psnr": 22.5},
    }  # fmt: skip
    assert lines[-1]["event"] == "skip"


def test_numbers_that_json_lacks_become_null():
    text = format_json({"a": float("nan"), "b": {"c": float("inf"), "d": 1.5}, "e": "ü"})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": {"c": None, "d": 1.5}, "e": "ü"}


def test_bars_show_step_speed_and_quality():
    screen = io.StringIO()
    with bar_listener(Console(file=screen, force_terminal=True, width=120)) as listen:
        for event in events():
            listen(event)
    last = screen.getvalue().split("export.ply")[-2]
    assert "250/250" in last
    assert "10.0/s" in last
    assert "gaussians 1000" in last
    assert "kept" in screen.getvalue()
