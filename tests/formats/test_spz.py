"""SPZ files of all versions and axes."""

import struct

import numpy as np
import pytest
from known_scene import Splat, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from
from splat_encoders import SYSTEMS, TOWARDS, in_axes, spz_bytes, system_extension

from img2world.core.errors import FormatError
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
