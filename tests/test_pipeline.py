import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.errors import ImageError, RecipeError, RejectedError, RunFolderError, VideoError
from img2world.core.frames import Frames
from img2world.core.pose_report import PoseReport
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.pipeline import STAGES, run
from img2world.runs.folder import RunFolder, read_manifest
from img2world.runs.recipe import load_recipe
from img2world.runs.refusals import check_cameras
from img2world.runs.report import summary_lines
from img2world.runs.source import find_source, source_of_run


def product_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that a run makes, without those that hold times."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in ("run.json", "report.json", "report.html", ".lock")
    }


@pytest.fixture
def calm(finished) -> dict[str, str]:
    """The hashes of an undisturbed run."""
    return product_hashes(finished)


@pytest.fixture
def go(picture, tiny, tmp_path):
    """Runs the tiny recipe in this process; gives the report and what the stages did."""

    def call(*changes, out="run", source=picture, recipe="auto", **how):
        told = []
        report = run(
            find_source(source), load_recipe(recipe, [*tiny, *changes]), tmp_path / out, listen=told.append, **how
        )
        return report, {event.stage: event.kind for event in told if event.kind in ("done", "skip")}

    return call


@pytest.fixture
def again(go, finished, tmp_path):
    """Runs the tiny recipe in a copy of the finished run; gives the stages that were done and the others."""
    shutil.copytree(finished, tmp_path / "run")

    def call(*changes, **how):
        _, stages = go(*changes, **how)
        return tuple({name for name, kind in stages.items() if kind == wanted} for wanted in ("done", "skip"))

    return call


def test_run_makes_every_product(finished):
    frames, views = Frames.load(finished / "frames"), Views.load(finished / "views")
    scene = Scene.load(finished / "scene" / "scene.safetensors")
    np.testing.assert_array_equal(frames.rgb, views.rgb)
    assert len(frames) == len(scene.cameras) == 6
    for name in ("video.mp4", "input.png", "recipe.toml", "exports/scene.ply", "exports/world.html"):
        assert (finished / name).stat().st_size > 0
    metrics = json.loads((finished / "report.json").read_text())["metrics"]
    wanted = ("train_psnr", "heldout_psnr", "heldout_ssim", "seconds", "peak_rss_gb", "seconds_video")
    assert all(np.isfinite(metrics[name]) for name in wanted)
    quality = json.loads((finished / "report.json").read_text())["quality"]
    assert quality["grade"] in "ABCD"
    assert quality["reason"]
    assert {"fidelity", "detail", "unseen", "stretched", "parallax"} <= set(quality)
    parts = [value for name, value in metrics.items() if name.startswith("seconds_")]
    assert metrics["seconds"] == pytest.approx(sum(parts), abs=0.01)
    # Torch alone takes more than this, and nothing here takes more than that.
    assert 0.1 < metrics["peak_rss_gb"] < 4


def test_report_names_what_read_each_file_back(finished):
    report = json.loads((finished / "report.json").read_text())
    assert list(report["files"]) == ["exports/scene.ply", "exports/world.html"]
    ply, page = report["files"].values()
    assert ply["reader"] == f"gaussforge {version('gaussforge')}"
    assert ply["gaussians"] == len(Scene.load(finished / "scene" / "scene.safetensors").gaussians)
    assert ply["bytes"] == (finished / "exports" / "scene.ply").stat().st_size
    assert page["reader"] == f"img2world {version('img2world')}"
    # Metrics are numbers.
    assert all(isinstance(value, float | int) for value in report["metrics"].values())
    assert report["metrics"]["ply_gaussians"] == ply["gaussians"]


def test_manifest_tells_of_every_file(finished):
    manifest = read_manifest(finished)
    assert list(manifest["stages"]) == [
        "input", "trajectory", "video", "doctor", "poses", "splat", "measure", "quality", "comparison",
        "export.ply", "export.html",
    ]  # fmt: skip
    files = {name: digest for entry in manifest["stages"].values() for name, digest in entry["files"].items()}
    calm = product_hashes(finished)
    assert files == {name: digest for name, digest in calm.items() if name != "recipe.toml"}
    assert manifest["source"]["sha256"] == hashlib.sha256((finished.parent / "photo.png").read_bytes()).hexdigest()
    assert manifest["machine"]["versions"]["torch"]


def test_second_run_does_nothing_and_changes_nothing(again, calm, tmp_path):
    made, kept = again()
    assert not made
    assert len(kept) == 11
    assert product_hashes(tmp_path / "run") == calm


