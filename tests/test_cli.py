import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from img2world.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]
COMMANDS = (
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
)


@pytest.fixture
def tiny_call(call, picture, tiny, tmp_path):
    """Return a function that calls `img2world run` on the small picture with the tiny recipe."""
    sets = [word for change in tiny for word in ("--set", change)]
    return lambda *words: call("run", picture, "--out", tmp_path / "run", *sets, *words)


@pytest.fixture
def endless(picture, tiny, tmp_path):
    """Return a function that starts a run which would train for minutes, and returns when it is training."""
    started = []

    def start():
        sets = [word for change in [*tiny, "splat.steps=1000000"] for word in ("--set", change)]
        words = [sys.executable, "-m", "img2world.cli", "run", str(picture), "--out", str(tmp_path / "run"), "--json"]
        process = subprocess.Popen([*words, *sets], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        lines = (json.loads(line) for line in process.stdout)
        assert any(line["event"] == "step" and line["stage"] == "splat" for line in lines)
        return process

    yield start
    for process in started:
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()


def test_help_names_every_command(call):
    code, stdout, _ = call("--help")
    assert code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in stdout
        code, help_text, _ = call(name, "--help")
        assert code == 0
        assert "Usage" in help_text


def test_help_cuts_no_description_off_and_says_where_options_are_listed(call):
    assert "..." not in call("--help")[1].replace("[ARGS]...", "")
    words = " ".join(call("run", "--help")[1].split())
    assert "`img2world models NAME` lists the options of a backend" in words
    assert "seed, metric and size have no section" in words


def test_help_imports_nothing_heavy():
    program = (
        "import sys, img2world.cli; print([m for m in ('numpy', 'torch', 'cv2', 'rich', 'PIL') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_version_is_that_of_the_project(call):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert call("--version") == (0, f"img2world {version}\n", "")


def test_launcher_in_a_checkout_works(tmp_path):
    words = [sys.executable, ROOT / "cli.py", "--version"]
    assert "img2world" in subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path).stdout


def test_run_prints_where_the_results_are(tiny_call, finished, tmp_path):
    code, stdout, stderr = tiny_call()
    assert code == 0
    assert f"img2world view {tmp_path / 'run'}" in stdout
    assert re.search(r"quality +[ABCD]: ", stdout)
    assert "splat  done in" in stderr
    code, _, stderr = tiny_call()
    assert "splat  kept" in stderr


def test_json_is_one_object_per_line(tiny_call, tmp_path):
    code, stdout, _ = tiny_call("--json")
    assert code == 0
    events = [json.loads(line, parse_constant=pytest.fail) for line in stdout.splitlines()]
    assert events[0] == {"event": "start", "stage": "input"}
    assert events[-1]["event"] == "finished"
    assert events[-1]["metrics"]["heldout_psnr"] > 5
    steps = [event for event in events if event["event"] == "step" and event["stage"] == "splat"]
    assert steps[-1]["done"] == steps[-1]["total"] == 20


def test_stages_run_alone(finished, call, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    code, _, stderr = call("splat", run, "--set", "splat.steps=10")
    assert code == 0
    assert "splat  done" in stderr
    assert "poses  kept" in stderr
    assert "export" not in stderr
    assert tomllib.loads((run / "recipe.toml").read_text())["splat"]["steps"] == 10
    code, _, stderr = call("export", run, "dataset")
    assert code == 0
    assert sorted(path.name for path in (run / "exports").iterdir()) == ["dataset", "scene.ply", "world.html"]
    assert "video  done" in call("generate", run, "--fresh")[2]
    assert "poses  done" in call("poses", run, "--fresh")[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none.png"], "cannot be read"),
        (["run", "text.png", "--out", "new"], "not a picture"),
        (["run", "photo.png", "--recipe", "atuo"], "no recipe atuo"),
        (["run", "photo.png", "--set", "splat.step=1"], "splat has no step"),
        (["run", "photo.png", "--seed", "-1"], "seed is -1"),
        (["run", "photo.png", "--out", "text.png"], "cannot be written"),
        (["run", "photo.png", "--out", "."], "not empty and not a run folder"),
        (["splat", "."], "not a run folder"),
        (["splat", "none"], "not a run folder"),
        (["view", "none"], "nothing at none"),
        (["run", "photo.png", "--quality", "high"], "--quality is for videos"),
        (["run", "photo.png", "--quality", "hihg"], "no quality hihg"),
        (["run", "photo.png", "--set", "export.formats=ply,i2w,brush"], "i2w, brush are for what moves"),
        (["view", "photo.png"], "not a page"),
        (["export", "photo.png"], "no splat format"),
        (["run", "/dev/zero"], "neither a file nor a folder"),
        (["models", "nanoo"], "no backend nanoo"),
        (["batch", "none.csv", "--out", "b"], "cannot be read"),
        (["batch", "photo.png", "--out", "b"], "cannot be read"),
    ],
)
def test_unusable_input_is_one_line_and_a_hint(call, picture, tmp_path, monkeypatch, words, message):
    (tmp_path / "text.png").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, _, stderr = call(*words)
    assert code == 1
    assert sorted(tmp_path.rglob("*")) == before
    first, second = [line for line in stderr.splitlines() if not line.endswith("…")]
    assert first.startswith("img2world: ")
    assert message in first
    assert second.startswith("  hint: ")


def test_error_is_json_too(call, tmp_path):
    code, stdout, _ = call("run", tmp_path / "none.png", "--json")
    assert code == 1
    event = json.loads(stdout)
    assert event["event"] == "error"
    assert event["hint"]


@pytest.mark.parametrize("words", [["run"], ["nothing"], ["run", "a.png", "--nothing"], ["batch", "x"]])
def test_wrong_usage_is_exit_code_2(call, words):
    code, _, stderr = call(*words)
    assert code == 2
    assert "Usage" in stderr


def test_interrupted_run_says_so_and_resumes(endless, tiny_call, tmp_path):
    process = endless()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to resume" in stderr
    assert "Traceback" not in stderr
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["stages"]["splat"]["state"] == "interrupted"
    code, _, stderr = tiny_call()
    assert code == 0
    assert "poses  kept" in stderr


def test_second_run_is_refused_and_a_closed_pipe_ends_the_first(endless, tiny_call, tmp_path):
    process = endless()
    code, _, stderr = tiny_call()
    assert code == 1
    assert f"in use by process {process.pid}" in stderr
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert "Traceback" not in process.stderr.read()
    with RunFolder.open(tmp_path / "run") as folder:
        assert folder.record("poses")


def test_lists_name_everything(call):
    assert "\nfast " in call("recipes")[1]
    models = call("models")[1]
    for name in ("nano", "commanded", "colmap", "gaussians", "native", "orbit"):
        assert f"\n  {name} " in models
    assert "--set splat.steps=" in call("models", "gaussians")[1]
    assert "--set export.mesh.max_faces=" in call("models", "export.mesh")[1]
    assert tomllib.loads(call("recipes", "fast")[1]) == tomllib.loads((ROOT / "pipelines" / "fast.toml").read_text())
    assert "no recipe fsat" in call("recipes", "fsat")[2]
    formats = call("formats")[1]
    assert formats.count("scene.ply") == 1
    assert "exports/scene.ply: all parameters" in formats
    assert "exports/world.html" in formats


def test_doctor_prints_text_and_json(call):
    code, stdout, _ = call("doctor", "--json")
    assert code == 0
    findings = {finding["name"]: finding for finding in map(json.loads, stdout.splitlines())}
    assert {"python", "rasterizer", "torch", "memory", "disk", "browser", "av"} <= set(findings)
    assert findings["rasterizer"]["found"] in call("doctor")[1]
