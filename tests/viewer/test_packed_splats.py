"""The packed format: values are read back within half a quantization step."""

import json
import struct

import numpy as np
import pytest

from img2world.core.gaussians import Gaussians
from img2world.viewer.packed_splats import pack, unpack


def random_gaussians(count: int, degree: int, *, spread: float = 1.0) -> Gaussians:
    rng = np.random.default_rng(count + degree)
    arrays = {
        "means": rng.normal(0, spread, (count, 3)),
        "quats": rng.normal(0, 3, (count, 4)),
        "log_scales": rng.uniform(-8, -1, (count, 3)),
        "logit_opacities": rng.normal(0, 4, count),
        "sh": rng.normal(0, 0.4, (count, (degree + 1) ** 2, 3)),
    }
    return Gaussians(**{name: array.astype(np.float32) for name, array in arrays.items()})


def rotations(quats: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(quats, scalar_first=True).as_matrix()


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_round_trip(degree):
    expected = random_gaussians(500, degree)
    header, payload = pack(expected)
    found = unpack(json.loads(json.dumps(header)), payload)
    assert header["count"] == 500
    assert header["sh_degree"] == degree
    # Half a step of 24 bits over about 8 units, and of 16 bits over 7 natural logarithms and over 3 coefficients.
    np.testing.assert_allclose(found.means, expected.means, atol=6e-7)
    np.testing.assert_allclose(found.log_scales, expected.log_scales, atol=6e-5)
    np.testing.assert_allclose(found.sh[:, 0], expected.sh[:, 0], atol=3e-5)
    np.testing.assert_allclose(found.opacities, expected.opacities, atol=0.501 / 255)
    np.testing.assert_allclose(rotations(found.quats), rotations(expected.quats), atol=2e-4)
    # Steps grow with the value: at most 1/127 of the geometric mean of the value and the maximum.
    rest, largest = expected.sh[:, 1:], np.abs(expected.sh[:, 1:]).max(0, initial=0)
    assert (np.abs(found.sh[:, 1:] - rest) <= (np.sqrt(np.abs(rest) * largest) + largest / 250) / 127).all()


def test_far_gaussians_do_not_coarsen_near_ones():
    expected = random_gaussians(500, 0)
    expected.means[0] = (900, -400, 2000)
    found = unpack(*pack(expected))
    # At a focal length of 500 px and a distance of 1, 1e-4 is a twentieth of a pixel.
    np.testing.assert_allclose(found.means, expected.means, atol=1e-4)


def test_payload_bytes_are_as_specified():
    """Single bytes decoded as a reader in another language would."""
    expected = random_gaussians(7, 1)
    header, payload = pack(expected)
    entry = next(entry for entry in header["fields"] if entry["name"] == "means")
    axis, i = 2, 3
    place = entry["offset"] + axis * 3 * 7 + i
    low, middle, high = payload[place], payload[place + 7], payload[place + 14]
    value = struct.unpack("<I", bytes([low, middle, high, 0]))[0] / (2**24 - 1)
    value = entry["low"][axis] + value * (entry["high"][axis] - entry["low"][axis])
    assert value == pytest.approx(expected.means[i, axis], abs=1e-6)
    # 9 + 6 + 1 + 6 + 6 bytes, and one for each of nine higher coefficients.
    assert len(payload) == header["bytes"] == 7 * 37


@pytest.mark.parametrize("count", [0, 1])
def test_few_gaussians(count):
    expected = random_gaussians(count, 1)
    found = unpack(*pack(expected))
    np.testing.assert_allclose(found.means, expected.means, atol=1e-6)
    np.testing.assert_allclose(found.sh, expected.sh, atol=1e-6)


def test_extreme_values_are_kept():
    expected = random_gaussians(4, 0)
    expected.logit_opacities[:] = (-80, 80, -3, 3)
    expected.log_scales[0] = -60
    found = unpack(*pack(expected))
    np.testing.assert_allclose(found.opacities, expected.opacities, atol=0.501 / 255)
    # The other scales become coarser, by no more than a thousandth.
    np.testing.assert_allclose(found.log_scales, expected.log_scales, atol=1e-3)


def test_wrong_payload_is_refused():
    header, payload = pack(random_gaussians(5, 0))
    with pytest.raises(ValueError, match="bytes"):
        unpack(header, payload[:-1])
    with pytest.raises(ValueError, match="img2world-splats 99"):
        unpack({**header, "version": 99}, payload)
