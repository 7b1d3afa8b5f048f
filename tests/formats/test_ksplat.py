"""ksplat files of all levels, as SplatBuffer.js of mkkellogg/GaussianSplats3D writes them."""

import struct

import numpy as np
import pytest
from known_scene import Splat, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from

from img2world.core.errors import FormatError
from img2world.formats.files import read_splats
from img2world.formats.ksplat import read, write


def number(value: float, level: int) -> bytes:
    return struct.pack("<f" if level == 0 else "<e", value)


def section_of(
    splats: list[Splat], level: int, degree: int, *, room: int, low: float, high: float
) -> tuple[bytes, bytes]:
    """Return header and data of a section, with a full bucket of two Gaussians and partial ones of the others."""
    block, steps, capacity = 5.0, 32767, 2
    partial = [1] * (len(splats) - 2) if level else []
    buckets = [splats[:2], *([splat] for splat in splats[2:])] if level else []
    centers = [np.mean([splat.center for splat in bucket], 0) for bucket in buckets]
    bucket_of = [0, 0, *range(1, len(splats) - 1)]
    rows = b""
    for index, splat in enumerate(splats):
        if level == 0:
            rows += struct.pack("<3f", *splat.center)
        else:
            offset = np.array(splat.center) - centers[bucket_of[index]]
            rows += struct.pack("<3H", *(round(value / (block / 2) * steps) + steps for value in offset))
        for value in (*splat.radii, *splat.quaternion):
            rows += number(value, level)
        rgb = 0.5 + splat.harmonics[0] / 2 / np.sqrt(np.pi)
        rows += bytes(round(255 * value) for value in (*rgb, splat.opacity))
        for band in range(1, degree + 1):
            for channel in range(3):
                for k in range(band**2, (band + 1) ** 2):
                    value = splat.harmonics[k, channel]
                    rows += bytes([round(255 * (value - low) / (high - low))]) if level == 2 else number(value, level)
    rows += bytes(len(rows) // len(splats) * (room - len(splats)))
    prefix = struct.pack(f"<{len(partial)}I", *partial) + b"".join(struct.pack("<3f", *center) for center in centers)
    head = bytearray(1024)
    struct.pack_into("<4I", head, 0, len(splats), room, capacity if level else 0, len(buckets))
    struct.pack_into("<f", head, 16, block if level else 0)
    struct.pack_into("<H", head, 20, 12 if level else 0)
    # Zero stands for the usual number of steps.
    struct.pack_into("<I", head, 24, 0)
    struct.pack_into("<I", head, 28, len(prefix) + len(rows))
    struct.pack_into("<2I", head, 32, 1 if level else 0, len(partial))
    struct.pack_into("<H", head, 40, degree)
    return bytes(head), prefix + rows


def ksplat_bytes(
    sections: list[list[Splat]], level: int, degree: int, *, room: int = 0, limits: tuple[float, float] = (0, 0)
) -> bytes:
    """Return a file; limits of 0 stand for -1.5 and 1.5."""
    low, high = limits[0] or -1.5, limits[1] or 1.5
    made = [section_of(splats, level, degree, room=len(splats) + room, low=low, high=high) for splats in sections]
    count = sum(map(len, sections))
    head = bytearray(4096)
    head[1] = 1
    struct.pack_into("<4I", head, 4, len(sections), len(sections), count + room, count)
    struct.pack_into("<H", head, 20, level)
    struct.pack_into("<2f", head, 36, *limits)
    return bytes(head) + b"".join(head for head, _ in made) + b"".join(data for _, data in made)


@pytest.mark.parametrize("sections", [1, 2])
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_all_levels_are_read(level, degree, sections, tmp_path):
    splats = known_splats(degree)
    path = tmp_path / "scene.ksplat"
    parts = [splats] if sections == 1 else [splats[:3], splats[3:]]
    path.write_bytes(ksplat_bytes(parts, level, degree, room=4 if sections == 1 else 0))
    file = read_splats(path)
    assert file.details == {"compression": level}
    tolerance = Tolerance(
        center=1e-6 if level == 0 else 1e-4,
        covariance=1e-5 if level == 0 else 3e-3,
        opacity=0.002,
        color=0.03 if level == 2 else 5e-3,
    )
    check_same(appearance(splats_from(file.gaussians)), appearance(splats), tolerance)


def test_limits_of_the_harmonics_are_those_of_the_file(tmp_path):
    path = tmp_path / "scene.ksplat"
    path.write_bytes(ksplat_bytes([known_splats(2)], 2, 2, limits=(-0.625, 0.75)))
    tolerance = Tolerance(center=1e-4, covariance=3e-3, opacity=0.002, color=0.015)
    check_same(appearance(splats_from(read(path).gaussians)), appearance(known_splats(2)), tolerance)


def test_scattered_gaussians_are_written_precisely(tmp_path):
    """A bucket may be as large as the scene needs."""
    splats = [
        Splat(tuple(1000.0 * np.array(s.center)), s.quaternion, s.radii, s.opacity, s.harmonics)
        for s in known_splats(0)
    ]
    write(gaussians_from(splats), tmp_path / "far.ksplat")
    found = appearance(splats_from(read(tmp_path / "far.ksplat").gaussians))
    np.testing.assert_allclose(found.centers, appearance(splats).centers, atol=2600 / 65535)


def test_huge_scales_are_the_largest_that_fit(tmp_path):
    gaussians = gaussians_from(known_splats(0))
    gaussians.log_scales[0, 0] = 20
    write(gaussians, tmp_path / "huge.ksplat")
    assert read(tmp_path / "huge.ksplat").gaussians.scales.max() == pytest.approx(65504)


def poke(offset: int, kind: str, value: float):
    def change(data: bytearray) -> None:
        struct.pack_into(f"<{kind}", data, offset, value)

    return change


SECTION = 4096
DAMAGE = {
    "major version": (poke(0, "B", 1), "version 1.1"),
    "minor version": (poke(1, "B", 0), "version 0.0"),
    "level": (poke(20, "H", 3), "version"),
    "huge number of sections": (poke(4, "I", 2**32 - 1), "version"),
    "more sections": (poke(4, "I", 9999), "ends in the headers"),
    "no sections": (poke(4, "I", 0), "no Gaussians"),
    "no Gaussians": (poke(SECTION, "I", 0), "no Gaussians"),
    "huge count": (poke(SECTION, "I", 2**32 - 1), "ends in its section"),
    "no room": (poke(SECTION + 4, "I", 0), "ends in its section"),
    "huge capacity": (poke(SECTION + 8, "I", 2**32 - 1), "damaged buckets"),
    "no buckets": (poke(SECTION + 12, "I", 0), "damaged buckets"),
    "huge buckets": (poke(SECTION + 12, "I", 2**32 - 1), "ends in its section"),
    "small buckets": (poke(SECTION + 20, "H", 4), "damaged buckets"),
    "wide buckets": (poke(SECTION + 20, "H", 65535), "ends in its section"),
    "full buckets": (poke(SECTION + 32, "I", 2**32 - 1), "damaged buckets"),
    "more full buckets": (poke(SECTION + 32, "I", 2), "damaged buckets|do not fit"),
    "fewer partial buckets": (poke(SECTION + 36, "I", 2), "do not fit"),
    "huge partial buckets": (poke(SECTION + 36, "I", 2**32 - 1), "ends in its section"),
    "a partial bucket of another size": (poke(SECTION + 1024, "I", 2), "do not fit"),
    "a huge partial bucket": (poke(SECTION + 1024, "I", 2**32 - 1), "do not fit"),
    "degree": (poke(SECTION + 40, "H", 5), "degree 5"),
    "a higher degree": (poke(SECTION + 40, "H", 3), "ends in its section"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_error(damage, tmp_path):
    change, found = DAMAGE[damage]
    data = bytearray(ksplat_bytes([known_splats(1)], 1, 1))
    change(data)
    path = tmp_path / "scene.ksplat"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=found) as error:
        read_splats(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_endless_block_breaks_all_gaussians(value, tmp_path):
    data = bytearray(ksplat_bytes([known_splats(1)], 1, 1))
    poke(SECTION + 16, "f", value)(data)
    path = tmp_path / "scene.ksplat"
    path.write_bytes(data)
    assert read_splats(path).broken == 5


@pytest.mark.parametrize("length", [0, 100, 4095, 4096, 5119, 5120, 5200, -1])
def test_truncated_files_are_one_error(length, tmp_path):
    path = tmp_path / "scene.ksplat"
    path.write_bytes(ksplat_bytes([known_splats(1)], 1, 1)[:length])
    with pytest.raises(FormatError, match="ends in"):
        read_splats(path)
