"""SPZ files of all versions and axes."""

import gzip
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
from known_scene import Splat, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from
from splat_encoders import SYSTEMS, TOWARDS, in_axes, spz_bytes, system_extension

from img2world.core.errors import FormatError
from img2world.formats.files import read_splats
from img2world.formats.spz import read, unpack, write


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_all_versions_are_read(version, degree):
    splats = known_splats(degree)
    rub = [in_axes(splat, np.diag([1.0, -1, -1])) for splat in splats]
    file = unpack(spz_bytes(rub, version))
    assert file.details == {"version": version, "fraction bits": 14, "axes": "RUB"}
    # A quaternion with three bytes has steps of 1/128, and more where w is small.
    center, covariance = (1e-3 if version == 1 else 4e-5), (0.05 if version < 3 else 5e-3)
    tolerance = Tolerance(center=center, covariance=covariance, opacity=0.002, color=4e-3)
    check_same(appearance(splats_from(file.gaussians)), appearance(splats), tolerance)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("system", SYSTEMS)
def test_all_coordinate_systems_are_read(system, version):
    frame = np.array([TOWARDS[letter] for letter in system], float)
    splats = known_splats(3)
    data = spz_bytes(
        [in_axes(splat, frame) for splat in splats], version, extensions=system_extension(1 + SYSTEMS.index(system))
    )
    file = unpack(data)
    assert file.details["axes"] == system
    # Turned coefficients are no multiples of 1/128: half a step in each of 15.
    tolerance = Tolerance(center=4e-5, covariance=6e-3, opacity=0.002, color=0.015)
    check_same(appearance(splats_from(file.gaussians)), appearance(splats), tolerance)


@pytest.mark.parametrize("version", [3, 4])
def test_other_extensions_are_passed_over(version):
    camera = struct.pack("<II3f", 0xADBE0002, 12, 0.1, 0.2, 0.3)
    data = spz_bytes(known_splats(1), version, flags=1, extensions=camera + system_extension(6))
    assert unpack(data).details == {"version": version, "fraction bits": 14, "axes": "RDF", "antialiased": True}
    assert unpack(spz_bytes(known_splats(1), version, extensions=system_extension(0))).details["axes"] == "RUB"
    with pytest.raises(FormatError, match="unknown coordinate system 17"):
        unpack(spz_bytes(known_splats(1), version, extensions=system_extension(17)))


@pytest.mark.parametrize("version", [3, 4])
def test_harmonics_of_degree_4_are_left_out(version):
    splats = [
        Splat(s.center, s.quaternion, s.radii, s.opacity, np.concatenate([s.harmonics, np.full((9, 3), 0.5)]))
        for s in known_splats(3)
    ]
    file = unpack(spz_bytes(splats, version), turn=False)
    assert file.details["left out"] == "spherical harmonics of degree 4"
    np.testing.assert_allclose(file.gaussians.sh[:, 1:], [s.harmonics[1:] for s in known_splats(3)], atol=1e-6)


@pytest.mark.parametrize(("version", "options"), [(3, {}), (4, {"version": 4})])
def test_equal_scenes_give_equal_files(version, options, tmp_path):
    for name in ("a.spz", "b.spz"):
        write(gaussians_from(known_splats(2)), tmp_path / name, **options)
    assert (tmp_path / "a.spz").read_bytes() == (tmp_path / "b.spz").read_bytes()
    assert read(tmp_path / "a.spz").details["version"] == version


def test_positions_are_as_precise_as_the_extent_allows(tmp_path):
    splats = known_splats(0)
    for extent, bits in ((1.3, 20), (10.0, 19), (2000.0, 12), (8_000_000.0, 0)):
        far = [
            Splat(tuple(np.array(s.center) * extent / 1.5), s.quaternion, s.radii, s.opacity, s.harmonics)
            for s in splats
        ]
        write(gaussians_from(far), tmp_path / "far.spz")
        file = read(tmp_path / "far.spz")
        assert file.details["fraction bits"] == bits
        np.testing.assert_allclose(file.gaussians.means, [s.center for s in far], atol=0.5001 / 2**bits, rtol=1e-7)


def test_a_scene_that_is_too_large_is_refused(tmp_path):
    gaussians = gaussians_from(known_splats(0))
    gaussians.means[3, 0] = 1e7
    with pytest.raises(FormatError, match="10,000,000 units from the origin"):
        write(gaussians, tmp_path / "far.spz")