def test_same_input_and_recipe_give_the_same_bytes_elsewhere(calm, picture, finished, tmp_path):
    copy = shutil.copy(picture, tmp_path / "other name.png")
    run(find_source(Path(copy)), load_recipe(str(finished / "recipe.toml")), tmp_path / "other")
    assert product_hashes(tmp_path / "other") == calm


def test_changed_option_redoes_only_what_depends_on_it(again):
    made, _ = again("splat.steps=10")
    assert made == {"splat", "measure", "quality", "comparison", "export.ply", "export.html"}
    made, _ = again("splat.steps=10", "export.ply.full_sh=true")
    assert made == {"export.ply"}


def test_a_height_in_metres_only_writes_the_files_anew(again, tmp_path):
    made, _ = again("metric=1.8")
    assert made == {"measure", "export.ply", "export.html"}
    world = json.loads((tmp_path / "run" / "world.json").read_text())
    assert world["height"] * world["metres_per_unit"] == pytest.approx(1.8)
    ply, scene = (tmp_path / "run" / name for name in ("exports/scene.ply", "scene/scene.safetensors"))
    from trimesh.exchange.ply import load_ply

    from img2world.core.scene import Scene

    with ply.open("rb") as file:
        written = load_ply(file)["metadata"]["_ply_raw"]["vertex"]["data"]["y"]
    above_ground = Scene.load(scene).gaussians.means[:, 1] - world["ground"]
    assert np.allclose(written, above_ground * world["metres_per_unit"], atol=1e-5)


def test_the_supported_region_is_in_report_and_page(finished):
    from img2world.export.html import read_world_html

    region = json.loads((finished / "world.json").read_text())["supported"]
    page, *_ = read_world_html((finished / "exports" / "world.html").read_text(encoding="utf-8"))
    assert page["supported"] == region
    reported = json.loads((finished / "report.json").read_text())["supported"]
    assert reported["left"] == reported["right"] == 180
    assert reported["up"] == pytest.approx(np.degrees(region["elevation"][1]), abs=0.06)
    assert reported["near"] == pytest.approx(region["distance"][0], abs=1e-3)


def test_seed_changes_the_result(go, calm, tmp_path):
    go("seed=1", last="video")
    assert product_hashes(tmp_path / "run")["frames/0000.png"] != calm["frames/0000.png"]


def test_fresh_redoes_everything_the_same(again, calm, tmp_path):
    made, kept = again(fresh=STAGES)
    assert len(made) == 11
    assert not kept
    assert product_hashes(tmp_path / "run") == calm


def test_stops_after_the_last_stage_and_goes_on_from_there(go, tmp_path):
    report, _ = go(last="poses")
    assert not (tmp_path / "run" / "scene").exists()
    assert "heldout_psnr" not in report["metrics"]
    _, stages = go(last="splat")
    assert {name for name, kind in stages.items() if kind == "skip"} == {
        "input", "trajectory", "video", "doctor", "poses",
    }  # fmt: skip


