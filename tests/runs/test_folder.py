import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from img2world.core.errors import PoseError, RejectedError, RunFolderError
from img2world.runs.files import clear_disk_errors, file_digest, locked, path_digest, write_text
from img2world.runs.folder import RunFolder, read_manifest, report_steps


class Stages:
    """Runs stages of a folder that write one text file, and notes which of them were made."""

    def __init__(self, folder):
        self.folder = folder
        self.made = []

    def run(self, name, text, *, options=None, reads=None, product="product"):
        def make(path, progress):
            self.made.append(name)
            (path / product).mkdir(parents=True)
            (path / product / "a.txt").write_text(text)
            progress(1, 1, psnr=20.5)
            return {"length": len(text)}

        return self.folder.stage(name, options=options or {}, reads=reads or {}, make=make)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def make_once(run, text="text", **kwargs):
    with RunFolder.open(run) as folder:
        stages = Stages(folder)
        record = stages.run("first", text, **kwargs)
        return stages.made, record


def test_stage_is_made_once_and_kept(run):
    made, first = make_once(run)
    assert made == ["first"]
    assert (run / "product" / "a.txt").read_text() == "text"
    assert first.files == {"product/a.txt": file_digest(run / "product" / "a.txt")}
    assert first.metrics == {"length": 4.0}
    made, second = make_once(run)
    assert made == []
    assert second == first


def test_what_a_stage_has_found_is_kept_until_it_is_done(run):
    with RunFolder.open(run) as folder:
        Stages(folder).run("first", "text")
        kept = folder.work("poses") / "found"

        def fail(path, progress):
            kept.parent.mkdir()
            kept.write_text("half")
            raise PoseError("stopped", hint="")

        with pytest.raises(PoseError):
            folder.stage("poses", options={}, reads={}, make=fail)
    with RunFolder.open(run) as folder:
        assert kept.read_text() == "half"

        def succeed(path, progress):
            (path / "views").write_text(kept.read_text() + " and half")
            return {}

        folder.stage("poses", options={}, reads={}, make=succeed)
        assert (run / "views").read_text() == "half and half"
        assert not kept.parent.exists()


@pytest.mark.parametrize("remove", [lambda folder: folder.forget(["poses"]), lambda folder: folder.discard("poses")])
def test_what_a_stage_has_found_goes_with_it(run, remove):
    with RunFolder.open(run) as folder:
        Stages(folder).run("poses", "text")
        folder.work("poses").mkdir()
        remove(folder)
        assert not folder.work("poses").exists()


def test_each_kind_of_work_of_a_stage_has_its_own_clock():
    events = []
    report = report_steps("poses", events.append)
    report(1, 2, step="features")
    time.sleep(0.05)
    report(2, 2, step="features")
    report(1, 9, step="pairs", found=3.0)
    time.sleep(0.05)
    report(2, 9, step="pairs")
    report(1, 9, step="pairs")
    assert [(event.part, event.done, event.total) for event in events[:3]] == [
        ("features", 1, 2),
        ("features", 2, 2),
        ("pairs", 1, 9),
    ]
    assert events[2].quality == {"found": 3.0}
    assert events[1].seconds >= 0.05 > events[2].seconds
    # Counting from the beginning again is another round.
    assert events[3].seconds >= 0.05 > events[4].seconds


@pytest.mark.parametrize("change", [{"options": {"steps": 2}}, {"reads": {"input": "b"}}, {"options": {"steps": 1.5}}])
def test_another_option_or_input_makes_it_again(run, change):
    make_once(run, options={"steps": 1}, reads={"input": "a"})
    made, _ = make_once(run, **{"options": {"steps": 1}, "reads": {"input": "a"}, **change})
    assert made == ["first"]


@pytest.mark.parametrize("damage", ["change", "remove", "replace by folder"])
def test_damaged_product_is_made_again(run, damage):
    make_once(run)
    path = run / "product" / "a.txt"
    path.unlink()
    if damage == "change":
        path.write_text("changed")
    if damage == "replace by folder":
        path.mkdir()
    made, _ = make_once(run)
    assert made == ["first"]
    assert path.read_text() == "text"


