"""Splats and meshes in three.js with Spark, PlayCanvas and Babylon.js, compared with our own pictures."""

import pytest
from engine_protocol import MIN_PSNR, compare
from known_asset import BACKGROUND

pytestmark = pytest.mark.browser

SPLATS = [
    ("three", ".ply", 2),
    ("three", ".compressed.ply", 2),
    ("three", ".splat", 0),
    ("three", ".ksplat", 2),
    ("three", ".spz", 2),
    ("three", ".sog", 2),
    ("playcanvas", ".ply", 2),
    ("playcanvas", ".compressed.ply", 2),
    ("playcanvas", ".sog", 2),
    ("playcanvas", ".glb", 2),
    ("babylon", ".ply", 2),
    ("babylon", ".compressed.ply", 2),
    ("babylon", ".splat", 0),
    ("babylon", ".spz", 2),
    ("babylon", ".sog", 2),
    ("babylon", ".glb", 2),
]
"""Engine, format, and the degree of the harmonics that the format holds."""


@pytest.mark.parametrize(("engine", "suffix", "degree"), SPLATS)
def test_splats_look_the_same(engines, asset, check, engine, suffix, degree):
    reference = asset.splat_picture(degree)
    picture = engines.draw(
        engine,
        asset.splats(suffix),
        asset.camera,
        background=BACKGROUND,
        is_mesh=False,
        accept=lambda picture: not compare(picture, reference).problems(MIN_PSNR["splats"]),
    )
    check(picture, reference, "splats")


@pytest.mark.parametrize("kind", ["vertex colors", "texture"])
@pytest.mark.parametrize("engine", ["three", "playcanvas", "babylon"])
def test_meshes_look_the_same(engines, asset, check, engine, kind):
    reference = asset.mesh_picture()
    picture = engines.draw(
        engine,
        asset.mesh_file(kind),
        asset.camera,
        background=BACKGROUND,
        is_mesh=True,
        accept=lambda picture: not compare(picture, reference).problems(MIN_PSNR[kind]),
    )
    check(picture, reference, kind)
