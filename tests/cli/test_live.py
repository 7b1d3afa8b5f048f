"""--live: what the terminal says, and that a run that is watched gives what any other gives."""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from img2world.cli.live import address_lines, has_display
from img2world.runs.report import summary_lines

URL = "http://127.0.0.1:4321/name/"


def test_a_display_gets_the_address_alone():
    assert list(address_lines(URL, {"DISPLAY": ":0"})) == [f"live: {URL}"]


def test_over_ssh_there_is_a_line_to_paste():
    ssh = {"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.5 2222", "DISPLAY": "localhost:10.0"}
    line = list(address_lines(URL, ssh))[-1].strip()
    assert line.startswith("ssh -p 2222 -L 4321:127.0.0.1:4321 ")
    assert line.endswith("@10.0.0.5")
    usual = {"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.5 22"}
    assert list(address_lines(URL, usual))[-1].strip().startswith("ssh -L 4321:127.0.0.1:4321 ")


def test_without_a_display_or_ssh_there_is_one_too(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert not has_display({})
    assert "-L 4321:127.0.0.1:4321" in list(address_lines(URL, {}))[-1]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert has_display({})


@pytest.mark.parametrize("words", [["--port", "8000"], ["--no-browser"]])
def test_options_of_the_page_need_it(call, picture, words):
    code, _, error = call("run", picture, *words)
    assert code == 2
    assert "--live" in error


def stages_of(run: Path) -> dict[str, tuple[str, dict]]:
    """Return the key and the digests of the files of each stage."""
    stages = json.loads((run / "run.json").read_text())["stages"]
    return {name: (entry["key"], entry["files"]) for name, entry in stages.items()}


def test_a_run_that_is_served_and_watched_makes_the_same_bytes(finished, tiny, tmp_path):
    source = json.loads((finished / "run.json").read_text())["source"]["path"]
    sets = [word for change in tiny for word in ("--set", change)]
    words = ["run", source, "--out", str(tmp_path / "run"), *sets, "--live", "--no-browser", "--json"]
    program = [sys.executable, "-m", "img2world.cli", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        assert event["event"] == "live"
        parts = urlsplit(event["url"])
        scenes, revision = [], 0
        while process.poll() is None:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=15)
            try:
                connection.request("GET", f"{parts.path}scene?after={revision}")
                reply = connection.getresponse()
                scenes.append(reply.read())
                revision = int(reply.headers["X-Revision"] or revision)
            except (OSError, http.client.HTTPException):
                break
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["event"] == "finished"
    # Cameras, points, and the scene at least.
    assert revision >= 3
    assert len(scenes[-1]) > 1000
    assert stages_of(tmp_path / "run") == stages_of(finished)


def test_ctrl_c_is_an_interrupt_as_ever(tiny, picture, tmp_path):
    sets = [word for change in [*tiny, "splat.steps=100000"] for word in ("--set", change)]
    words = ["run", str(picture), "--out", str(tmp_path / "run"), *sets, "--live", "--no-browser", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "img2world.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["stage"] == "splat":
                break
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert json.loads((tmp_path / "run/run.json").read_text())["stages"]["splat"]["state"] == "interrupted"


def test_the_summary_says_where_a_training_was_stopped(finished):
    report = json.loads((finished / "report.json").read_text())
    assert not any("stopped" in line for line in summary_lines(finished, report))
    report["metrics"]["stopped_at"] = 412.0
    lines = [line for line in summary_lines(finished, report) if "stopped" in line]
    assert len(lines) == 1
    said, _, command = lines[0].partition("; to train it in full: ")
    assert said == "  splat   stopped early, at step 412"
    words = shlex.split(command)[1:]
    assert words[:2] == ["run", report["source"]["path"]]
    assert words[2:] == ["--recipe", f"{finished}/recipe.toml", "--out", str(finished), "--fresh"]