def test_file_in_place_of_a_folder_is_replaced(run):
    make_once(run)
    shutil.rmtree(run / "product")
    (run / "product").write_text("a file")
    assert make_once(run)[0] == ["first"]
    assert (run / "product" / "a.txt").read_text() == "text"


@pytest.mark.parametrize("name", ["exports", "run.json", ".lock"])
def test_wrong_kind_of_file_is_refused(run, name):
    """A file where the folder of exports must be, or a folder where a file must be."""
    make_once(run)
    if name == "exports":
        (run / name).write_text("a file")
    else:
        (run / name).unlink()
        (run / name).mkdir()
    with pytest.raises(RunFolderError):
        make_once(run, product="exports/x", options={"new": True})


def test_forgotten_stage_is_made_again_and_its_old_files_go(run):
    make_once(run, product="old")
    with RunFolder.open(run) as folder:
        folder.forget(["first"])
        Stages(folder).run("first", "text", product="new")
    assert sorted(path.name for path in run.iterdir()) == [".lock", "new", "run.json"]


def test_name_stands_for_what_is_below_it(run):
    with RunFolder.open(run) as folder:
        stages = Stages(folder)
        stages.run("export.ply", "x", product="exports/ply")
        stages.run("exporter", "y")
        folder.forget(["export"])
        assert folder.record("export.ply") is None
        assert folder.record("exporter") is not None


def test_stages_share_the_exports_folder(run):
    with RunFolder.open(run) as folder:
        stages = Stages(folder)
        stages.run("export.a", "x", product="exports/a", reads={"scene": "1"})
        stages.run("export.b", "y", product="exports/b", reads={"scene": "1"})
        stages.run("export.a", "z", product="exports/a", reads={"scene": "2"})
        assert (run / "exports" / "a" / "a.txt").read_text() == "z"
        assert (run / "exports" / "b" / "a.txt").read_text() == "y"
        folder.discard_outdated("export.", {"scene": "2"})
    assert sorted(path.name for path in (run / "exports").iterdir()) == ["a"]
    assert list(read_manifest(run)["stages"]) == ["export.a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_stage_leaves_the_old_product_and_no_half_one(run, error):
    make_once(run)

    def make(path, progress):
        (path / "product").mkdir()
        (path / "product" / "a.txt").write_text("half")
        raise error

    with RunFolder.open(run) as folder, pytest.raises(error):
        folder.stage("first", options={"new": True}, reads={}, make=make)
    assert (run / "product" / "a.txt").read_text() == "text"
    assert sorted(path.name for path in run.iterdir()) == [".lock", "product", "run.json"]
    assert read_manifest(run)["stages"]["first"]["state"] == ("failed" if error is ValueError else "interrupted")
    assert make_once(run)[0] == ["first"]


@pytest.mark.parametrize(
    ("error", "entry"),
    [
        (PoseError("no cameras", hint="h"), {"state": "failed", "error": "no cameras"}),
        (RejectedError("no use", hint="h"), {"state": "rejected", "error": "no use"}),
        (ValueError("bug"), {"state": "failed"}),
    ],
)
def test_why_a_stage_failed_is_recorded_until_it_succeeds(run, error, entry):
    make_once(run, product="other")
    with pytest.raises(type(error)):
        make_and_fail(run, ["text"], error)
    found = read_manifest(run)["stages"]["second"]
    assert {name: value for name, value in found.items() if name != "files"} == entry
    with RunFolder.open(run) as folder:
        Stages(folder).run("second", "text", product="second")
    assert "error" not in read_manifest(run)["stages"]["second"]


def make_and_fail(run, texts, error):
    """Run a stage for each text, and then one that fails."""

    def fail(path, progress):
        raise error

    with RunFolder.open(run) as folder:
        write_text(run / "recipe.toml", "seed = 1")
        for text in texts:
            Stages(folder).run("first", text)
        folder.stage("second", options={}, reads={}, make=fail)


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_run_that_fails_in_its_first_stage_leaves_nothing(run, existed, error):
    if existed:
        run.mkdir()
    with pytest.raises(error):
        make_and_fail(run, [], error)
    assert run.exists() == existed
    assert not existed or list(run.iterdir()) == []


def test_run_interrupted_before_its_product_is_recorded_can_be_resumed(run, monkeypatch):
    set_entry = RunFolder._set_entry

    def interrupted(self, stage, entry):
        if entry["state"] == "done":
            raise KeyboardInterrupt
        set_entry(self, stage, entry)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "_set_entry", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_once(run)
    assert (run / "product" / "a.txt").exists()
    made, _ = make_once(run)
    assert made == ["first"]
    assert (run / "product" / "a.txt").read_text() == "text"


def test_run_that_fails_later_keeps_what_is_done(run):
    with pytest.raises(ValueError, match="broken"):
        make_and_fail(run, ["text"], ValueError("broken"))
    assert make_once(run)[0] == []
    assert (run / "recipe.toml").exists()


def test_lock_on_a_removed_file_does_not_count(run, monkeypatch):
    run.mkdir()
    opened = os.open

    def open_and_remove(path, *args, **kwargs):
        descriptor = opened(path, *args, **kwargs)
        Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_remove)
    with pytest.raises(RunFolderError, match="in use"), locked(run):
        pass