def poked(data: bytes, offset: int, kind: str, value: int) -> bytes:
    return data[:offset] + struct.pack(f"<{kind}", value) + data[offset + struct.calcsize(kind) :]


DAMAGE = {
    "mark": (lambda whole: poked(whole, 0, "I", 1), "mark 0x1|not an SPZ"),
    "version 0": (lambda whole: poked(whole, 4, "I", 0), "version 0"),
    "version 9": (lambda whole: poked(whole, 4, "I", 9), "version 9"),
    "no Gaussians": (lambda whole: poked(whole, 8, "I", 0), "0 Gaussians"),
    "one Gaussian more": (lambda whole: poked(whole, 8, "I", 6), "bytes"),
    "huge count": (lambda whole: poked(whole, 8, "I", 2**32 - 1), "4294967295 Gaussians"),
    "degree 5": (lambda whole: poked(whole, 12, "B", 5), "degree 5"),
    "a higher degree": (lambda whole: poked(whole, 12, "B", 2), "bytes|streams"),
    "too many bits": (lambda whole: poked(whole, 13, "B", 60), "rules out"),
    "truncated": (lambda whole: whole[:-20], "bytes|reaches|damaged|compressed"),
    "header": (lambda whole: whole[:12], "ends in its header"),
    "nothing": (lambda whole: b"", "not an SPZ|header"),
}
DAMAGE_OF_4 = {
    "no streams": (lambda whole: poked(whole, 15, "B", 0), "table of 0 streams"),
    "more streams": (lambda whole: poked(whole, 15, "B", 200), "table of 200 streams"),
    "table in the header": (lambda whole: poked(whole, 16, "I", 8), "damaged table"),
    "table beyond the end": (lambda whole: poked(whole, 16, "I", 2**32 - 1), "damaged table"),
    "large stream": (lambda whole: poked(whole, 32, "Q", 2**60), "a stream of"),
    "large content": (lambda whole: poked(whole, 40, "Q", 2**60), "a stream of 1152921504606846976 bytes"),
    "broken frame": (lambda whole: poked(whole, 128, "I", 0), "compressed data"),
}


@pytest.mark.parametrize(
    ("version", "damage"), [*((3, name) for name in DAMAGE), *((4, name) for name in {**DAMAGE, **DAMAGE_OF_4})]
)
def test_damage_is_one_error_and_takes_no_memory(version, damage, tmp_path):
    change, found = {**DAMAGE, **DAMAGE_OF_4}[damage]
    data = spz_bytes(known_splats(1), version)
    data = change(data) if version == 4 else gzip.compress(change(gzip.decompress(data)))
    path = tmp_path / "scene.spz"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(FormatError, match=found) as error:
        read_splats(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("length", [1, 2, 10, 31, 32, 60, 150, -1])
def test_truncated_files_are_one_error(version, length, tmp_path):
    path = tmp_path / "scene.spz"
    path.write_bytes(spz_bytes(known_splats(1), version)[:length])
    with pytest.raises(FormatError):
        read_splats(path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_that_are_not_packed_are_read(version, tmp_path):
    """As some converters keep the content of an SPZ."""
    data = spz_bytes(known_splats(2), version)
    (tmp_path / "raw.spz").write_bytes(gzip.decompress(data))
    found, expected = read(tmp_path / "raw.spz"), unpack(data)
    assert found.details == expected.details
    for name, array in vars(expected.gaussians).items():
        np.testing.assert_array_equal(getattr(found.gaussians, name), array)
    (tmp_path / "raw.spz").write_bytes(gzip.decompress(data)[:-1])
    with pytest.raises(FormatError, match="bytes"):
        read(tmp_path / "raw.spz")


def test_positions_that_one_floater_makes_coarse_are_warned_of(scenes, tmp_path):
    gaussians = scenes.cloud(200, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(gaussians, tmp_path / "a.spz")
    gaussians.means[7] = (0, 1e6, 0)
    with pytest.warns(UserWarning, match="1,000,000 units away.*--drop-floaters"):
        write(gaussians, tmp_path / "a.spz")
    found = read(tmp_path / "a.spz").gaussians.means
    # The warning is true.
    assert np.abs(found - gaussians.means).max() > 1e-3 * np.ptp(gaussians.means[8:], axis=0).max() / 4
