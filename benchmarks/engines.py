"""Draw the files of runs in real programs and compare the pictures, by the protocol of tests/engines.

    img2world run assets/samples/blocks.png --out runs/blocks && img2world export runs/blocks mesh
    python benchmarks/engines.py runs/blocks --sheets runs

Splats are compared with our own picture of them, the mesh with the run's photo, both from the photo's camera. Prints a
Markdown table and writes a contact sheet of each run, RUN.png, which has the reference first. Programs that are missing
are left out and named at the end, with the command that installs them.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))

from browser_engines import Engines, NodeMissingError, check_node, open_engines
from chromium import CHROMIUM, NO_CHROMIUM, open_chromium
from engine_protocol import MIN_PSNR, Comparison, compare
from programs import ProgramMissingError, draw_with_blender, draw_with_f3d, draw_with_godot

from img2world.core.cameras import Cameras
from img2world.core.scene import Scene
from img2world.formats.files import write_splats
from img2world.render import render
from img2world.runs.stages import measured_scene

BROWSER_SPLATS = {
    "three": (".ply", ".compressed.ply", ".splat", ".ksplat", ".spz", ".sog"),
    "playcanvas": (".ply", ".compressed.ply", ".sog", ".glb"),
    "babylon": (".ply", ".compressed.ply", ".splat", ".spz", ".sog", ".glb"),
}
"""The splat formats that each engine reads."""

F3D_SPLATS = (".ply", ".splat")
"""The splat formats that f3d reads; it draws their harmonics of degree 0 only."""

DEGREES = {".splat": 0, ".ksplat": 2}
"""The highest degree of harmonics that a format holds, if not 3."""

CELL, LABEL, COLUMNS = 256, 14, 6
"""Pixels of a picture's width and of a label's height, and pictures side by side, in a contact sheet."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A file as one program draws it."""

    program: str
    file: str
    kind: str
    """A key of MIN_PSNR."""
    picture: np.ndarray
    reference: np.ndarray

    @property
    def label(self) -> str:
        """The text below the picture."""
        return f"{self.program} {self.file}"


