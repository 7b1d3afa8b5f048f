import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from img2world.batch import Entry, name_entries, read_inputs
from img2world.core.errors import Img2WorldError, RunFolderError


@pytest.fixture
def folder(picture, tmp_path):
    """Two pictures whose names differ only in their ending, a broken one, and a file that is no picture."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(picture, pictures / "one.png")
    shutil.copy(picture, pictures / "one.webp")
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (pictures / "notes.txt").write_text("not for the batch")
    (pictures / ".hidden.png").write_bytes(b"")
    return pictures


@pytest.fixture
def batch(command, tiny, tmp_path):
    """Calls `img2world batch` with the tiny recipe."""
    sets = [word for change in [*tiny, "splat.steps=5"] for word in ("--set", change)]

    def call(inputs, *words, **kwargs):
        return command("batch", inputs, "--out", tmp_path / "out", *sets, *words, **kwargs)

    return call


def rows(out):
    with (out / "summary.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_failure_does_not_stop_the_rest_and_only_what_is_missing_is_done_again(batch, folder, tmp_path):
    out = tmp_path / "out"
    first = batch(folder, "--jobs", "2")
    assert first.returncode == 1, first.stderr
    assert "2 of 3 done" in first.stdout
    summary = rows(out)
    assert {name: row["state"] for name, row in summary.items()} == {"broken": "failed", "one": "done", "one-2": "done"}
    assert "broken" in summary["broken"]["error"]
    assert float(summary["one"]["heldout_psnr"]) > 5
    page = (out / "summary.html").read_text()
    assert 'href="one-2/exports/world.html"' in page
    assert (out / "one-2" / "exports" / "world.html").is_file()
    # A picture and six frames for each that is done.
    assert page.count("<img ") == 14
    before = {path: path.stat().st_mtime_ns for path in out.rglob("frames/*.png")}
    # The broken one is replaced by a good one, and another one comes in before the others.
    shutil.copy(folder / "one.png", folder / "broken.jpg")
    shutil.copy(folder / "one.png", folder / "aaa.png")
    second = batch(folder)
    assert second.returncode == 0, second.stderr
    assert set(rows(out)) == {"aaa", "broken", "one", "one-2"}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_events_of_a_batch_are_json(batch, folder):
    (folder / "one.webp").unlink()
    done = batch(folder, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "finished"
    assert (events[-1]["done"], events[-1]["failed"]) == (1, 1)
    assert [event["done"] for event in events if event.get("stage") == "batch"] == [1, 2]


def test_interrupted_batch_stops_its_runs_and_goes_on(batch, folder, tiny, tmp_path):
    (folder / "broken.jpg").unlink()
    sets = [word for change in [*tiny, "splat.steps=100000"] for word in ("--set", change)]
    out = tmp_path / "out"
    words = [sys.executable, "-m", "img2world.cli", "batch", str(folder), "--out", str(out), *sets]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (out / "one" / "frames").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    # The run was stopped too, so its folder is free.
    assert batch(folder).returncode == 0
    assert {row["state"] for row in rows(out).values()} == {"done"}


def test_run_that_is_killed_is_told_and_the_rest_goes_on(folder, tiny, tmp_path):
    out = tmp_path / "out"
    (folder / "broken.jpg").unlink()
    sets = [word for change in tiny for word in ("--set", change)]
    words = [sys.executable, "-m", "img2world.cli", "batch", str(folder), "--out", str(out), *sets]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        lock = out / "one" / ".lock"
        deadline = time.monotonic() + 60
        while not (lock.exists() and lock.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        subprocess.run(["kill", "-9", lock.read_text().strip()], check=True)
        process.communicate(timeout=120)
    assert process.returncode == 1
    assert {name: row["state"] for name, row in rows(out).items()} == {"one": "failed", "one-2": "done"}
    assert "killed" in rows(out)["one"]["error"]


def test_list_gives_names_and_recipes(batch, picture, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("name,input,recipe\nfirst,photo.png,\n../bad name,photo.png,fast\n,photo.png,\n", "utf-8-sig")
    done = batch(table)
    assert done.returncode == 0, done.stderr
    assert set(rows(tmp_path / "out")) == {"first", "_bad_name", "photo"}
    assert "steps = 5" in (tmp_path / "out" / "_bad_name" / "recipe.toml").read_text()


def test_list_without_header_is_its_first_column(picture, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("photo.png,x\n\nother.png,y\n")
    assert [entry.input for entry in read_inputs(table)] == [tmp_path / "photo.png", tmp_path / "other.png"]


def test_folder_gives_its_pictures(folder):
    assert [entry.input.name for entry in read_inputs(folder)] == ["broken.jpg", "one.png", "one.webp"]


@pytest.mark.parametrize("text", ["", "\n\n", "input\n", "name,input\na,\n", "\x00\xff"])
def test_useless_list_is_refused(tmp_path, text):
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
    # The same input twice is one run.
    assert len(name_entries([Entry(input=paths[0])] * 2, tmp_path)) == 1


def test_broken_list_of_names_is_refused(tmp_path):
    (tmp_path / "batch.json").write_text("{")
    with pytest.raises(RunFolderError, match="broken"):
        name_entries([Entry(input=Path("/a.png"))], tmp_path)
