"""Write README.txt and manifest.json of a bundle."""

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from img2world.core.conventions import INPUT_DISTANCE, OPENCV_FROM_OPENGL, Y_UP_FROM_WORLD
from img2world.core.packages import name_with_version
from img2world.core.scene import Scene
from img2world.export.bundle_targets import TARGETS, Target
from img2world.formats.files import find_suffix, read_splats
from img2world.formats.frames import Turn, mesh_from_splats, turn_from_matrix

CONTENTS = {
    "scene.": "the Gaussian splats",
    "mesh.": "the mesh with its texture",
    "mesh_lod": "the mesh with fewer triangles, for greater distances",
    "collider.": "a simple mesh for collisions, not to be shown",
    "preview.": "a picture from the camera of the photo",
    "preview_turned.": "a picture from another side",
    "world.": "a web page for visitors",
    "index.": "a web page to start from, with three.js and Spark",
    "manifest.": "units, axes, camera, turn of the splats, checksums, licences",
}
"""Description of a file by the beginning of its name."""

WIDTH = 100
"""Characters in a line of README.txt."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Facts about the making of a scene that the scene does not contain."""

    is_metric: bool = False
    """The unit of exported files is the metre."""
    licences: tuple[dict[str, str], ...] | None = None
    """Model, licence and part of each model that had a hand in the scene; None if that is unknown."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file that bundles share."""

    path: Path
    reader: str
    """Name and version of the program that read it back."""


def describe(name: str, parts: dict[str, Part], scene: Scene, origin: Origin) -> dict[str, Any]:
    """Return the manifest without its files."""
    target = TARGETS[name]
    mesh = f"mesh{target.mesh_suffix}"
    bounds = _bounds(scene)
    place = "below the middle of the object" if scene.is_object else "below the camera of the photo"
    return {
        "generator": name_with_version("img2world"),
        "target": {"name": name, "title": target.title, "up": target.up, "hand": target.hand, "unit": target.unit},
        "frame": {
            "of": f"{mesh}, in which bounds and camera are given",
            "up": "+Y",
            "hand": "right",
            "unit": "metre" if origin.is_metric else "arbitrary; engines take it for a metre",
            "origin": f"on the ground, {place}" if scene.supported else "that of the file it was made from",
        },
        "bounds": {"min": bounds[0].tolist(), "max": bounds[1].tolist(), "of": "opaque Gaussians, their centres"},
        "camera": _camera(scene, bounds),
        "splats": _splats(target, parts),
        "mesh": {"file": mesh, "others": sorted(file for file in parts if file.startswith(("mesh_lod", "collider")))},
        "checked_in": target.checked,
        "licences": "unknown: those of the file it was made from" if origin.licences is None else origin.licences,
    }


def _bounds(scene: Scene) -> Float64[np.ndarray, "2 3"]:
    """Return the corners of the box around the opaque Gaussians in the frame of the mesh file."""
    gaussians = scene.at(scene.start)
    opaque = gaussians.opacities > 0.5
    means = (gaussians.means[opaque] if opaque.any() else gaussians.means).astype(np.float64)
    matrix = Y_UP_FROM_WORLD @ scene.asset_from_world
    means = means @ matrix[:3, :3].T + matrix[:3, 3]
    return np.stack([means.min(0), means.max(0)])


def _camera(scene: Scene, bounds: Float64[np.ndarray, "2 3"]) -> dict[str, Any]:
    """Return the camera of the photo in the frame of the mesh file."""
    camera = scene.cameras.select([0]).transformed(scene.asset_from_world)
    pose = Y_UP_FROM_WORLD @ camera.world_from_cam[0].astype(np.float64) @ OPENCV_FROM_OPENGL
    forward = -pose[:3, 2]
    distance = INPUT_DISTANCE * float(np.cbrt(np.linalg.det(scene.asset_from_world[:3, :3])))
    if scene.is_object:
        distance = float((bounds.mean(0) - pose[:3, 3]) @ forward)
    (focal_x, _, x), (_, focal_y, y), _ = camera.intrinsics[0].astype(float).tolist()
    return {
        "of": "the photo" if scene.supported else "a view of the whole",
        "axes": "looks along -Z, up is +Y",
        "world_from_camera": (pose + 0.0).tolist(),
        "target": (pose[:3, 3] + distance * forward).tolist(),
        "focal_px": [focal_x, focal_y],
        "principal_point_px": [x, y],
        "size_px": [camera.width, camera.height],
        "fov_y_deg": float(np.degrees(2 * np.arctan(camera.height / 2 / focal_y))),
    }


def _splats(target: Target, parts: dict[str, Part]) -> dict[str, Any] | None:
    """Return the file of the splats and their turn in each engine; None for a target without splats."""
    file = next((name for name in parts if name.startswith("scene.")), None)
    if file is None:
        return None
    means = read_splats(parts[file].path).gaussians.means.astype(np.float64)
    turns = {
        engine: asdict(turn_from_matrix(mesh_from_splats(engine, find_suffix(Path(file)), means.mean(0))))
        for engine in target.engines
    }
    convention = "of the object that holds the splats, in the engine's axes: scaled, then rotated, then moved"
    return {"file": file, "gaussians": len(means), "turn_convention": f"{convention}; angles about X, Y, Z"} | {
        "turns": turns
    }


def turn_in_words(turn: Turn) -> str:
    """Return the sentence that says what to enter for the object of the splats."""
    changes = []
    for label, values, neutral, unit in (
        ("position", turn.position, 0.0, ""),
        ("rotation", turn.euler_deg, 0.0, "°"),
        ("scale", turn.scale, 1.0, ""),
    ):
        if any(value != neutral for value in values):
            numbers = ", ".join(f"{axis} {value:.6g}{unit}" for axis, value in zip("XYZ", values, strict=True))
            changes.append(f"its {label} to {numbers}")
    if not changes:
        return "The object of the splats keeps position 0 and rotation 0."
    return f"Select the object of the splats and set {', and '.join(changes)}."


def readme(target: Target, splats: dict[str, Any] | None, names: list[str]) -> str:
    """Return the text of README.txt: three steps, and what the files are."""
    turn = turn_in_words(Turn(**splats["turns"][target.engines[0]])) if splats else ""
    # Names of files and addresses are not broken.
    wrap = textwrap.TextWrapper(WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    steps = "\n".join(wrap.fill(f"{i}. {step.format(turn=turn)}") for i, step in enumerate(target.steps, start=1))
    table = "\n".join(f"{name:<24}{_content(name)}" for name in sorted(names))
    checked = "\n".join(f"{kind}: {where}" for kind, where in target.checked.items())
    return f"For {target.title}, by img2world\n\n{steps}\n\nFiles\n{table}\n\nChecked in\n{checked}\n"


def _content(name: str) -> str:
    """Return what a file is."""
    return next(content for start, content in CONTENTS.items() if name.startswith(start))
