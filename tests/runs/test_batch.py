import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import Img2WorldError, RunFolderError
from img2world.pipeline import run
from img2world.runs.batch import name_entries
from img2world.runs.batch_list import Entry, read_inputs
from img2world.runs.batch_summary import Result, write_summary
from img2world.runs.folder import RunFolder
from img2world.runs.recipe import load_recipe
from img2world.runs.source import find_source


@pytest.fixture
def folder(picture, tmp_path):
    """A folder with a picture, a broken one, and files that are not inputs."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(picture, pictures / "one.png")
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (pictures / "notes.txt").write_text("not for the batch")
    (pictures / ".hidden.png").write_bytes(b"")
    return pictures


@pytest.fixture
def words(tiny, tmp_path):
    """Return a function for the command line of a batch with the tiny recipe."""

    def words(inputs, *more):
        sets = [word for change in [*tiny, *more] for word in ("--set", change)]
        program = [sys.executable, "-m", "img2world.cli", "batch", str(inputs)]
        return [*program, "--out", str(tmp_path / "out"), "--json", *sets]

    return words


def rows(out):
    with (out / "summary.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def lock_owner(lock):
    """Wait until a process locks a run folder and return its id."""
    deadline = time.monotonic() + 60
    while not (lock.exists() and lock.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return int(lock.read_text())


def test_failure_does_not_stop_the_rest_and_only_the_failed_run_is_repeated(words, folder, tmp_path):
    out = tmp_path / "out"
    first = subprocess.run([*words(folder), "--jobs", "2"], capture_output=True, text=True, check=False)
    assert first.returncode == 1, first.stderr
    events = [json.loads(line) for line in first.stdout.splitlines()]
    assert events[-1] == {"event": "finished", "out": str(out), "done": 1, "failed": 1}
    assert [event["done"] for event in events if event.get("stage") == "batch"][-1] == 2
    summary = rows(out)
    assert {name: row["state"] for name, row in summary.items()} == {"broken": "failed", "one": "done"}
    assert "broken" in summary["broken"]["error"]
    assert float(summary["one"]["heldout_psnr"]) > 5
    assert summary["one"]["grade"] in "ABCD"
    assert summary["one"]["reason"]
    page = (out / "summary.html").read_text()
    assert '<a href="one/report.html">report</a>' in page
    assert 'href="one/exports/world.html"' in page
    assert (out / "one" / "exports" / "world.html").is_file()
    assert "<th>peak memory, GB</th>" in page
    assert f'<td class="number">{float(summary["one"]["num_gaussians"]):,.0f}</td>' in page
    steps = [event for event in events if event["event"] == "step" and event["stage"] == "one"]
    assert {"video", "splat"} <= {event["part"] for event in steps}
    # The picture and six frames of the one that is done.
    assert page.count("<img ") == 7
    before = {path: path.stat().st_mtime_ns for path in (out / "one").rglob("*.png")}
    # The broken picture is replaced by a good one; the other run is left alone.
    shutil.copy(folder / "one.png", folder / "broken.jpg")
    second = subprocess.run(words(folder), capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert {row["state"] for row in rows(out).values()} == {"done"}
    assert {path: path.stat().st_mtime_ns for path in (out / "one").rglob("*.png")} == before


@pytest.fixture
def run_before(tiny, picture, tmp_path):
    """Return a function that puts a picture into a folder and runs it as a batch does, but in this process."""

    def run_before(path):
        path.parent.mkdir()
        shutil.copy(picture, path)
        out = tmp_path / "out"
        out.mkdir()
        (entry,) = name_entries(read_inputs(path.parent), out)
        run(find_source(path), load_recipe("auto", tiny), out / entry.name)

    return run_before


def test_changed_picture_is_run_again_in_its_folder(words, run_before, picture, tmp_path):
    pictures = tmp_path / "pictures"
    run_before(pictures / "one.png")
    with PillowImage.open(picture) as opened:
        changed = opened.rotate(180)
    changed.save(pictures / "one.png")
    again = subprocess.run(words(pictures), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout
    assert list(rows(tmp_path / "out")) == ["one"]
    with PillowImage.open(tmp_path / "out" / "one" / "input.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored.convert("RGB")), np.asarray(changed))


def test_interrupted_batch_stops_its_runs(words, folder, tmp_path):
    (folder / "broken.jpg").unlink()
    with subprocess.Popen(
        words(folder, "splat.steps=1000000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lock_owner(tmp_path / "out" / "one" / ".lock")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    # The run has stopped too, so its folder is free.
    with RunFolder.open(tmp_path / "out" / "one"):
        pass


def test_killed_run_is_reported_and_does_not_stop_the_rest(words, folder, tmp_path):
    (folder / "broken.jpg").rename(folder / "z.jpg")
    with subprocess.Popen(words(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.kill(lock_owner(tmp_path / "out" / "one" / ".lock"), signal.SIGKILL)
        process.communicate(timeout=120)
    assert process.returncode == 1
    summary = rows(tmp_path / "out")
    assert "killed" in summary["one"]["error"]
    assert "broken" in summary["z"]["error"]


def test_recipe_of_a_list_is_used(words, picture, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("recipe,input\natuo,photo.png\n")
    assert subprocess.run(words(table), capture_output=True, check=False).returncode == 1
    assert "no recipe atuo" in rows(tmp_path / "out")["photo"]["error"]


def test_list_gives_names_and_recipes(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("name,input,recipe\nfirst,photo.png,\n../bad name,photo.png,fast\n,photo.png,\n", "utf-8-sig")
    entries = read_inputs(table)
    assert {entry.input for entry in entries} == {tmp_path / "photo.png"}
    assert [entry.recipe for entry in entries] == ["", "fast", ""]
    assert [entry.name for entry in name_entries(entries, tmp_path)] == ["first", "_bad_name", "photo"]


def test_list_without_header_is_its_first_column(picture, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("photo.png,x\n\nother.png,y\n")
    assert [entry.input for entry in read_inputs(table)] == [tmp_path / "photo.png", tmp_path / "other.png"]


def test_folder_gives_its_pictures(folder):
    assert [entry.input.name for entry in read_inputs(folder)] == ["broken.jpg", "one.png"]


@pytest.mark.parametrize("text", ["", "\n\n", "input\n", "name,input\na,\n", "\x00\xff", "input\na\x00.png"])
def test_unusable_list_is_refused(tmp_path, text):
    (tmp_path / "list.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(Img2WorldError):
        read_inputs(tmp_path / "list.csv")


def test_names_are_safe_unique_and_stay_the_same(tmp_path):
    paths = [Path("/a/x.png"), Path("/b/x.png"), Path("/a/logs.png"), Path("/a/..png"), Path("/a/ü b/c d.png")]
    first = name_entries([Entry(input=path) for path in paths], tmp_path)
    names = [entry.name for entry in first]
    assert names[:2] == ["x", "x-2"]
    assert len(set(names)) == len(paths)
    assert not any(name.startswith(".") or "/" in name or name == "logs" for name in names)
    again = name_entries([Entry(input=path) for path in reversed(paths)], tmp_path)
    assert [entry.name for entry in again] == names[::-1]
    # An input that is listed twice is one run.
    assert len(name_entries([Entry(input=paths[0])] * 2, tmp_path)) == 1


def test_run_folders_do_not_take_the_names_of_the_batchs_own_files(tmp_path):
    paths = [Path(f"/a/{name}.png") for name in ("summary.html", "Summary.csv", "batch.json", "logs")]
    names = {entry.name.lower() for entry in name_entries([Entry(input=path) for path in paths], tmp_path)}
    assert names == {"summary.html-2", "summary.csv-2", "batch.json-2", "logs-2"}


def test_file_name_that_is_not_utf_8_is_an_input_like_any_other(words, run_before, tmp_path):
    """As for a picture from an old archive, whose name is in Latin-1."""
    folder = tmp_path / "pictures"
    latin, broken = (folder / os.fsdecode(name) for name in (b"caf\xe9.png", b"\xe9.jpg"))
    run_before(latin)
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    process = subprocess.run(words(folder), capture_output=True, check=False)
    assert process.returncode == 1, process.stderr
    assert json.loads(process.stdout.splitlines()[-1])["done"] == 1
    summary = {row["input"]: row["state"] for row in rows(tmp_path / "out").values()}
    assert summary == {f"{folder}/caf\ufffd.png": "done", f"{folder}/\ufffd.jpg": "failed"}
    (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    # The name is found again.
    assert [entry.name for entry in name_entries([Entry(input=latin)], tmp_path / "out")] == ["caf_"]


@pytest.mark.parametrize("text", ["{", "3", "[1]", '{"a": ["b"]}'])
def test_broken_list_of_names_is_refused(tmp_path, text):
    (tmp_path / "batch.json").write_text(text)
    with pytest.raises(RunFolderError, match="broken"):
        name_entries([Entry(input=Path("/a.png"))], tmp_path)


def test_figures_of_the_page_are_written_for_people(tmp_path):
    metrics = {"heldout_psnr": 24.1234, "num_gaussians": 39740.0, "peak_rss_gb": 1.25, "seconds": 31.7}
    why = "edges bend & wobble"
    result = Result(
        input="a.png", name="a", state="done", error="", seconds=32.0, grade="C", reason=why, metrics=metrics
    )
    write_summary([result], tmp_path)
    page = (tmp_path / "summary.html").read_text()
    cells = re.findall(r'<td class="number">(.*?)</td>', page)
    assert cells == ["24.1", "", "", "39,740", "32", "1.25"]
    assert len(re.findall("<th>", page)) == len(cells) + 3
    assert "<td><b>C</b><br><small>edges bend &amp; wobble</small></td>" in page
    assert rows(tmp_path)["a"]["grade"] == "C"
    assert rows(tmp_path)["a"]["reason"] == why
    assert rows(tmp_path)["a"]["num_gaussians"] == "39740"
