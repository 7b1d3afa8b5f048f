"""Splats and mesh of one bundle lie upon each other in real programs, the splats turned as the manifest says."""

import io
import json
import re
import time

import numpy as np
import pytest
from browser_engines import MODULES, TIMEOUT
from engine_protocol import MIN_PSNR, compare
from known_asset import MAGENTA
from PIL import Image
from programs import (
    ProgramMissingError,
    draw_with_blender,
    draw_with_f3d,
    draw_with_godot,
    places_in_blender,
)

MIN_OVERLAP = 0.95
"""Intersection over union of the outlines of splats and mesh."""

MIN_CONTRAST = 0.5
"""Difference from the background, 0 to 1, of what belongs to an outline."""


def outline(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture - np.array(MAGENTA)).max(-1) > MIN_CONTRAST


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    a, b = outline(first), outline(second)
    return float((a & b).sum() / (a | b).sum())


def drawn(draw, path, camera):
    try:
        return draw(path, camera, MAGENTA)
    except ProgramMissingError as error:
        pytest.skip(str(error))


@pytest.mark.browser
@pytest.mark.parametrize("engine", ["three", "playcanvas", "babylon"])
def test_splats_lie_upon_the_mesh(engines, bundles, check, engine):
    manifest = bundles.manifest("web")
    pictures = {}
    for kind, reference in (("splats", bundles.splat_picture), ("mesh", bundles.mesh_picture)):
        gate = "splats" if kind == "splats" else "texture"

        def accept(picture, reference=reference, gate=gate):
            return not compare(picture, reference).problems(MIN_PSNR[gate])

        pictures[kind] = engines.draw(
            engine,
            bundles.folder / "bundle-web" / manifest[kind]["file"],
            bundles.camera,
            background=MAGENTA,
            is_mesh=kind == "mesh",
            turn=manifest["splats"]["turns"][engine] if kind == "splats" else None,
            accept=accept,
        )
        check(pictures[kind], reference, gate)
    assert overlap(*pictures.values()) >= MIN_OVERLAP


@pytest.mark.engines
@pytest.mark.browser
def test_the_page_to_start_from_shows_both(engines, bundles):
    """Its addresses of packages are answered from the packages of the tests, which have the same versions."""

    def answer(route):
        place = re.fullmatch(r"https://cdn\.jsdelivr\.net/npm/((?:@\w+/)?\w+)@([\d.]+)/(.*)", route.request.url)
        package = json.loads((MODULES / place[1] / "package.json").read_text())
        assert package["version"] == place[2]
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
        route.fulfill(path=MODULES / place[1] / place[3], headers=headers)

    page = engines.page.context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.route(re.compile("^https:"), answer)
    page.set_viewport_size({"width": bundles.camera.width, "height": bundles.camera.height})
    page.goto(f"{engines.address}/bundle-web/index.html")
    for key, reference in ((None, bundles.splat_picture), ("m", bundles.mesh_picture)):
        if key:
            page.keyboard.press(key)
        end = time.monotonic() + TIMEOUT
        while True:
            shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), np.float32) / 255
            if not (wrong := compare(shot, reference).problems(MIN_PSNR["vertex colors"])) or time.monotonic() > end:
                break
        assert wrong == problems == []
    page.close()


def test_splats_lie_upon_the_mesh_in_f3d(bundles, check):
    """f3d has no objects to turn: the table of frames turns the camera."""
    folder = bundles.folder / "bundle-unity"
    mesh = drawn(draw_with_f3d, folder / "mesh.glb", bundles.camera)
    check(mesh, bundles.mesh_picture, "texture")
    assert overlap(drawn(draw_with_f3d, folder / "scene.ply", bundles.camera), mesh) >= MIN_OVERLAP


@pytest.mark.engines
@pytest.mark.parametrize(("target", "draw"), [("blender", draw_with_blender), ("godot", draw_with_godot)])
def test_the_mesh_lies_where_the_splats_are_seen(bundles, check, target, draw):
    mesh = drawn(draw, bundles.folder / f"bundle-{target}" / "mesh.glb", bundles.camera)
    check(mesh, bundles.mesh_picture, "texture")
    assert overlap(mesh, bundles.splat_picture) >= MIN_OVERLAP


@pytest.mark.engines
def test_blender_imports_the_splats_where_the_mesh_is(bundles):
    """3DGS Render imports PLY files with Blender's own operator."""
    folder, turn = bundles.folder / "bundle-blender", bundles.manifest("blender")["splats"]["turns"]["blender"]
    try:
        places = places_in_blender(folder / "scene.ply", folder / "mesh.glb", turn)
    except ProgramMissingError as error:
        pytest.skip(str(error))
    np.testing.assert_allclose(places["splats"], places["mesh"], atol=0.06)


@pytest.mark.parametrize("fault", ["mirrored", "shifted"])
def test_other_places_do_not_overlap(bundles, fault):
    moved = bundles.mesh_picture[:, ::-1] if fault == "mirrored" else np.roll(bundles.mesh_picture, 5, 1)
    assert overlap(bundles.splat_picture, moved) < MIN_OVERLAP
