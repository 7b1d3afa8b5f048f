"""Other programs read our files, and we read theirs."""

from importlib import import_module
from types import ModuleType
from typing import Any

import gaussforge
import numba
import numpy as np
import pytest
import splat_decoders as decoders
from known_scene import (
    RDF,
    RUB,
    Splat,
    Tolerance,
    appearance,
    check_same,
    gaussians_from,
    known_splats,
    splats_from,
    turned,
)

from img2world.formats.files import read_splats, write_splats

BYTES = Tolerance(center=2e-3, covariance=0.02, opacity=0.003, color=0.08)


@pytest.fixture(scope="module")
def gsply():
    """The package gsply in plain Python: compiling takes longer than reading five Gaussians."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", True)
        yield import_module("gsply")


def splats_of_gsply(data: Any) -> list[Splat]:
    count = len(data.means)
    rest = np.zeros((count, 0, 3)) if data.shN is None else np.asarray(data.shN).reshape(count, -1, 3)
    return [
        Splat(
            tuple(data.means[i]),
            tuple(data.quats[i]),
            tuple(np.exp(data.scales[i])),
            1 / (1 + np.exp(-float(data.opacities[i]))),
            np.concatenate([data.sh0[i][None], rest[i]]),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("suffix", "options", "load", "frame", "tolerance"),
    [
        (".ply", {}, "plyread", RDF, Tolerance(covariance=1e-5, color=1e-5)),
        (".compressed.ply", {}, "plyread", RDF, BYTES),
        (".spz", {}, "read_spz", RUB, BYTES),
        (".spz", {"version": 4}, "read_spz", RUB, BYTES),
    ],
)
def test_gsply_reads_our_files(gsply: ModuleType, suffix, options, load, frame, tolerance, degree, tmp_path):
    splats = known_splats(degree)
    path = tmp_path / f"scene{suffix}"
    write_splats(gaussians_from(splats), path, options)
    found = splats_of_gsply(getattr(gsply, load)(path))
    check_same(appearance(found, frame), turned(appearance(splats), frame), tolerance)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("suffix", "frame", "options"),
    [
        # Its reader of quantized ksplat is wrong: the format's own program and splat-transform agree with ours.
        *((".ply", RDF, {}), (".compressed.ply", RDF, {}), (".splat", RDF, {}), (".sog", RDF, {})),
        *((".spz", RUB, {}), (".spz", RUB, {"version": 4}), (".ksplat", RDF, {"level": 0})),
    ],
)
def test_gaussforge_reads_our_files(suffix, frame, options, degree, tmp_path):
    degree = min(degree, {".splat": 0, ".ksplat": 1}.get(suffix, 3))
    splats = known_splats(degree)
    path = tmp_path / f"scene{suffix}"
    write_splats(gaussians_from(splats), path, options)
    made = gaussforge.GaussForge().convert(path.read_bytes(), suffix[1:], "ply")
    (tmp_path / "theirs.ply").write_bytes(made["data"])
    found = decoders.decode_ply(tmp_path / "theirs.ply")
    check_same(appearance(found, frame), turned(appearance(splats), frame), BYTES)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(("suffix", "turn"), [("ply", RDF), ("splat", RDF), ("sog", RDF), ("spz", RUB)])
def test_files_of_gaussforge_are_read(suffix, turn, degree, tmp_path):
    """It copies the axes of a PLY into an SPZ, which has others."""
    degree = 0 if suffix == "splat" else degree
    splats = known_splats(degree)
    write_splats(gaussians_from(splats), tmp_path / "ours.ply")
    made = gaussforge.GaussForge().convert((tmp_path / "ours.ply").read_bytes(), "ply", suffix)
    path = tmp_path / f"theirs.{suffix}"
    path.write_bytes(made["data"])
    found = appearance(splats_from(read_splats(path).gaussians), turn)
    check_same(found, turned(appearance(splats), turn), BYTES)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_spz_files_of_gsply_are_read(gsply: ModuleType, degree, tmp_path):
    """It copies the axes of a PLY, too."""
    splats = known_splats(degree)
    write_splats(gaussians_from(splats), tmp_path / "ours.ply")
    gsply.write_spz(tmp_path / "theirs.spz", gsply.plyread(tmp_path / "ours.ply"))
    found = appearance(splats_from(read_splats(tmp_path / "theirs.spz").gaussians), RUB)
    check_same(found, turned(appearance(splats), RUB), BYTES)