def test_leftovers_of_a_killed_run_are_removed(run):
    make_once(run)
    (run / ".partial-first").mkdir()
    (run / ".partial-first" / "half").write_text("x")
    (run / ".old-product").mkdir()
    (run / ".partial-run.json").write_text("{")
    make_once(run)
    assert sorted(path.name for path in run.iterdir()) == [".lock", "product", "run.json"]


def test_folder_of_a_run_that_was_killed_at_once_is_usable(run):
    run.mkdir()
    (run / ".lock").touch()
    (run / ".partial-run.json").write_text("{")
    assert make_once(run)[0] == ["first"]


def test_folder_of_other_files_is_left_alone(run):
    run.mkdir()
    (run / "thesis.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="not empty and not a run folder"):
        make_once(run)
    assert [path.name for path in run.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"stages": 3}', '{"stages": {"x": {"files": {"../../etc/passwd": ""}}}}', "\xff"),
        *('{"stages": {"x": {"files": ["a"]}}}', '{"stages": {"x": {"files": {"": ""}}}}'),
        *('{"stages": {"x": {"files": {"exports": ""}}}}', '{"stages": {"x": {"seconds": "1"}}}'),
        '{"stages": {"x": {"metrics": null}}}',
    ],
)
def test_broken_manifest_is_refused(run, text):
    run.mkdir()
    (run / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunFolderError, match=r"run\.json cannot be used|leads out of the run folder"):
        make_once(run)
    with pytest.raises(RunFolderError):
        read_manifest(run)