def test_what_new_cameras_leave_behind_is_out_of_date(go, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    report, _ = go(last="poses")
    assert report["unfinished"] == []
    assert report["quality"]
    report, _ = go("trajectory.elevation_deg=25", last="poses")
    later = ["splat", "measure", "quality", "comparison", "export.ply", "export.html"]
    assert sorted(report["unfinished"]) == sorted(later)
    assert not report["quality"]
    assert not report["files"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "out of date" in page
    assert 'href="exports/world.html"' not in page
    lines = list(summary_lines(tmp_path / "run", report))
    assert any("out of date: splat, " in line and f"--out {tmp_path / 'run'}" in line for line in lines)
    assert not any("world.html" in line for line in lines)
    report, _ = go("trajectory.elevation_deg=25")
    assert report["unfinished"] == []
    assert report["quality"]


def test_outdated_exports_go_and_others_stay(again, tmp_path):
    again("export.formats=ply")
    assert (tmp_path / "run" / "exports" / "world.html").exists()
    again("export.formats=ply", "splat.steps=10")
    assert not (tmp_path / "run" / "exports" / "world.html").exists()


def test_damaged_product_is_repaired(again, calm, tmp_path):
    (tmp_path / "run" / "frames" / "0003.png").write_bytes(b"")
    (tmp_path / "run" / "exports" / "scene.ply").unlink()
    made, _ = again()
    assert made == {"video", "export.ply"}
    assert product_hashes(tmp_path / "run") == calm


@pytest.mark.parametrize("name", ["doctor.json", "views/transforms.json"])
@pytest.mark.parametrize("damage", ["change", "remove"])
def test_damaged_product_of_a_later_stage_is_left_out_of_the_report(go, finished, tmp_path, name, damage):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if damage == "change":
        (tmp_path / "run" / name).write_text("[{")
    report, told = go(last="video")
    assert set(told.values()) == {"skip"}
    assert report["cameras"] == (None if "views" in name else {"solver": "commanded"})
    # The whole picture is taken for the object.
    assert [finding["kind"] for finding in report["findings"]] == ([] if "doctor" in name else ["cropped"])


def test_another_picture_is_refused_unless_fresh(go, picture, tmp_path):
    go(last="input")
    other = tmp_path / "other.png"
    PillowImage.open(picture).rotate(180).save(other)
    before = product_hashes(tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"another source, photo\.png"):
        go(source=other, last="input")
    assert product_hashes(tmp_path / "run") == before
    go(source=other, last="input", fresh=STAGES)
    assert product_hashes(tmp_path / "run") != before


def test_nothing_of_another_source_stays(go, finished, picture, tmp_path):
    """Not even of the stages that the new run does not reach or does not have."""
    video = find_source(finished / "video.mp4")
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "exports" / "notes.txt").write_text("the user's own")
    run(video, load_recipe("video", ["video.num_frames=4"]), tmp_path / "run", last="video", fresh=STAGES)
    kept = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")}
    assert kept == {
        "exports",
        "frames",
        "input.png",
        "recipe.toml",
        "report.html",
        "report.json",
        "run.json",
        "video.mp4",
    }
    assert [path.name for path in (tmp_path / "run" / "exports").iterdir()] == ["notes.txt"]
    go(source=picture, last="video", fresh=STAGES)
    assert go(last="video")[1] == {"input": "skip", "trajectory": "skip", "video": "skip"}


def test_stage_of_a_run_needs_no_source_any_more(again, calm, picture, tmp_path):
    picture.unlink()
    source = source_of_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "views")
    run(source, load_recipe(str(tmp_path / "run" / "recipe.toml")), tmp_path / "run")
    assert product_hashes(tmp_path / "run") == calm


def test_video_can_be_the_source_and_gives_the_input_picture(finished, tmp_path):
    recipe = load_recipe("video", ["video.num_frames=4"])
    run(find_source(finished / "video.mp4"), recipe, tmp_path / "run", last="video")
    frames = Frames.load(tmp_path / "run" / "frames")
    assert len(frames) == 4
    with PillowImage.open(tmp_path / "run" / "input.png") as first:
        np.testing.assert_array_equal(np.asarray(first), frames.rgb[0])
    assert str(finished / "video.mp4") in (tmp_path / "run" / "recipe.toml").read_text()


