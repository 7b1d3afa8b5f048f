import json
import re
import shutil
import struct
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2world.core.errors import FormatError
from img2world.core.motion import Motion
from img2world.formats import i2w
from img2world.formats.files import read_splats, write_splats
from img2world.formats.inspection import inspect_file
from tests.moving import moving_scene

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
TIMES = (0.0, 0.7, 2.0)


@pytest.fixture(scope="module")
def scene():
    return moving_scene(12)


@pytest.fixture
def write(tmp_path, scene):
    def write(name="scene.i2w", **options) -> Path:
        given = {"motion": scene.motion, "background": scene.background, "is_object": True}
        write_splats(scene.gaussians, tmp_path / name, {**given, **options})
        return tmp_path / name

    return write


def test_an_exact_file_reads_back_to_the_last_bit(scene, write):
    file = read_splats(write(exact=True))
    for time in TIMES:
        expected, found = scene.at(time), file.at(time)
        np.testing.assert_array_equal(found.means, expected.means)
        np.testing.assert_array_equal(found.logit_opacities, expected.logit_opacities)
    assert (file.background, file.is_object) == ((1.0, 1.0, 1.0), True)


def test_a_small_file_moves_the_same_gaussians_the_same_way(scene, write):
    file = read_splats(write())
    for time in TIMES:
        # 1/255 of the distance between where two bones take a Gaussian, and half a step of SPZ.
        np.testing.assert_allclose(file.at(time).means, scene.at(time).means, atol=1 / 255)
        np.testing.assert_allclose(file.at(time).opacities, scene.at(time).opacities, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(file.motion.bone_indices, scene.motion.bone_indices)


def test_weights_as_bytes_sum_to_one():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([0.3] * 4, 2000).astype(np.float32)
    found = i2w.bytes_from_weights(weights)
    assert (found.sum(1) == 255).all()
    assert np.abs(found / 255 - weights).max() < 1 / 255
    np.testing.assert_array_equal(i2w.bytes_from_weights(np.float32([[1, 0, 0, 0], [0, 0.5, 0.5, 0]])).sum(1), 255)


def test_equal_scenes_give_equal_files(write):
    assert write("a.i2w").read_bytes() == write("b.i2w").read_bytes()


@pytest.mark.parametrize("exact", [False, True])
def test_the_reader_of_the_documentation_moves_gaussians_as_we_do(scene, write, tmp_path, exact):
    if shutil.which("node") is None:
        pytest.skip("no node")
    code = "\n".join(re.findall(r"```js\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
    path = write(exact=exact)
    file = read_splats(path)
    # Axes of the file: those of PLY are ours.
    signs = np.ones(3) if exact else np.array([1, -1, -1])
    job = {"path": str(path), "times": TIMES, "means": (file.gaussians.means * signs).tolist()}
    main = """
const job = JSON.parse(process.argv[2]), fs = require("fs");
readI2w(new Uint8Array(fs.readFileSync(job.path))).then((file) => console.log(JSON.stringify(job.times.map((time) => {
  const bones = bonesAt(file, time);
  return job.means.map((mean, i) => moveGaussian(file, bones, i, mean));
}))));
"""
    (tmp_path / "main.cjs").write_text(code + main)
    words = ["node", str(tmp_path / "main.cjs"), json.dumps(job)]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    for time, moved in zip(TIMES, json.loads(result.stdout), strict=True):
        means = np.array([one["mean"] for one in moved]) * signs
        np.testing.assert_allclose(means, file.at(time).means, atol=2e-6)
        turns = np.array([one["turn"] for one in moved]) * [1, *signs]
        identity = np.tile(np.float32([1, 0, 0, 0]), (len(turns), 1))
        _, expected = file.motion.move(file.gaussians.means, identity, time)
        np.testing.assert_allclose(np.abs((turns * expected).sum(1)), 1, atol=1e-6)


@pytest.mark.parametrize("window", [(-9, -8), (1, -4), (99, 100)])
def test_inspection_warns_of_what_is_never_there(scene, write, window):
    windows = np.tile(np.float32([0, 1]), (len(scene.gaussians), 1))
    windows[:7] = window
    found = inspect_file(write(motion=replace(scene.motion, windows=windows))).warnings
    assert [text for text in found if "none of the times" in text] == ["7 Gaussians are there at none of the times"]


def test_a_file_without_gaussians_is_inspected(scene, tmp_path):
    i2w.write(scene.gaussians, tmp_path / "some.i2w", motion=scene.motion, exact=True)
    with zipfile.ZipFile(tmp_path / "some.i2w") as old, zipfile.ZipFile(tmp_path / "none.i2w", "w") as new:
        header = json.loads(old.read("motion.json"))
        for entry in header["arrays"]:
            if entry["shape"][0] == header["gaussians"]:
                entry["shape"][0] = 0
        new.writestr("motion.json", json.dumps({**header, "gaussians": 0}))
        new.writestr("motion.bin", old.read("motion.bin"))
        start, mark, _ = old.read("splats.ply").partition(b"end_header\n")
        new.writestr("splats.ply", start.replace(b"vertex %d" % len(scene.gaussians), b"vertex 0") + mark)
    found = inspect_file(tmp_path / "none.i2w")
    assert (found.motion["moving"], found.motion["keys"]) == (0, len(scene.motion.key_times))
    assert "the file has no Gaussians" in found.warnings


def test_inspection_tells_how_much_moves(write):
    facts = inspect_file(write()).motion
    assert {name: facts[name] for name in ("seconds", "keys", "bones")} == {"seconds": 2.0, "keys": 5, "bones": 3}
    assert facts["passing"] == 0.25  # the ball
    assert 0.3 < facts["moving"] <= 0.5  # the arm, but not near the shoulder


def test_many_bones_need_two_bytes(scene, tmp_path):
    motion = scene.motion
    many = replace(
        motion,
        bone_pivots=np.resize(motion.bone_pivots, (300, 3)),
        bone_quats=np.resize(motion.bone_quats, (300, 5, 4)),
        bone_translations=np.resize(motion.bone_translations, (300, 5, 3)),
        bone_indices=motion.bone_indices + np.int32(297),
    )
    i2w.write(scene.gaussians, tmp_path / "a.i2w", motion=many)
    np.testing.assert_array_equal(i2w.read(tmp_path / "a.i2w").motion.bone_indices, many.bone_indices)


def test_fifty_thousand_gaussians_and_48_frames_are_small(tmp_path):
    rng = np.random.default_rng(0)
    gaussians = moving_scene(12_500).gaussians
    count, bones, keys = len(gaussians), 24, 48
    quats = rng.normal(size=(bones, keys, 4))
    motion = Motion(
        key_times=np.arange(keys) / 24,
        bone_pivots=rng.normal(size=(bones, 3)).astype(np.float32),
        bone_quats=(quats / np.linalg.norm(quats, axis=-1, keepdims=True)).astype(np.float32),
        bone_translations=rng.normal(size=(bones, keys, 3)).astype(np.float32),
        bone_indices=rng.integers(0, bones, (count, 4)).astype(np.int32),
        bone_weights=rng.dirichlet([1.0] * 4, count).astype(np.float32),
        windows=np.sort(rng.uniform(0, 2, (count, 2)), 1).astype(np.float32),
    )
    sh = np.concatenate([gaussians.sh, rng.normal(0, 0.1, (count, 15, 3)).astype(np.float32)], 1)
    i2w.write(replace(gaussians, sh=sh), tmp_path / "a.i2w", motion=motion)
    assert (tmp_path / "a.i2w").stat().st_size < 6e6


def test_what_stands_still_is_refused(scene, tmp_path):
    with pytest.raises(FormatError, match="nothing moves"):
        write_splats(scene.gaussians, tmp_path / "a.i2w")
    assert not list(tmp_path.iterdir())


def changed(source: Path, target: Path, **changes) -> Path:
    """Write a file with another header, or without what is None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "motion.json":
                content = json.dumps({**json.loads(content), **changes}).encode()
            new.writestr(name, content)
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "zip"}, "not an .i2w file"),
        ({"version": 2}, "version 2"),
        ({"splats": "../splats.ply"}, "has its Gaussians in"),
        ({"gaussians": 47}, "motion for 47 Gaussians, and 48"),
        ({"key_times": [0, 1, 1, 2, 3]}, "ascending"),
        ({"key_times": [0, 1]}, "shape"),
        ({"key_times": []}, "cannot be read"),
        ({"key_times": "soon"}, "cannot be read"),
        ({"arrays": []}, "no bones"),
        ({"arrays": [{"name": "bone_indices", "type": "uint8", "shape": [48, 4], "offset": 1 << 40}]}, "ends after"),
        ({"arrays": [{"name": "bone_indices", "type": "uint8", "shape": [48, 1 << 62], "offset": 0}]}, "shape"),
        ({"arrays": [{"name": "bone_indices", "type": "text", "shape": [48, 4], "offset": 0}]}, "cannot be read"),
        # As floats, indices may be no numbers.
        ({"arrays": [{"name": "bone_indices", "type": "float32", "shape": [48, 4], "offset": 0}]}, "type 'float32'"),
        ({"arrays": [{"name": "bone_weights", "type": "uint16", "shape": [48, 4], "offset": 0}]}, "type 'uint16'"),
        ({"arrays": 5}, "cannot be read"),
        ({"background": "red"}, "background"),
        ({"background": [float("nan"), 0, 0]}, "background"),
    ],
)
def test_damaged_headers_are_one_error(write, tmp_path, changes, message):
    with pytest.raises(FormatError, match=re.escape(message)):
        read_splats(changed(write(), tmp_path / "b.i2w", **changes))


def test_damaged_files_are_one_error(write, tmp_path):
    data = write().read_bytes()
    for bad in (b"", b"PK\5\6", data[:200], data[:-30], data[:500] + bytes(300) + data[800:]):
        (tmp_path / "bad.i2w").write_bytes(bad)
        with pytest.raises(FormatError):
            read_splats(tmp_path / "bad.i2w")


def test_negative_weights_are_refused(scene, write):
    weights = np.tile(np.float32([2, -1, 0, 0]), (len(scene.gaussians), 1))
    path = write(exact=True, motion=replace(scene.motion, bone_weights=weights))
    with pytest.raises(FormatError, match="negative"):
        read_splats(path)


def test_a_file_that_would_fill_the_memory_is_refused(write, tmp_path):
    path = write()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bomb.i2w", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (bytes(40_000_000) if name == "motion.bin" else b""))
    with pytest.raises(FormatError, match="member of"):
        read_splats(tmp_path / "bomb.i2w")


def test_the_arrays_are_where_the_header_says(scene, write):
    """Read by the standard library alone, by the rules of docs/formats.md."""
    with zipfile.ZipFile(write()) as archive:
        header, content = json.loads(archive.read("motion.json")), archive.read("motion.bin")
    table = {entry["name"]: entry for entry in header["arrays"]}
    assert all(entry["offset"] % 4 == 0 for entry in table.values())
    pivot = struct.unpack_from("<3f", content, table["bone_pivots"]["offset"] + 12)
    assert pivot == pytest.approx(scene.motion.bone_pivots[1] * [1, -1, -1])
    window = struct.unpack_from("<2f", content, table["windows"]["offset"] + 8 * 47)
    assert window == (1.0, 9.0)