def main() -> None:
    """Compare the files of each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--sheets", type=Path, default=Path("."), help="the folder of the contact sheets")
    options = parser.parse_args()
    for run in options.runs:
        if not (run / "exports" / "mesh.glb").exists():
            parser.error(f"no mesh: img2world export {run} mesh")
    missing: dict[str, None] = {}
    results = {}
    for run in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            results[run.name] = list(results_of(run, Path(folder), missing))
        options.sheets.mkdir(parents=True, exist_ok=True)
        contact_sheet(results[run.name]).save(options.sheets / f"{run.name}.png")
    print(table(results))
    for reason in missing:
        print(f"left out: {reason}", file=sys.stderr)


def results_of(run: Path, folder: Path, missing: dict[str, None]) -> Iterator[Result]:
    """Draw the files of a run in all programs; reasons for leaving programs out are added to `missing`."""
    scene = measured_scene(Scene.load(run / "scene" / "scene.safetensors"), run / "world.json")
    camera, background = scene.cameras.select([0]), scene.background
    pictures = {degree: our_picture(scene, camera, degree) for degree in range(4)}
    photo = np.asarray(Image.open(run / "views" / "images" / "0000.png").convert("RGB"), np.float32) / 255
    mesh = folder / "mesh.glb"
    mesh.write_bytes((run / "exports" / "mesh.glb").read_bytes())
    kind = mesh_kind(mesh)
    mesh_camera = camera.transformed(scene.asset_from_world)

    def splats(suffix: str) -> Path:
        path = folder / f"splats{suffix}"
        if not path.exists():
            write_splats(scene.gaussians, path)
        return path

    def result(program: str, file: str, kind: str, picture: np.ndarray, reference: np.ndarray) -> Result:
        return Result(program=program, file=file, kind=kind, picture=picture, reference=reference)

    with ExitStack() as stack:
        try:
            engines = stack.enter_context(opened_engines(folder))
        except NodeMissingError as error:
            missing[str(error)] = None
        else:
            for engine, suffixes in BROWSER_SPLATS.items():
                for suffix in suffixes:
                    picture = engines.draw(engine, splats(suffix), camera, background=background, is_mesh=False)
                    yield result(engine, suffix, "splats", picture, pictures[DEGREES.get(suffix, 3)])
                picture = engines.draw(engine, mesh, mesh_camera, background=background, is_mesh=True)
                yield result(engine, f"mesh.glb, {kind}", kind, picture, photo)
    programs: dict[str, Callable[..., Any]] = {
        "f3d": draw_with_f3d, "blender": draw_with_blender, "godot": draw_with_godot,
    }  # fmt: skip
    for program, draw in programs.items():
        try:
            for suffix in F3D_SPLATS if program == "f3d" else ():
                yield result(program, suffix, "splats", draw(splats(suffix), camera, background), pictures[0])
            yield result(program, f"mesh.glb, {kind}", kind, draw(mesh, mesh_camera, background), photo)
        except ProgramMissingError as error:
            missing[str(error)] = None


@contextmanager
def opened_engines(folder: Path) -> Iterator[Engines]:
    """Open the engines of the browser on a folder of files. Raises NodeMissingError when something is missing."""
    check_node()
    if CHROMIUM is None:
        raise NodeMissingError(NO_CHROMIUM)
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as api,
        open_chromium(api, folder / "profile") as context,
        open_engines(context, folder) as engines,
    ):
        yield engines


def our_picture(scene: Scene, camera: Cameras, degree: int) -> np.ndarray:
    """Return our own picture, [H, W, 3], with harmonics up to a degree."""
    gaussians = replace(scene.gaussians, sh=scene.gaussians.sh[:, : (degree + 1) ** 2])
    return render(gaussians, camera, background=scene.background).rgb[0]


def mesh_kind(path: Path) -> str:
    """Return what holds the colours of a GLB."""
    data = path.read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    return "texture" if document.get("textures") else "vertex colors"


def table(results: dict[str, list[Result]]) -> str:
    """Return the Markdown table of all runs, with a * where the gate of the tests is not passed."""
    columns = "".join(f" {run}, dB | margin, dB | colour |" for run in results)
    lines = [f"| program | file |{columns}", "|---|---|" + "---|---|---|" * len(results)]
    for made in zip(*results.values(), strict=True):
        lines.append(f"| {made[0].program} | {made[0].file} | " + " | ".join(map(cells_of, made)) + " |")
    return "\n".join(lines)


def cells_of(result: Result) -> str:
    """Return the cells of one picture."""
    found: Comparison = compare(result.picture, result.reference)
    ratio = max(found.color_ratio, key=lambda value: abs(value - 1))
    failed = "*" if found.problems(MIN_PSNR[result.kind]) else ""
    return f"{found.psnr:.1f}{failed} | {found.margin:.1f} | {ratio:.3f}"


def contact_sheet(results: list[Result]) -> Image.Image:
    """Return the pictures with their labels, before those of splats and of the mesh the reference of each."""
    splats = [made for made in results if made.kind == "splats"]
    meshes = [made for made in results if made.kind != "splats"]
    cells = []
    for group, name in ((splats, "img2world"), (meshes, "photo")):
        if group:
            cells += [(name, group[0].reference), *((made.label, made.picture) for made in group)]
    height, width = cells[0][1].shape[:2]
    height, width = round(CELL * height / width), CELL
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(cells) // COLUMNS) * (height + LABEL)), "white")
    for i, (label, picture) in enumerate(cells):
        place = (i % COLUMNS * width, i // COLUMNS * (height + LABEL))
        cell = Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).resize((width, height))
        sheet.paste(cell, place)
        ImageDraw.Draw(sheet).text((place[0] + 2, place[1] + height + 2), label, "black")
    return sheet


if __name__ == "__main__":
    main()
