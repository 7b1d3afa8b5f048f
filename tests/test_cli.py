import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_help_names_every_command(command):
    shown = command("--help")
    assert shown.returncode == 0
    for name in (
        "run",
        "generate",
        "poses",
        "splat",
        "export",
        "view",
        "doctor",
        "recipes",
        "models",
        "formats",
        "batch",
    ):
        assert f"\n  {name} " in shown.stdout
        one = command(name, "--help")
        assert one.returncode == 0
        assert "Usage" in one.stdout


def test_help_imports_nothing_heavy():
    program = (
        "import sys, img2world.cli; print([m for m in ('numpy', 'torch', 'cv2', 'rich', 'PIL') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_version_is_that_of_the_package(command):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert command("--version").stdout.strip() == f"img2world {version}"


def test_launcher_of_a_checkout_works(tmp_path):
    shown = subprocess.run(
        [sys.executable, ROOT / "cli.py", "recipes"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "auto" in shown.stdout


def test_run_shows_where_to_look(tiny_run, tmp_path):
    done = tiny_run()
    assert done.returncode == 0, done.stderr
    assert f"img2world view {tmp_path / 'run'}" in done.stdout
    assert "dB" in done.stdout
    assert "splat  done in" in done.stderr


def test_json_is_one_object_per_line(tiny_run):
    done = tiny_run("--json")
    events = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert events[0] == {"event": "start", "stage": "input"}
    assert events[-1]["event"] == "finished"
    assert events[-1]["metrics"]["heldout_psnr"] > 5
    steps = [event for event in events if event["event"] == "step" and event["stage"] == "splat"]
    assert steps[-1]["done"] == steps[-1]["total"] == 20
    again = [json.loads(line) for line in tiny_run("--json").stdout.splitlines()]
    assert {event["event"] for event in again} == {"skip", "finished"}


def test_stages_run_alone(finished, command, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    done = command("splat", run, "--set", "splat.steps=10")
    assert done.returncode == 0
    assert "splat  done" in done.stderr
    assert "poses  kept" in done.stderr
    assert tomllib.loads((run / "recipe.toml").read_text())["splat"]["steps"] == 10
    done = command("export", run, "dataset")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (run / "exports").iterdir()) == ["dataset", "scene.ply", "world.html"]
    assert "video  done" in command("generate", run, "--fresh").stderr
    assert "poses  done" in command("poses", run, "--fresh").stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none.png"], "cannot be read"),
        (["run", "text.png"], "not a picture"),
        (["run", "photo.png", "--recipe", "atuo"], "no recipe atuo"),
        (["run", "photo.png", "--set", "splat.step=1"], "splat has no step"),
        (["run", "photo.png", "--out", "text.png"], "cannot be written"),
        (["run", "photo.png", "--out", "."], "not empty and not a run folder"),
        (["run", "."], "no run folder"),
        (["splat", "."], "no run folder"),
        (["splat", "none"], "no run folder"),
        (["view", "none"], "cannot be read"),
        (["models", "nanoo"], "no backend nanoo"),
        (["batch", "none.csv", "--out", "b"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_a_hint(command, picture, tmp_path, words, message):
    (tmp_path / "text.png").write_text("no picture")
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("img2world: ")
    assert second.startswith("  hint: ")
    if words != ["run", "."]:
        assert message in first


def test_error_is_told_in_json_too(command, tmp_path):
    done = command("run", tmp_path / "none.png", "--json")
    assert done.returncode == 1
    event = json.loads(done.stdout)
    assert event["event"] == "error"
    assert event["hint"]


@pytest.mark.parametrize("words", [["run"], ["nothing"], ["run", "a.png", "--nothing"], ["batch", "x"]])
def test_wrong_usage_is_exit_code_2(command, words):
    done = command(*words)
    assert done.returncode == 2
    assert "Usage" in done.stderr


def test_interrupted_run_says_so_and_goes_on(tiny_run, picture, tiny, tmp_path):
    sets = [word for change in [*tiny, "splat.steps=100000"] for word in ("--set", change)]
    words = [
        sys.executable,
        "-m",
        "img2world.cli",
        "run",
        str(picture),
        "--out",
        str(tmp_path / "run"),
        "--json",
        *sets,
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if json.loads(line) == {"event": "start", "stage": "splat"}:
                time.sleep(0.3)
                process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == 130
    assert "the same command goes on" in error
    assert "Traceback" not in error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["stages"]["splat"]["state"] == "interrupted"
    done = tiny_run()
    assert done.returncode == 0
    assert "poses  kept" in done.stderr


def test_second_run_on_the_same_folder_is_refused(tiny_run, picture, tiny, tmp_path):
    sets = [word for change in [*tiny, "splat.steps=100000"] for word in ("--set", change)]
    words = [
        sys.executable,
        "-m",
        "img2world.cli",
        "run",
        str(picture),
        "--out",
        str(tmp_path / "run"),
        "--json",
        *sets,
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            process.stdout.readline()
            second = tiny_run()
        finally:
            process.kill()
    assert second.returncode == 1
    assert f"in use by process {process.pid}" in second.stderr


def test_closed_pipe_ends_the_run_quietly(picture, tiny, tmp_path):
    sets = [word for change in [*tiny, "splat.steps=100000"] for word in ("--set", change)]
    words = [
        sys.executable,
        "-m",
        "img2world.cli",
        "run",
        str(picture),
        "--out",
        str(tmp_path / "run"),
        "--json",
        *sets,
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=120) == 1
        assert "Traceback" not in process.stderr.read()


def test_lists_name_everything(command):
    assert "fast" in command("recipes").stdout
    models = command("models").stdout
    for name in ("nano", "commanded", "colmap", "gaussians", "native", "orbit"):
        assert f"\n  {name} " in models
    assert "--set splat.steps=" in command("models", "gaussians").stdout
    formats = command("formats").stdout
    assert "exports/scene.ply" in formats
    assert "exports/world.html" in formats


def test_doctor_is_readable_by_programs(command):
    done = command("doctor", "--json")
    assert done.returncode == 0
    findings = {finding["name"]: finding for finding in map(json.loads, done.stdout.splitlines())}
    assert findings["rasterizer"]["found"].split(",")[0] in ("native", "gsplat", "reference")
    assert {"python", "torch", "memory", "disk", "browser", "av"} <= set(findings)
    assert "rasterizer" in command("doctor").stdout


def test_bars_are_drawn_in_a_terminal(picture, tiny, tmp_path):
    sets = [word for change in tiny for word in ("--set", change)]
    words = [sys.executable, "-m", "img2world.cli", "run", str(picture), "--out", str(tmp_path / "run"), *sets]
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(words, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}):
        os.close(theirs)
        # Linux ends a terminal whose other side is closed with an error.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 4096):
                shown += data
    os.close(ours)
    assert "20/20" in shown.decode()
    assert "━" in shown.decode()
