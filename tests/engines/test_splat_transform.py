"""PlayCanvas' splat-transform reads our files, and we read its files: the same scene within the format's precision."""

import subprocess

import numpy as np
import pytest
from browser_engines import MODULES
from known_scene import RDF, Tolerance, appearance, check_same, gaussians_from, known_splats, splats_from, turned

from img2world.formats.files import read_splats, write_splats

pytestmark = pytest.mark.engines

PROGRAM = MODULES / "@playcanvas/splat-transform/bin/cli.mjs"
TIMEOUT = 60.0
EXACT = Tolerance(covariance=1e-5, color=1e-5)
BYTES = Tolerance(center=2e-3, covariance=0.02, opacity=0.004, color=0.08)
FRAMES = {".glb": np.diag([-1.0, 1.0, -1.0])}
"""Between a PLY and glTF it takes half a turn about Z, we as most take one about X."""


def transform(source, target):
    command = ["node", PROGRAM, "-w", "--no-tty", "-g", "cpu", source, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check(path, splats, frame, tolerance):
    found = splats_from(read_splats(path).gaussians)
    check_same(appearance(found, frame), turned(appearance(splats), frame), tolerance)


@pytest.mark.parametrize(
    ("suffix", "degree", "tolerance"),
    [
        *((".ply", 3, EXACT), (".compressed.ply", 3, BYTES), (".splat", 0, BYTES)),
        *((".ksplat", 1, BYTES), (".spz", 3, BYTES), (".sog", 3, BYTES)),
    ],
)
def test_it_reads_our_files(node, suffix, degree, tolerance, tmp_path):
    splats = known_splats(degree)
    write_splats(gaussians_from(splats), tmp_path / f"ours{suffix}")
    transform(tmp_path / f"ours{suffix}", tmp_path / "theirs.ply")
    check(tmp_path / "theirs.ply", splats, RDF, tolerance)


@pytest.mark.parametrize(
    ("suffix", "degree", "tolerance"),
    [
        # In a SOG of so few Gaussians it gives some the same harmonics.
        *(
            (".ply", 3, EXACT),
            (".glb", 3, EXACT),
            (".compressed.ply", 3, BYTES),
            (".spz", 3, BYTES),
            (".sog", 0, BYTES),
        ),
    ],
)
def test_we_read_its_files(node, suffix, degree, tolerance, tmp_path):
    splats = known_splats(degree)
    write_splats(gaussians_from(splats), tmp_path / "ours.ply")
    transform(tmp_path / "ours.ply", tmp_path / f"theirs{suffix}")
    check(tmp_path / f"theirs{suffix}", splats, FRAMES.get(suffix, RDF), tolerance)
