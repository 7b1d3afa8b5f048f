"""A scene as one web page: our viewer and the data in a single file that needs no server and no network."""

import base64
import html
import json
import re
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.progress import Progress, silent
from img2world.core.rotation import matrix_from_quat
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.packed_splats import SQUARE_LEVELS, pack, unpack

SCRIPTS = ("splat_data.js", "math.js", "shaders.js", "renderer.js", "navigation.js", "input.js", "main.js")
"""In the order in which they are joined to one module."""

SWAY_SHARE = 0.6
SWAY_RANGES = {"yaw": (0.02, 0.12), "pitch": (0.007, 0.04)}
"""Smallest and largest sway in radians: enough to feel depth, not so much that edges open."""

MAX_STEPS_OFF = 0.51
"""Rounding is half a step at most; the rest is for float32."""
MAX_ANGLE = 2e-4
"""Radians. Half a step of 2 / 65535 in each of three parts turns a Gaussian by 1.1e-4 at most."""


@dataclass(frozen=True, kw_only=True)
class WorldPageExport:
    """One self-contained web page: open it by a double click, or put it on any web space."""

    filename: ClassVar[str] = "world.html"

    title: str = "img2world"
    """Shown on the page and in the browser's tab."""

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float]:
        """Write the page and read it back. Raises ExportError when the file does not hold the scene.

        Returns the number of Gaussians, the file's bytes and the largest errors, in quantisation steps.
        """
        path.write_text(world_html(scene, title=self.title), encoding="utf-8", newline="\n")
        progress(1, 2)
        world, gaussians = read_world_html(path.read_text(encoding="utf-8"))
        facts = packing_errors(shown_gaussians(scene), world["splats"], gaussians)
        angle = facts["rotation_error"]
        off = {name: error for name, error in facts.items() if name != "rotation_error" and error > MAX_STEPS_OFF}
        if off or angle > MAX_ANGLE:
            raise ExportError(
                f"the page does not hold the scene: {off or angle} off", hint="free some disk space and export again"
            )
        progress(2, 2)
        return {"gaussians": float(len(gaussians)), "bytes": float(path.stat().st_size), **facts}


def shown_gaussians(scene: Scene) -> Gaussians:
    """What a still page shows of a scene that may move: its first moment."""
    return scene.gaussians if scene.motion is None else scene.at(float(scene.motion.key_times[0]))


def world_html(scene: Scene, *, title: str) -> str:
    """The page, the same text for the same scene and title."""
    header, payload = pack(shown_gaussians(scene))
    red, green, blue = (round(255 * channel) for channel in scene.background)
    light = scene.is_object and 0.299 * red + 0.587 * green + 0.114 * blue > 150
    parts = {
        "title": html.escape(title),
        "count": f"{header['count']:,}",
        "idle": "Rotate" if scene.is_object else "Sway",
        "tone": "light" if light else "dark",
        "background": f"rgb({red} {green} {blue})",
        "style": _static("page.css"),
        "script": "\n".join(_static(name) for name in SCRIPTS),
        "sort_worker": _static("sort_worker.js"),
        "world": _json_in_html(_world(scene, header)),
        "splats": base64.b64encode(zlib.compress(payload, 9)).decode("ascii"),
    }
    # One pass, so that a marker inside a title is text and stays text.
    return re.sub("@@([a-z_]+)@@", lambda marker: parts[marker[1]], _static("page.html"))


def read_world_html(text: str) -> tuple[dict, Gaussians]:
    """What a page holds: its facts about the world, and the Gaussians.

    Raises ExportError when the text is not a world page.
    """
    parser = _ScriptReader()
    parser.feed(text)
    try:
        world = json.loads(parser.scripts["world"])
        payload = zlib.decompress(base64.b64decode(parser.scripts["splats"], validate=True))
        return world, unpack(world["splats"], payload)
    except (KeyError, ValueError, zlib.error) as error:
        raise ExportError(f"not a world page: {error}", hint="export the page again") from error


