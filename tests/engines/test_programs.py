"""Meshes and splats in f3d, Blender and Godot, compared with our own pictures."""

import numpy as np
import pytest
from known_asset import BACKGROUND
from programs import ProgramMissingError, draw_with_blender, draw_with_f3d, draw_with_godot

from img2world.export.glb import linear_from_srgb


def same(colors: np.ndarray) -> np.ndarray:
    return colors


def linear(colors: np.ndarray) -> np.ndarray:
    """As f3d shows vertex colours: it leaves out the conversion to sRGB."""
    return linear_from_srgb((colors * 255).round().astype(np.uint8))


def white(colors: np.ndarray) -> np.ndarray:
    """As Godot 3 shows vertex colours: not at all."""
    return np.ones_like(colors)


MESHES = [
    pytest.param(draw_with_f3d, "vertex colors", linear, id="f3d-vertex colors"),
    pytest.param(draw_with_f3d, "texture", same, id="f3d-texture"),
    pytest.param(draw_with_blender, "vertex colors", same, id="blender-vertex colors", marks=pytest.mark.engines),
    pytest.param(draw_with_godot, "vertex colors", white, id="godot-vertex colors", marks=pytest.mark.engines),
    pytest.param(draw_with_blender, "texture", same, id="blender-texture", marks=pytest.mark.engines),
    pytest.param(draw_with_godot, "texture", same, id="godot-texture", marks=pytest.mark.engines),
]
"""Program, what holds the colours, and what the program makes of them."""


def drawn(draw, path, camera):
    try:
        return draw(path, camera, BACKGROUND)
    except ProgramMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("draw", "kind", "shown"), MESHES)
def test_meshes_look_the_same(asset, check, draw, kind, shown):
    check(drawn(draw, asset.mesh_file(kind), asset.camera), asset.mesh_picture(shown), kind)


@pytest.mark.parametrize("suffix", [".ply", ".splat"])
def test_splats_look_the_same_in_f3d(asset, check, suffix):
    check(drawn(draw_with_f3d, asset.splats(suffix), asset.camera), asset.splat_picture(degree=0), "splats")


@pytest.mark.engines
@pytest.mark.parametrize("draw", [draw_with_blender, draw_with_godot])
@pytest.mark.parametrize("time", [0.0, 0.9, 2.0])
def test_meshes_move_the_same_way(asset, check, draw, time):
    """At the first and last key, and between keys."""
    try:
        picture = draw(asset.animated_file(), asset.camera, BACKGROUND, time)
    except ProgramMissingError as error:
        pytest.skip(str(error))
    check(picture, asset.animated_picture(time), "texture")
    assert np.abs(picture - asset.animated_picture(2.0 - time)).mean() > 0.02 or time == 0.9
