"""SOG files of both versions, made here as the reader of splat-transform expects them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import splat_decoders as decoders
from known_scene import Splat, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from
from PIL import Image

from img2world.core.errors import FormatError
from img2world.formats.files import read_splats, write_splats
from img2world.formats.sog import read, write

TOLERANCE = Tolerance(center=5e-5, covariance=0.03, opacity=0.01, color=0.03)


def webp(pixels: list[list[int]], width: int, height: int) -> bytes:
    table = np.zeros((height * width, 4), np.uint8)
    table[:, 3] = 255
    for index, pixel in enumerate(pixels):
        table[index, : len(pixel)] = pixel
    target = io.BytesIO()
    Image.fromarray(table.reshape(height, width, 4)).save(target, "WEBP", lossless=True, exact=True)
    return target.getvalue()


def step(value: float, low: float, high: float, steps: int) -> int:
    return round((value - low) / (high - low) * steps)


def quaternion_pixel(quaternion: tuple[float, ...]) -> list[int]:
    parts = list(np.array(quaternion) / np.linalg.norm(quaternion))
    largest = max(range(4), key=lambda i: abs(parts[i]))
    sign = np.sign(parts.pop(largest))
    # The tag is 252 where w is the largest, then x, y and z.
    return [round(255 * (0.5 + part * sign / 2**0.5)) for part in parts] + [252 + largest]


def files_of(splats: list[Splat], version: int) -> dict[str, bytes]:
    """Return the files of a SOG of 4x2 pixels by name."""
    logs = [[np.copysign(np.log1p(abs(value)), value) for value in splat.center] for splat in splats]
    low, high = np.min(logs, 0), np.max(logs, 0)
    steps = [[step(*numbers, 65535) for numbers in zip(row, low, high, strict=True)] for row in logs]
    radii = np.log([splat.radii for splat in splats])
    dc = np.array([splat.harmonics[0] for splat in splats])
    rest = np.array([splat.harmonics[1:] for splat in splats])
    opacities = np.array([splat.opacity for splat in splats])
    names = ["means_l.webp", "means_u.webp"]
    meta: dict = {
        "means": {"shape": [len(splats), 3], "mins": low.tolist(), "maxs": high.tolist(), "files": names},
        "quats": {"shape": [len(splats), 4], "encoding": "quaternion_packed", "files": ["quats.webp"]},
        "scales": {"files": ["scales.webp"]},
        "sh0": {"files": ["sh0.webp"]},
    }
    if version == 1:
        logits = np.log(opacities / (1 - opacities))
        colors = np.column_stack([dc, logits])
        for part, values in (("scales", radii), ("sh0", colors)):
            meta[part] |= {"mins": values.min(0).tolist(), "maxs": values.max(0).tolist()}
        bounds = {part: (np.array(meta[part]["mins"]), np.array(meta[part]["maxs"])) for part in ("scales", "sh0")}
        scale_pixels, color_pixels = (
            np.rint(255 * (values - bounds[part][0]) / (bounds[part][1] - bounds[part][0])).astype(int).tolist()
            for part, values in (("scales", radii), ("sh0", colors))
        )
    else:
        meta |= {"version": 2, "count": len(splats)}
        levels = {part: sorted(set(values.ravel().tolist())) for part, values in (("scales", radii), ("sh0", dc))}
        for part, values in levels.items():
            meta[part]["codebook"] = values + [0.0] * (256 - len(values))
        scale_pixels = [[levels["scales"].index(value) for value in row] for row in radii.tolist()]
        color_pixels = [
            [*(levels["sh0"].index(value) for value in row), round(255 * opacity)]
            for row, opacity in zip(dc.tolist(), opacities, strict=True)
        ]
    files = {
        "means_l.webp": webp([[value & 255 for value in row] for row in steps], 4, 2),
        "means_u.webp": webp([[value >> 8 for value in row] for row in steps], 4, 2),
        "quats.webp": webp([quaternion_pixel(splat.quaternion) for splat in splats], 4, 2),
        "scales.webp": webp(scale_pixels, 4, 2),
        "sh0.webp": webp(color_pixels, 4, 2),
    }
    if rest.size:
        bases, degree = rest.shape[1], round((rest.shape[1] + 1) ** 0.5) - 1
        # The palette holds them backwards and from entry 70 on, so that labels and rows matter.
        labels = [70 + len(splats) - 1 - i for i in range(len(splats))]
        low, high = float(rest.min()), float(rest.max())
        levels = sorted(set(rest.ravel().tolist()))
        palette = [[0, 0, 0]] * (128 * bases)
        for label, rows in zip(labels, rest, strict=True):
            for k in range(bases):
                palette[label * bases + k] = [
                    step(value, low, high, 255) if version == 1 else levels.index(value) for value in rows[k]
                ]
        files["centroids.webp"] = webp(palette, 64 * bases, 2)
        files["labels.webp"] = webp([[label & 255, label >> 8, 0] for label in labels], 4, 2)
        meta["shN"] = {"files": ["centroids.webp", "labels.webp"]}
        if version == 1:
            meta["shN"] |= {"mins": low, "maxs": high, "quantization": 8}
        else:
            meta["shN"] |= {"bands": degree, "count": 128, "codebook": levels + [0.0] * (256 - len(levels))}
    return {"meta.json": json.dumps(meta).encode(), **files}


def save(files: dict[str, bytes], path: Path, *, prefix: str = "", method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip archive, or, for the suffix .json, files beside each other."""
    if path.suffix == ".json":
        for name, data in files.items():
            path.with_name(name).write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(prefix + name, data)
    return path