def packing_errors(wanted: Gaussians, header: dict, found: Gaussians) -> dict[str, float]:
    """Largest difference of each field in quantisation steps, and of the rotations in radians.

    Raises ExportError when the numbers of Gaussians or of coefficients differ.
    """
    if wanted.sh.shape != found.sh.shape:
        raise ExportError(
            f"the page holds Gaussians of shape {found.sh.shape}, needs {wanted.sh.shape}", hint="export the page again"
        )
    table = {entry["name"]: entry for entry in header["fields"]}

    def steps_off(name: str, a: np.ndarray, b: np.ndarray) -> float:
        entry = table[name]
        steps = (np.array(entry["high"]) - np.array(entry["low"])) / (256 ** entry["bytes"] - 1)
        # What float32 cannot tell apart is no error, and where all values are equal there are no steps.
        off = np.maximum(np.abs(a.astype(np.float64) - b) - np.spacing(np.abs(b)), 0)
        return float((off / np.where(steps > 0, steps, 1)).max(initial=0))

    errors = {
        "means_error": steps_off("means", wanted.means, found.means),
        "log_scales_error": steps_off("log_scales", wanted.log_scales, found.log_scales),
        "opacities_error": float(np.abs(wanted.opacities - found.opacities).max(initial=0) * 255),
        "sh_first_error": steps_off("sh_first", wanted.sh[:, 0], found.sh[:, 0]),
    }
    if "sh_rest" in table:
        high = np.array(table["sh_rest"]["high"]).reshape(-1, 3)
        root_a, root_b = (
            np.sign(sh) * np.sqrt(np.abs(sh) / np.where(high > 0, high, 1))
            for sh in (wanted.sh[:, 1:], found.sh[:, 1:])
        )
        errors["sh_rest_error"] = float(np.abs(root_a - root_b).max(initial=0) * SQUARE_LEVELS)
    return {**errors, "rotation_error": _largest_angle(wanted.quats, found.quats)}


def sway_ranges(cameras: Cameras) -> dict[str, list[float]]:
    """How far the viewer may swing about the origin from the first camera, by where the others were.

    Yaw and pitch as [lowest, highest] in radians, relative to the first camera.
    """
    to_origin = -cameras.centers_in_world.astype(np.float64)
    distances = np.linalg.norm(to_origin, axis=1)
    # A camera that walked up to the origin or past it says nothing about looking from the side.
    around = to_origin[distances > 0.3 * max(distances[0], 1e-6)]
    ranges = {}
    yaw = np.arctan2(around[:, 0], around[:, 2])
    pitch = np.arcsin(-around[:, 1] / np.linalg.norm(around, axis=1))
    for name, angles in {"yaw": yaw, "pitch": pitch}.items():
        relative = (angles - angles[0] + np.pi) % (2 * np.pi) - np.pi if len(angles) else np.zeros(1)
        least, most = SWAY_RANGES[name]
        low, high = (
            np.clip(-SWAY_SHARE * relative.min(), least, most),
            np.clip(SWAY_SHARE * relative.max(), least, most),
        )
        ranges[name] = [-round(float(low), 4), round(float(high), 4)]
    return ranges


def _world(scene: Scene, header: dict) -> dict:
    """What the page's script must know beside the numbers of the Gaussians."""
    pose, intrinsics = scene.cameras.world_from_cam[0], scene.cameras.intrinsics[0]
    camera = {
        "rotation": pose[:3, :3].ravel().tolist(),
        "center": pose[:3, 3].tolist(),
        "fx": float(intrinsics[0, 0]),
        "fy": float(intrinsics[1, 1]),
        "cx": float(intrinsics[0, 2]),
        "cy": float(intrinsics[1, 2]),
        "width": scene.cameras.width,
        "height": scene.cameras.height,
    }
    about = {"background": list(scene.background), "is_object": scene.is_object, "sway": sway_ranges(scene.cameras)}
    return {**about, "camera": camera, "splats": header}


def _largest_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Largest angle between two lists of rotations in radians."""
    turns = matrix_from_quat(a.astype(np.float64)).transpose(0, 2, 1) @ matrix_from_quat(b.astype(np.float64))
    # The chord is exact for small angles, where the arc cosine of the trace is not.
    chord = np.linalg.norm(turns - np.eye(3), axis=(1, 2)) / np.sqrt(2)
    return float(2 * np.arcsin(np.minimum(chord / 2, 1)).max(initial=0))


def _json_in_html(value: dict) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _static(name: str) -> str:
    """Text of a file in viewer/static, also out of a wheel."""
    return files("img2world.viewer").joinpath("static", name).read_text(encoding="utf-8").rstrip("\n")


class _ScriptReader(HTMLParser):
    """Collects the text of the script elements that have an id."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = (dict(attrs).get("id") or "") if tag == "script" else ""
        if self._open:
            self.scripts[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] += data
