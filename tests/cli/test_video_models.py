import json
import os

import pytest

from img2world.cli import video_models
from img2world.video import VIDEOS
from img2world.video.diffusion.cards import CARDS


@pytest.fixture
def call(call, monkeypatch, tmp_path):
    """Return a function that calls the program in this process, with its own settings: exit code, stdout, stderr."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return call


@pytest.fixture(scope="session")
def tiny_ltx(tmp_path_factory):
    """Return a tiny checkpoint of LTX-Video."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from tiny_checkpoints import MAKERS

    path = tmp_path_factory.mktemp("models") / "ltx"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MAKERS["ltx"]().save_pretrained(path)
    return path


def test_cards_are_complete():
    assert set(CARDS) < set(VIDEOS)
    for card in CARDS.values():
        assert card.width % card.multiple == card.height % card.multiple == 0
        assert (card.num_frames - 1) % card.step == 0
        assert card.licence.source
        assert (card.licence.conditions == "") == (card.licence.commercial_use == "yes")
        assert card.licence.verdict.startswith("commercial use: ")
        assert "territory: " in card.licence.verdict
        assert "(" in card.vram  # the source of the figure


def test_list_shows_repository_memory_licence_and_folder(call):
    pytest.importorskip("huggingface_hub")
    code, stdout, _ = call("models", "list")
    assert code == 0
    for name, card in CARDS.items():
        assert f"{name:<12} {card.repository}" in stdout
        assert card.licence.verdict in stdout
        assert card.vram in stdout
    assert "territory: not in the European Union" in stdout


def test_list_names_the_camera_control_of_each_model(call):
    lines = call("models", "list")[1].splitlines()
    shown = {
        line.split()[0]: lines[i + 1].strip() for i, line in enumerate(lines) if line.split()[:1] and i + 1 < len(lines)
    }
    assert shown["svd"].startswith("camera: none;")
    assert shown["wan"].startswith("camera: prompt;")
    assert shown["sana-wm"].startswith("camera: exact")


def test_list_without_the_hub_says_what_is_missing(call, monkeypatch):
    monkeypatch.setattr("img2world.video.diffusion.checkpoints.find_spec", lambda name: None)
    assert "on this machine: no (downloading needs huggingface_hub" in call("models", "list")[1]


def test_use_then_check_makes_a_tiny_clip(call, tiny_ltx):
    code, stdout, _ = call("models", "use", "ltx", tiny_ltx)
    assert code == 0
    assert f"ltx uses {tiny_ltx}" in stdout
    assert f"GB in {tiny_ltx}" in call("models", "list")[1]
    code, stdout, _ = call("models", "check", "ltx")
    assert code == 0
    assert "a full clip of 121 frames of 704x512: weights 0.0 GB" in stdout
    assert "tested: 9 frames of 64x64" in stdout
    assert "commercial use: conditional" in stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["get", "nano"], 1, "no video model nano"),
        (["check", "wann"], 1, "did you mean wan"),
        (["use", "ltx", "none"], 1, "no checkpoint of diffusers"),
        (["check", "hunyuan"], 1, "are not on this machine"),
        (["use", "ltx"], 2, "`models use` takes a name and a folder"),
        (["nano", "more"], 2, "`models nano` takes no further words"),
    ],
)
def test_wrong_arguments_are_one_line(call, words, code, message):
    pytest.importorskip("huggingface_hub")
    found, _, stderr = call("models", *words)
    assert found == code
    assert message in stderr
    assert "Traceback" not in stderr


def test_an_unreachable_hub_is_one_line(command, tmp_path):
    pytest.importorskip("huggingface_hub")
    # Nothing listens at this port.
    hub = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = command("models", "get", "svd", env={**os.environ, **hub})
    assert done.returncode == 1
    assert "the weights of svd cannot be downloaded" in done.stderr
    assert "hint: check the connection" in done.stderr
    assert "Traceback" not in done.stderr


def test_licence_verdict_is_in_every_report_of_a_world(call, picture, tiny_ltx, tmp_path):
    sets = [
        "trajectory.size=64", "trajectory.num_views=9", "trajectory.name=arc", "video.name=ltx", "subject.kind=scene",
        f"video.checkpoint={tiny_ltx}", "video.width=128", "video.height=96", "video.num_frames=9", "video.steps=1",
        "splat.steps=5", "splat.max_gaussians=300", "export.formats=ply",
    ]  # fmt: skip
    words = [word for change in sets for word in ("--set", change)]
    code, stdout, stderr = call("run", picture, "--out", tmp_path / "run", *words)
    assert code == 0, stderr
    verdict = CARDS["ltx"].licence.verdict
    assert f"ltx: {verdict}" in stdout
    note = json.loads((tmp_path / "run" / "run.json").read_text())["licence"]
    assert note["verdict"] == verdict
    assert note["weights"] == str(tiny_ltx)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["licence"] == note
    text = (tmp_path / "run" / "exports" / "LICENCE.txt").read_text()
    assert verdict[3:] in text
    assert "may have another licence" in text
    assert str(tiny_ltx) in (tmp_path / "run" / "recipe.toml").read_text()
    # With our own generator nothing of it is left.
    code, _, stderr = call("export", tmp_path / "run", "--set", "video.name=nano")
    assert code == 0, stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["licence"] is None
    assert not (tmp_path / "run" / "exports" / "LICENCE.txt").exists()


def test_recipe_is_gpu_where_a_gpu_and_weights_are(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from tiny_checkpoints import MAKERS

    from img2world.runs.recipe import load_recipe
    from img2world.video.diffusion import checkpoints

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(video_models, "device_and_free_gb", lambda: ("cuda", 80.0))
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    assert video_models.picture_recipe() == "auto"
    with torch.random.fork_rng():
        MAKERS["sana-wm"]().save_pretrained(tmp_path / "sana-wm")
    checkpoints.choose("sana-wm", tmp_path / "sana-wm")
    assert video_models.picture_recipe() == "gpu"
    assert type(load_recipe("gpu").video).__name__ == "SanaWmVideo"
    monkeypatch.setattr(video_models, "device_and_free_gb", lambda: ("cpu", 80.0))
    assert video_models.picture_recipe() == "auto"


def test_the_strictest_licence_decides():
    from img2world.video.diffusion.cards import licence_note, licence_text

    assert licence_note("nano", {"depth": "builtin"}) is None
    assert licence_note("nano", {"depth": "transformers", "depth_model": ""})["commercial_use"] == "yes"
    large = {"depth": "transformers", "depth_model": "depth-anything/Depth-Anything-V2-Large-hf", "checkpoint": ""}
    note = licence_note("wan-vace", large)
    assert note["commercial_use"] == "no"
    assert "Wan2.1-VACE" in note["others"]
    assert "Also used: wan-vace" in licence_text(note)
    assert licence_note("nano", {"depth": "transformers", "depth_model": "/mine"})["licence"] == "unknown"


def test_a_run_without_diffusers_imports_none_of_it(command, picture, tiny, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for package in ("diffusers", "transformers", "accelerate", "huggingface_hub"):
        (blocked / f"{package}.py").write_text(f"raise ImportError('{package} was imported')\n")
    sets = [word for change in tiny for word in ("--set", change)]
    done = command("run", picture, "--out", tmp_path / "run", *sets, env={**os.environ, "PYTHONPATH": str(blocked)})
    assert done.returncode == 0, done.stderr
