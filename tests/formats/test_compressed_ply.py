import struct

import numpy as np
import pytest
import splat_decoders as decoders
from known_scene import Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from

from img2world.core.errors import FormatError
from img2world.core.ply import read_elements, write_elements
from img2world.formats.compressed_ply import read, write
from img2world.formats.files import read_splats

TOLERANCE = Tolerance(center=2e-3, covariance=0.02, opacity=0.002, color=0.08)


def elements_of(tmp_path, degree: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Return the elements of a file of the known scene, as arrays that may be changed."""
    write(gaussians_from(known_splats(degree)), tmp_path / "whole.compressed.ply")
    return {
        name: {title: np.array(column) for title, column in columns.items()}
        for name, columns in read_elements(tmp_path / "whole.compressed.ply").items()
    }


def test_chunks_may_have_no_colors(tmp_path):
    """The first version of the format has bytes without bounds."""
    elements = elements_of(tmp_path)
    words = []
    for splat in decoders.decode_compressed_ply(tmp_path / "whole.compressed.ply"):
        rgb = 0.5 + splat.harmonics[0] / 2 / np.sqrt(np.pi)
        words.append(struct.unpack(">I", bytes(round(255 * value) for value in (*rgb, splat.opacity)))[0])
    elements["vertex"]["packed_color"] = np.array(words, np.uint32)
    elements["chunk"] = {name: column for name, column in elements["chunk"].items() if name[4:] not in ("r", "g", "b")}
    write_elements(elements, tmp_path / "old.ply")
    found = read_splats(tmp_path / "old.ply")
    check_same(appearance(splats_from(found.gaussians)), appearance(known_splats(1)), TOLERANCE)


def test_it_is_known_by_its_content(tmp_path):
    splats = known_splats(2)
    write(gaussians_from(splats), tmp_path / "scene.ply")
    check_same(appearance(splats_from(read_splats(tmp_path / "scene.ply").gaussians)), appearance(splats), TOLERANCE)
    (tmp_path / "scene.compressed.ply").write_bytes((tmp_path / "scene.ply").read_bytes())
    assert len(read(tmp_path / "scene.compressed.ply").gaussians) == 5
    write_elements({"vertex": {"x": np.zeros(2, np.float32)}}, tmp_path / "points.ply")
    with pytest.raises(FormatError, match="not a compressed one"):
        read(tmp_path / "points.ply")


def test_each_chunk_has_its_own_bounds(scenes, tmp_path):
    """257 Gaussians are two chunks; far ones do not blur near ones."""
    gaussians = scenes.cloud(513, 0)
    gaussians.means[0] = (5000, 5000, 5000)
    write(gaussians, tmp_path / "scene.compressed.ply")
    tables = decoders.ply_elements((tmp_path / "scene.compressed.ply").read_bytes())
    assert len(tables["chunk"]) == 3
    splats = decoders.decode_compressed_ply(tmp_path / "scene.compressed.ply")
    centers = np.array([splat.center for splat in splats])
    errors = np.abs(centers[None] - gaussians.means[:, None]).max(2).min(1)
    # The chunk of the far one holds 255 others at most.
    assert np.mean(errors < 2e-3) > 0.49


DAMAGE = {
    "no chunk": (lambda e: e["chunk"].update({name: column[:0] for name, column in e["chunk"].items()}), "do not fit"),
    "two chunks": (
        lambda e: e["chunk"].update({name: np.repeat(column, 2) for name, column in e["chunk"].items()}),
        "do not fit",
    ),
    "one bound less": (lambda e: e["chunk"].pop("max_scale_y"), "do not fit"),
    "one color bound less": (lambda e: e["chunk"].pop("max_g"), "do not fit"),
    "one coefficient less": (lambda e: e["sh"].pop("f_rest_8"), "8 columns"),
    "another name": (lambda e: e["sh"].update(f_rest_9=e["sh"].pop("f_rest_3")), "damaged spherical harmonics"),
    "fewer coefficients": (
        lambda e: e["sh"].update({name: column[:4] for name, column in e["sh"].items()}),
        "damaged spherical harmonics",
    ),
    "coefficients of another type": (
        lambda e: e["sh"].update({name: column.astype(np.float32) for name, column in e["sh"].items()}),
        "damaged spherical harmonics",
    ),
    "no rotations": (lambda e: e["vertex"].pop("packed_rotation"), "point cloud|lacks"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_error(damage, tmp_path):
    change, found = DAMAGE[damage]
    elements = elements_of(tmp_path)
    change(elements)
    write_elements(elements, tmp_path / "damaged.ply")
    with pytest.raises(FormatError, match=found) as error:
        read_splats(tmp_path / "damaged.ply")
    assert "\n" not in str(error.value)


def test_endless_bounds_break_a_chunk(tmp_path):
    elements = elements_of(tmp_path)
    elements["chunk"]["max_y"][:] = np.inf
    write_elements(elements, tmp_path / "endless.ply")
    assert read_splats(tmp_path / "endless.ply").broken == 5