@pytest.mark.parametrize("linked", ["exports", "exports/x"])
def test_linked_folder_is_never_followed(run, tmp_path, linked):
    """As in a run folder from somebody else whose manifest names files elsewhere to replace or remove."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("precious")
    (run / linked).parent.mkdir(parents=True)
    (run / linked).symlink_to(outside if linked == "exports" else outside / "x")
    entry = {"state": "done", "key": "", "reads": "", "seconds": 0, "peak_rss_gb": 0, "metrics": {}}
    entry["files"] = {"exports/x": file_digest(outside / "x")}
    (run / "run.json").write_text(json.dumps({"stages": {"export.ply": entry}}))
    with pytest.raises(RunFolderError, match="leads out of the run folder"):
        read_manifest(run)
    with pytest.raises(RunFolderError, match="leads out"), RunFolder.open(run) as folder:
        folder.discard("export.ply")
    (run / "run.json").write_text(json.dumps({"stages": {}}))
    if linked == "exports":
        with pytest.raises(RunFolderError, match="leads out"):
            make_once(run, product="exports")
    assert [path.name for path in outside.iterdir()] == ["x"]
    assert (outside / "x").read_text() == "precious"


@pytest.mark.parametrize("name", ["run.json", ".lock"])
def test_linked_file_is_never_written_through(run, tmp_path, name):
    make_once(run)
    (tmp_path / "precious").write_text((run / name).read_text())
    before = (tmp_path / "precious").read_text()
    (run / name).unlink()
    (run / name).symlink_to(tmp_path / "precious")
    with pytest.raises(RunFolderError):
        make_once(run, "other")
    assert (tmp_path / "precious").read_text() == before


def test_run_folder_may_itself_be_a_link(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    run.symlink_to(tmp_path / "elsewhere")
    assert make_once(run)[0] == ["first"]
    assert make_once(run)[0] == []


def test_file_is_not_called_a_broken_run_folder(tmp_path):
    (tmp_path / "scene.ply").write_bytes(b"ply")
    with pytest.raises(RunFolderError, match="a file, not a run folder") as caught:
        read_manifest(tmp_path / "scene.ply")
    assert "remove" not in caught.value.hint


def test_equal_files_of_two_stages_are_stored_once(run):
    frames = "frame" * 1000
    with RunFolder.open(run) as folder:
        kitchen = Stages(folder)
        kitchen.run("video", frames, product="frames")
        views = kitchen.run("poses", frames, product="views")
        kitchen.run("crumb", "small", product="one")
        kitchen.run("other", "small", product="two")
    first, second = run / "frames" / "a.txt", run / "views" / "a.txt"
    assert first.samefile(second)
    assert views.files == {"views/a.txt": file_digest(first)}
    assert not (run / "one" / "a.txt").samefile(run / "two" / "a.txt")
    # A stage that is made anew leaves the file of the other as it was.
    with RunFolder.open(run) as folder:
        Stages(folder).run("video", "other" * 1000, product="frames")
    assert second.read_text() == frames


@pytest.mark.parametrize("damage", ["change", "remove", "replace by folder"])
def test_a_damaged_file_is_not_linked_to(run, damage):
    with RunFolder.open(run) as folder:
        Stages(folder).run("video", "frame" * 1000, product="frames")
    path = run / "frames" / "a.txt"
    path.unlink()
    if damage == "change":
        path.write_text("x" * 5000)
    if damage == "replace by folder":
        path.mkdir()
    with RunFolder.open(run) as folder:
        Stages(folder).run("poses", "frame" * 1000, product="views")
    assert (run / "views" / "a.txt").read_text() == "frame" * 1000


def test_entry_of_another_version_counts_as_not_done(run):
    make_once(run)
    manifest = read_manifest(run)
    del manifest["stages"]["first"]["metrics"]
    (run / "run.json").write_text(json.dumps(manifest))
    assert make_once(run)[0] == ["first"]


HOLDER = """
import sys, time
from pathlib import Path
from img2world.runs.folder import RunFolder
with RunFolder.open(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_second_process_is_refused_until_the_first_is_dead(run):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(RunFolderError, match=f"in use by process {holder.pid}"):
            make_once(run)
    finally:
        holder.kill()
        holder.communicate()
    assert make_once(run)[0] == ["first"]


@pytest.mark.parametrize("path", ["file/run", "file"])
def test_impossible_folder_is_refused(tmp_path, path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot be written"):
        make_once(tmp_path / path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_file_system_without_new_folders_is_refused():
    with pytest.raises(RunFolderError, match="cannot be written"):
        make_once(Path("/proc/img2world-run"))


AS_NOBODY = """
import os, sys
from pathlib import Path
from img2world.runs.folder import RunFolder
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with RunFolder.open(Path(sys.argv[1])):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


def test_forbidden_folder_is_refused(tmp_path):
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir(mode=0o555)
    # The other user must be able to reach the folder.
    for parent in [tmp_path, *tmp_path.parents[:2]]:
        parent.chmod(0o755)
    run = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(forbidden / "run")], capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("RunFolderError the run folder cannot be written (Permission denied)"), run.stderr


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from img2world.core.pictures import save_arrays
from img2world.runs.folder import RunFolder
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
def by_numpy(path, progress):
    np.save(path / "big.npy", np.zeros(10**6)); return {}
def by_safetensors(path, progress):
    save_arrays({"big": np.zeros(10**6)}, path / "big.safetensors"); return {}
with RunFolder.open(Path(sys.argv[1])) as folder:
    try:
        folder.stage("big", options={}, reads={}, make={"numpy": by_numpy, "safetensors": by_safetensors}[sys.argv[2]])
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("how", ["numpy", "safetensors"])
def test_file_that_does_not_fit_is_one_line_and_leaves_nothing(run, how):
    """A limit on the size of files, which any user can set, makes a write fail as a full disk does."""
    done = subprocess.run([sys.executable, "-c", LIMITED, str(run), how], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("RunFolderError the disk is full"), done.stdout + done.stderr
    assert sorted(path.name for path in run.iterdir()) == [".lock", "run.json"]
    assert read_manifest(run)["stages"]["big"]["state"] == "failed"


def mounted(folder, size):
    """Mount a small file system on the folder, if that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return shutil.which("mount") and subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mounted(disk, "200k"):
        pytest.skip("mounting a small disk needs root")
    try:
        run = disk / "run"

        def make(path, progress):
            for i in range(100):
                (path / f"{i}.bin").write_bytes(bytes(10_000))
            return {}

        with RunFolder.open(run) as folder, pytest.raises(RunFolderError, match="the disk is full") as caught:
            folder.stage("big", options={}, reads={}, make=make)
        assert "\n" not in str(caught.value)
        assert sorted(path.name for path in run.iterdir()) == [".lock", "run.json"]
        # The same folder works once there is room.
        assert make_once(run)[0] == ["first"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_other_errors_are_not_called_disk_errors(tmp_path):
    with pytest.raises(ConnectionResetError), clear_disk_errors(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "x")


def test_text_is_replaced_atomically(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "long text")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_digest_depends_on_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = path_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert path_digest(tmp_path) != first
    (tmp_path / "b").rename(tmp_path / "a")
    assert path_digest(tmp_path) == first
    # FIPS 180-2, appendix B.1 gives SHA-256 of "abc".
    (tmp_path / "a").write_text("abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf8f01cfea")


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from img2world.runs.folder import RunFolder
def stage(folder, name, count, reads):
    def make(path, progress):
        (path / name).mkdir()
        for i in range(count):
            np.save(path / name / f"{i}.npy", np.random.default_rng(i).random(20_000))
            progress(i + 1, count)
        return {"count": count}
    return folder.stage(name, options={}, reads=reads, make=make).digest
with RunFolder.open(Path(sys.argv[1])) as folder:
    print("ready", flush=True)
    digest = ""
    for name, count in (("one", 40), ("two", 3), ("three", 60)):
        digest = stage(folder, name, count, {"before": digest})
"""


def hashes(run):
    return {name: (entry["key"], entry["files"]) for name, entry in read_manifest(run)["stages"].items()}


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_ends_as_an_undisturbed_run(tmp_path, seed):
    program = [sys.executable, "-c", KILLED]
    start = time.perf_counter()
    subprocess.run([*program, str(tmp_path / "undisturbed")], check=True, capture_output=True)
    whole = time.perf_counter() - start
    rng = np.random.default_rng(seed)
    kills = 0
    for wait in rng.uniform(0, min(0.25, whole / 2), 8):
        with subprocess.Popen([*program, str(tmp_path / "killed")], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(wait)
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        final = [path for path in (tmp_path / "killed").rglob("*.npy") if ".partial-" not in str(path)]
        # Files with a final name are complete.
        assert all(np.load(path).shape == (20_000,) for path in final)
    assert kills
    subprocess.run([*program, str(tmp_path / "killed")], check=True, capture_output=True)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "undisturbed")
    assert not [path for path in (tmp_path / "killed").iterdir() if path.name.startswith((".partial", ".old"))]