def test_sources_are_told_apart_by_content(finished, picture, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(picture, photos)
    still, moving = tmp_path / "still.gif", tmp_path / "moving.gif"
    frames = [PillowImage.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    frames[0].save(still)
    frames[0].save(moving, save_all=True, append_images=frames[1:])
    disguised = Path(shutil.copy(finished / "video.mp4", tmp_path / "holiday.jpg"))
    kinds = {path: find_source(path).kind for path in (picture, photos, still, moving, disguised)}
    assert list(kinds.values()) == ["picture", "photos", "picture", "video", "video"]
    with pytest.raises(ImageError, match="a run folder, not a picture"):
        find_source(finished)


def test_unusable_sources_are_refused(tmp_path, tiny):
    with pytest.raises(ImageError, match="cannot be read"):
        find_source(tmp_path / "none.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no pictures"):
        find_source(tmp_path / "empty")
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(ImageError, match="not a picture"):
        run(find_source(text), load_recipe("auto", tiny), tmp_path / "run")
    assert "input.png" not in product_hashes(tmp_path / "run")


def test_folder_needs_a_recipe_that_reads_it(go, picture, tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(picture, tmp_path / "photos")
    with pytest.raises(RecipeError, match="makes its video from one picture"):
        go(source=tmp_path / "photos")
    with pytest.raises(VideoError, match="needs at least 2"):
        run(find_source(tmp_path / "photos"), load_recipe("photos"), tmp_path / "second")


def test_run_folder_command_refuses_a_folder_without_run(tmp_path):
    with pytest.raises(RunFolderError, match="not a run folder"):
        source_of_run(tmp_path)
    (tmp_path / "run.json").write_text('{"stages": {}}')
    with pytest.raises(RunFolderError, match="has not started yet"):
        source_of_run(tmp_path)


def killed_in(stage: str, wait: float, words: list[str]) -> bool:
    """Start a run and kill it some seconds after a stage began; gives whether it was still running."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"{stage} …"):
                break
        time.sleep(wait)
        process.kill()
        return process.wait() == -signal.SIGKILL


def test_killed_at_random_moments_ends_with_the_same_hashes(go, tiny, calm, picture, tmp_path):
    sets = [word for change in tiny for word in ("--set", change)]
    words = [sys.executable, "-m", "img2world.cli", "run", str(picture), "--out", str(tmp_path / "run"), *sets]
    waits = np.random.default_rng(0).uniform(0, 0.05, 3)
    kills = sum(
        killed_in(stage, float(wait), words)
        for stage, wait in zip(("video", "splat", "export.html"), waits, strict=True)
    )
    assert kills >= 1
    go()
    assert product_hashes(tmp_path / "run") == calm


def test_full_disk_in_any_stage_is_one_line_and_the_run_goes_on_later(tiny_run, go, calm, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        stages = []
        for size in ("1200k", "4m"):
            done = tiny_run(out=disk / "run")
            assert done.returncode == 1
            # The lines before it are warnings: no cut-out network, a blurred scene.
            *warned, line = [line for line in done.stderr.splitlines() if line.startswith("img2world:")]
            assert "the disk is full" in line
            assert not any("disk" in other for other in warned)
            assert "Traceback" not in done.stderr
            assert not list((disk / "run").glob(".partial-*"))
            stages += [line.removesuffix(" …") for line in done.stderr.splitlines() if line.endswith(" …")][-1:]
            subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
        # It failed in other stages each time.
        assert len(set(stages)) == 2
        go(out=disk / "run")
        assert product_hashes(disk / "run") == calm
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def clip(tmp_path):
    """Writes frames as a video."""
    from img2world.export.mp4 import write_mp4

    def write(rgb: np.ndarray, name: str = "clip.mp4") -> Path:
        write_mp4(rgb, tmp_path / name, 12.0)
        return tmp_path / name

    return write


def noise_picture(seed: int) -> np.ndarray:
    """Blots with detail of all sizes."""
    rng = np.random.default_rng(seed)
    layers = [PillowImage.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((128, 128)) for n in (8, 32)]
    return np.mean([np.asarray(layer, float) for layer in layers], 0).astype(np.uint8)


def _layers(seed: int, step: int) -> np.ndarray:
    """A far picture, and stripes of a near one that move three times as fast."""
    far, near = np.roll(noise_picture(seed), 2 * step, 1), np.roll(noise_picture(seed + 1), 6 * step, 1)
    return np.where(np.arange(128)[:, None, None] // 32 % 2, far, near)


@pytest.mark.parametrize("kind", ["frozen", "cut", "too short"])
def test_a_bad_video_is_refused_with_the_reason_and_nothing_is_invented(clip, tmp_path, kind):
    # Two layers that slide at two speeds: with parallax, or turning in place would be found as well.
    slide, other = ([_layers(seed, i) for i in range(8)] for seed in (1, 5))
    rgb = {
        "frozen": np.repeat(noise_picture(1)[None], 12, 0),
        "cut": np.stack([*slide, *other]),
        "too short": np.stack(slide[:2]),
    }[kind]
    with pytest.raises(RejectedError, match=kind):
        run(find_source(clip(rgb)), load_recipe("video"), tmp_path / "run")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert kind in [finding["kind"] for finding in report["findings"]]
    assert not (tmp_path / "run" / "views").exists()
    assert report["cameras"] is None


def test_uncertain_cameras_stop_a_run_or_warn(finished, tmp_path):
    run_path = Path(shutil.copytree(finished, tmp_path / "run"))
    transforms = run_path / "views" / "transforms.json"
    table = json.loads(transforms.read_text())
    report = PoseReport(
        solver="orbit", grade="D", reasons=("points are 9 px off",), frames=(0, 1), total=6, tracks=9, heldout_px=9.0,
        inlier_share=0.1, parallax_deg=3.0, focal_at_limit=True,
    )  # fmt: skip
    with RunFolder.open(run_path) as folder:
        transforms.write_text(json.dumps({**table, "pose_report": report.as_json()}))
        with pytest.raises(RejectedError, match=r"grade D, by orbit.*points are 9 px off"):
            check_cameras(folder, load_recipe("video"), anyway=False)
        with pytest.warns(UserWarning, match="uncertain"):
            check_cameras(folder, load_recipe("video"), anyway=True)
        transforms.write_text(json.dumps({**table, "pose_report": replace(report, grade="A").as_json()}))
        check_cameras(folder, load_recipe("video"), anyway=False)


def test_a_scene_that_reproduces_held_out_views_badly_is_noted(again, finished):
    """As when the cameras of photos are wrong."""
    assert json.loads((finished / "report.json").read_text())["metrics"]["heldout_psnr"] > 10
    with pytest.warns(UserWarning, match=r"reproduces held-out views badly: \d+\.\d dB, 20 or more are usual"):
        again("splat.steps=1")
