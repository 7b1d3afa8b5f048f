import struct
from itertools import pairwise

import numpy as np
import pytest
from known_scene import gaussians_from, known_splats

from img2world.core.errors import FormatError
from img2world.formats.files import read_splats
from img2world.formats.splat import write


@pytest.mark.parametrize("size", [0, 1, 31, 33, 1000])
def test_another_size_is_refused(size, tmp_path):
    (tmp_path / "scene.splat").write_bytes(bytes(size))
    with pytest.raises(FormatError, match=f"has {size} bytes, needs a multiple of 32"):
        read_splats(tmp_path / "scene.splat")


def test_the_most_visible_come_first(tmp_path):
    """convert.py sorts by size times opacity, so that a viewer can show a part of the file."""
    write(gaussians_from(known_splats(0)), tmp_path / "scene.splat")
    rows = list(struct.iter_unpack("<6f8B", (tmp_path / "scene.splat").read_bytes()))
    weights = [np.prod(row[3:6]) * row[9] for row in rows]
    # Bytes of opacities are rounded.
    assert all(first > 0.99 * second for first, second in pairwise(weights))


def test_broken_gaussians_are_counted(tmp_path):
    good = struct.pack("<6f8B", 1, 2, 3, 0.1, 0.2, 0.3, 1, 2, 3, 255, 255, 128, 128, 128)
    rows = [
        good,
        struct.pack("<f", float("nan")) + good[4:],
        good[:12] + struct.pack("<f", -1) + good[16:],
        good[:28] + bytes([128] * 4),
        good[:12] + struct.pack("<f", 0) + good[16:],
    ]
    (tmp_path / "scene.splat").write_bytes(b"".join(rows))
    file = read_splats(tmp_path / "scene.splat")
    # A scale of 0 is a point, one below is nothing.
    assert (len(file.gaussians), file.broken) == (2, 3)
    np.testing.assert_allclose(file.gaussians.scales[1], [0, 0.2, 0.3], atol=1e-8)
