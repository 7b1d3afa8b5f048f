"""`python -m evaluation`: help, results as text and JSON, and errors in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(monkeypatch, capsys):
    """Calls the program in this process; returns exit code, standard output and standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app()
        shown = capsys.readouterr()
        return ended.value.code or 0, shown.out, shown.err

    return call


def test_module_runs_from_a_checkout_and_names_its_commands():
    words = [sys.executable, "-m", "evaluation", "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for command in ("orbit", "poses", "depth", "doctor"):
        assert f"\n  {command} " in shown


@pytest.mark.parametrize("command", ["orbit", "poses", "depth", "doctor"])
def test_help_shows_examples(call, command):
    code, shown, _ = call(command, "--help")
    assert code == 0
    assert f"  python -m evaluation {command}" in shown


def test_orbit_prints_rows_and_means_and_keeps_them(call, tmp_path):
    method = "synthetic:supersample=1,num_parts=2"
    words = ["orbit", "--count", 1, "--rooms", 0, "--size", 64, "--backend", method, "--baseline", "copy", "--no-flip"]
    code, out, _ = call(*words, "--out", tmp_path, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    rows = [line for line in lines if line["event"] == "row"]
    means = [line for line in lines if line["event"] == "mean"]
    assert [(row["path"], row["method"]) for row in rows] == [
        (path, name) for path in ("static", "dynamic") for name in ("copy", method)
    ]
    assert [mean["metrics"] for mean in means] == [row["metrics"] for row in rows]
    code, out, _ = call(*words, "--out", tmp_path)
    assert code == 0
    assert "object-000" in out
    assert "| static | copy | 1 |" in (tmp_path / "means.md").read_text()


def test_poses_prints_tables_and_appends_rows(call, tmp_path):
    words = ["poses", "--solver", "commanded", "--path", "circle", "--degradation", "clean", "--count", 1, "--seeds", 1]
    words += ["--size", 64, "--rows", tmp_path / "rows.jsonl"]
    code, out, err = call(*words)
    assert code == 0
    assert "| circle | clean | commanded | 1 |" in out
    assert "object-00" in err
    assert json.loads((tmp_path / "rows.jsonl").read_text())["sample"] == "object-00"
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert "| circle | clean | commanded | 1 |" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["orbit", "--backend", "nanu", "--no-flip", "--out", "o"], "did you mean nano"),
        (["orbit", "--assets", "none", "--no-flip", "--out", "o"], "no 3D model found"),
        (["poses", "--solver", "colmop"], "did you mean colmap"),
        (["doctor", "--degradation", "hart"], "did you mean hard"),
    ],
)
def test_unusable_options_are_one_line_and_a_hint(call, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*words)
    assert (code, out) == (1, "")
    assert message in err
    assert err.startswith("img2world: ")
    assert "\n  hint: " in err