@pytest.mark.parametrize("name", ["scene.sog", "meta.json"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_are_read(version, degree, name, tmp_path):
    splats = known_splats(degree)
    file = read_splats(save(files_of(splats, version), tmp_path / name))
    assert file.details == {"version": version}
    check_same(appearance(splats_from(file.gaussians)), appearance(splats), TOLERANCE)


def test_the_archive_may_be_compressed_and_have_a_folder(tmp_path):
    splats = known_splats(1)
    path = save(files_of(splats, 2), tmp_path / "scene.sog", prefix="scene/", method=zipfile.ZIP_DEFLATED)
    check_same(appearance(splats_from(read(path).gaussians)), appearance(splats), TOLERANCE)


def test_a_rotation_without_a_tag_is_none(tmp_path):
    files = files_of(known_splats(0), 2)
    files["quats.webp"] = webp([[10, 20, 30, 251]] * 5, 4, 2)
    file = read(save(files, tmp_path / "scene.sog"))
    np.testing.assert_array_equal(file.gaussians.quats, [[1, 0, 0, 0]] * 5)


def test_equal_scenes_give_equal_files(tmp_path):
    for name in ("a.sog", "b.sog"):
        write(gaussians_from(known_splats(2)), tmp_path / name)
    assert (tmp_path / "a.sog").read_bytes() == (tmp_path / "b.sog").read_bytes()


def test_many_gaussians_share_a_palette(scenes, tmp_path):
    """More Gaussians than entries: the decoder finds colors close to each, and the positions of each."""
    gaussians = scenes.cloud(1500, 1)
    write_splats(gaussians, tmp_path / "many.sog")
    splats = decoders.decode_sog(tmp_path / "many.sog")
    with zipfile.ZipFile(tmp_path / "many.sog") as archive:
        assert json.loads(archive.read("meta.json"))["shN"]["count"] == 1024
    centers = np.array([splat.center for splat in splats])
    order = [int(np.abs(centers - mean).sum(1).argmin()) for mean in gaussians.means]
    assert len(set(order)) == 1500
    np.testing.assert_allclose(centers[order], gaussians.means, atol=1e-4)
    rest = np.array([splat.harmonics[1:] for splat in splats])[order]
    assert np.sqrt(np.mean((rest - gaussians.sh[:, 1:]) ** 2)) < 0.3 * gaussians.sh[:, 1:].std()


def changed(change) -> dict[str, bytes]:
    files = files_of(known_splats(1), 2)
    meta = json.loads(files["meta.json"])
    change(meta, files)
    return {**files, "meta.json": files["meta.json"] if files.get("raw") else json.dumps(meta).encode()}


DAMAGE = {
    "version": (lambda meta, files: meta.update(version=3), "has version 3"),
    "no means": (lambda meta, files: meta.pop("means"), "damaged meta.json"),
    "count of another type": (lambda meta, files: meta.update(count="many"), "damaged meta.json"),
    "infinite count": (lambda meta, files: meta.update(count=float("inf")), "damaged meta.json"),
    "no Gaussians": (lambda meta, files: meta.update(count=0), "has 0 Gaussians"),
    "negative count": (lambda meta, files: meta.update(count=-5), "has -5 Gaussians"),
    "huge count": (lambda meta, files: meta.update(count=10**12), "picture of 4x2 for 1000000000000 Gaussians"),
    "short codebook": (lambda meta, files: meta["scales"].update(codebook=[0.0]), "damaged meta.json"),
    "codebook of rows": (lambda meta, files: meta["scales"].update(codebook=[[0.0, 1.0]] * 256), "damaged meta.json"),
    "two bounds": (lambda meta, files: meta["means"].update(mins=[0, 0]), "damaged meta.json"),
    "a number for a list": (lambda meta, files: meta.update(sh0=5), "damaged meta.json"),
    "missing picture": (lambda meta, files: files.pop("quats.webp"), "lacks 'quats.webp'"),
    "no picture": (lambda meta, files: files.update({"quats.webp": b"GIF"}), "cannot be read: 'quats.webp'"),
    "truncated picture": (
        lambda meta, files: files.update({"sh0.webp": files["sh0.webp"][:30]}),
        "cannot be read: 'sh0.webp'",
    ),
    "large picture": (
        lambda meta, files: files.update({"sh0.webp": webp([], 3000, 3000)}),
        "picture of 3000x3000 for 5 Gaussians",
    ),
    "labels beyond the palette": (
        lambda meta, files: files.update({"labels.webp": webp([[200, 0, 0]] * 5, 4, 2)}),
        "palette of 128 entries",
    ),
    "odd palette": (lambda meta, files: files.update({"centroids.webp": webp([], 65, 2)}), "palette 65 pixels wide"),
    "path": (lambda meta, files: meta["quats"].update(files=["../../secret"]), "lacks '(../../)?secret"),
    "no name": (lambda meta, files: meta["quats"].update(files=[""]), "damaged meta.json|lacks"),
    "no JSON": (lambda meta, files: files.update({"meta.json": b"{", "raw": b"1"}), "damaged meta.json"),
    "a list": (lambda meta, files: files.update({"meta.json": b"[1]", "raw": b"1"}), "damaged meta.json"),
    "nested JSON": (lambda meta, files: files.update({"meta.json": b"[" * 10**5, "raw": b"1"}), "damaged meta.json"),
}


@pytest.mark.parametrize("name", ["scene.sog", "meta.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_error(damage, name, tmp_path):
    change, found = DAMAGE[damage]
    path = save(changed(change), tmp_path / name)
    with pytest.raises(FormatError, match=found) as error:
        read_splats(path)
    assert "\n" not in str(error.value)


def test_pictures_elsewhere_are_not_read(tmp_path):
    files = files_of(known_splats(0), 2)
    (tmp_path / "secret.webp").write_bytes(files.pop("quats.webp"))
    (tmp_path / "inside").mkdir()
    files["meta.json"] = files["meta.json"].replace(b"quats.webp", b"../secret.webp")
    with pytest.raises(FormatError, match=r"lacks 'secret\.webp'"):
        read_splats(save(files, tmp_path / "inside" / "meta.json"))


def test_a_member_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path):
    files = files_of(known_splats(0), 2)
    files["quats.webp"] = bytes(20_000_000)
    path = save(files, tmp_path / "bomb.sog", method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 30_000
    with pytest.raises(FormatError, match="member of 20000000 bytes"):
        read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_members_are_one_error(method, tmp_path):
    whole = save(files_of(known_splats(3), 2), tmp_path / "whole.sog", method=method).read_bytes()
    with zipfile.ZipFile(tmp_path / "whole.sog") as archive:
        starts = [info.header_offset + 30 + len(info.filename) for info in archive.infolist()]
    path = tmp_path / "damaged.sog"
    for start in starts:
        for offset in (0, 5, 20, 40):
            data = bytearray(whole)
            data[start + offset : start + offset + 4] = b"\xff\x00\xff\x00"
            path.write_bytes(data)
            with pytest.raises(FormatError):
                read(path)


def test_names_that_are_no_text_are_one_error(tmp_path):
    path = save({**files_of(known_splats(0), 2), "é": b""}, tmp_path / "scene.sog")
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\x81\x81"))
    with pytest.raises(FormatError, match="not a zip archive that can be read"):
        read_splats(path)


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_no_archive_is_one_error(size, tmp_path):
    path = tmp_path / "scene.sog"
    path.write_bytes(bytes(size))
    with pytest.raises(FormatError, match="not a zip archive"):
        read_splats(path)


def test_a_list_of_levels_of_detail_says_where_the_gaussians_are(tmp_path):
    (tmp_path / "lod-meta.json").write_text(json.dumps({"lodLevels": 2, "filenames": ["0_0/meta.json"], "tree": {}}))
    with pytest.raises(FormatError, match="levels of detail of a streamed SOG") as error:
        read_splats(tmp_path / "lod-meta.json")
    assert "0_0/meta.json" in error.value.hint
