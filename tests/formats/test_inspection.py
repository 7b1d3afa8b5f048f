import shlex
from dataclasses import replace

import numpy as np
from known_scene import gaussians_from, known_splats

from img2world.core.gaussians import Gaussians
from img2world.formats.files import write_splats
from img2world.formats.inspection import inspect_file, inspect_splats
from img2world.formats.splat_file import SplatFile


def warnings_of(gaussians: Gaussians, tmp_path, broken: int = 0) -> str:
    path = tmp_path / "a.ply"
    path.touch()
    return "\n".join(inspect_splats(SplatFile(gaussians=gaussians, broken=broken, details={}), path).warnings)


def test_a_sound_scene_has_no_warnings(scenes, tmp_path):
    gaussians = scenes.cloud(300, 2)
    sound = replace(gaussians, means=gaussians.means.clip(-0.6, 0.6), logit_opacities=np.abs(gaussians.logit_opacities))
    assert warnings_of(replace(sound, log_scales=np.full((300, 3), -4, np.float32)), tmp_path) == ""


def test_what_is_suspicious_is_named(scenes, tmp_path):
    gaussians = scenes.cloud(300, 2)
    sh, log_scales = gaussians.sh.copy(), np.full((300, 3), -4, np.float32)
    sh[:, 4:] = 0
    log_scales[:2] = 1
    log_scales[5:8] = (-12, -12, -3)
    logits = np.abs(gaussians.logit_opacities)
    logits[:7] = -7
    means = gaussians.means.copy()
    means[11] = 90
    odd = Gaussians(means=means, quats=gaussians.quats, log_scales=log_scales, logit_opacities=logits, sh=sh)
    found = warnings_of(odd, tmp_path, broken=1234)
    assert "1,234 Gaussians have values that are not finite" in found
    assert "harmonics above degree 1 are all zero; --sh 1" in found
    assert "2 Gaussians are larger than a tenth of the scene" in found
    assert "3 Gaussians are needles" in found
    assert "7 Gaussians cannot be seen" in found
    assert "float alone; --drop-floaters" in found
    (tmp_path / "my scan.ply").touch()
    remedy = inspect_splats(SplatFile(gaussians=odd, broken=1, details={}), tmp_path / "my scan.ply").remedy
    assert shlex.split(remedy) == [
        "img2world", "convert", str(tmp_path / "my scan.ply"), str(tmp_path / "clean-my scan.ply"),
        "--drop-nan", "--sh", "1", "--opacity-min", "0.004", "--drop-floaters",
    ]  # fmt: skip


def test_nothing_and_one_are_inspected(tmp_path):
    gaussians = gaussians_from(known_splats(0))
    assert "no Gaussians" in warnings_of(gaussians.select(slice(0, 0)), tmp_path)
    path = tmp_path / "one.ply"
    path.touch()
    for count in (0, 1):
        file = SplatFile(gaussians=gaussians.select(slice(0, count)), broken=0, details={"version": 3})
        lines = inspect_splats(file, path).lines()
        assert any("version 3" in line for line in lines)
        assert any(line.split()[-1] == str(count) for line in lines)


def test_values_are_those_of_the_file(tmp_path):
    (tmp_path / "points.splat").write_bytes(b"")
    from img2world.formats.files import write_splats

    write_splats(gaussians_from(known_splats(3)), tmp_path / "a.glb")
    found = inspect_file(tmp_path / "a.glb")
    assert (found.gaussians, found.sh_degree, found.bytes) == (5, 3, (tmp_path / "a.glb").stat().st_size)
    assert found.as_json()["details"] == {"colors": "srgb_rec709_display"}


def test_the_pictures_of_a_meta_json_count(tmp_path):
    write_splats(gaussians_from(known_splats(1)), tmp_path / "meta.json")
    found = inspect_file(tmp_path / "meta.json")
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert found.bytes > (tmp_path / "meta.json").stat().st_size
