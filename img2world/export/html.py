"""A scene as a single HTML file: the viewer and its data, without a server or network."""

import base64
import html
import json
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.rotation import matrix_from_quat
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.support import supported_region
from img2world.viewer.packed_splats import SQUARE_LEVELS, pack, unpack
from img2world.viewer.page import camera_json, is_light, json_in_html, page_html

SWAY_FRACTION = 0.6
"""Fraction of the range of the scene's cameras that the idle sway uses."""

SWAY_LIMITS = {"yaw": (0.02, 0.12), "pitch": (0.007, 0.04)}
"""Minimum and maximum sway in radians: enough to show depth, too little to open holes behind edges."""

MAX_QUANTIZATION_ERROR = 0.51
"""Maximum error in quantization steps: half a step of rounding, and a margin for float32."""

MAX_ANGLE = 2e-4
"""Maximum error of a rotation in radians. Half a step of 2 / 65535 in each of three parameters is 1.1e-4 at most."""


@dataclass(frozen=True, kw_only=True)
class WorldPageExport:
    """world.html: one self-contained web page; double-click it or host it anywhere."""

    filename: ClassVar[str] = "world.html"

    title: str = "img2world"
    """Title on the page and of the browser tab."""

    def write(
        self, scene: Scene, views: Views | None, path: Path, *, progress: Progress = silent
    ) -> dict[str, float | str]:
        """Write the page and read it back.

        Returns the numbers of Gaussians and bytes, and the maximum errors: of any field in quantization steps, and of
        the rotations in degrees. Raises ExportError when an error is larger than quantization explains.
        """
        path.write_text(world_html(scene, title=self.title), encoding="utf-8", newline="\n")
        progress(1, 2)
        world, gaussians = read_world_html(path.read_text(encoding="utf-8"))
        errors = quantization_errors(displayed_gaussians(scene), world["splats"], gaussians)
        limits = dict.fromkeys(errors, MAX_QUANTIZATION_ERROR) | {"rotation_error": MAX_ANGLE}
        wrong = [f"{name} {error:.2g}" for name, error in errors.items() if not error <= limits[name]]
        if wrong:
            raise ExportError(
                f"the page reads back wrong: {', '.join(wrong)}", hint=f"check the disk and write it again ({path})"
            )
        progress(2, 2)
        rotation_error = errors.pop("rotation_error")
        return {
            "gaussians": float(len(gaussians)),
            "bytes": float(path.stat().st_size),
            "max_error_in_steps": max(errors.values()),
            "max_rotation_error_deg": float(np.degrees(rotation_error)),
            "reader": name_with_version("img2world"),
        }


def displayed_gaussians(scene: Scene) -> Gaussians:
    """Return the Gaussians that the page shows: those of a moving scene at its first keyframe."""
    return scene.gaussians if scene.motion is None else scene.at(float(scene.motion.key_times[0]))


def world_html(scene: Scene, *, title: str) -> str:
    """Return the text of the page, which depends only on the scene and the title."""
    header, payload = pack(displayed_gaussians(scene))
    red, green, blue = (round(255 * channel) for channel in scene.background)
    parts = {
        "title": html.escape(title),
        "count": f"{header['count']:,}",
        "idle": "Rotate" if scene.is_object else "Sway",
        "keys": "Arrow keys to orbit, + and − to zoom" if scene.is_object else "WASD and arrow keys to walk",
        "tone": "light" if is_light(scene.background, is_object=scene.is_object) else "dark",
        "background": f"rgb({red} {green} {blue})",
        "sources": "",
        "panel": "",
        "world": json_in_html(_describe(scene, header)),
        "splats": base64.b64encode(zlib.compress(payload, 9)).decode("ascii"),
    }
    return page_html(parts, start="main")


def read_world_html(text: str) -> tuple[dict, Gaussians]:
    """Return the description of the world and the Gaussians that a page contains.

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


def quantization_errors(expected: Gaussians, header: dict, found: Gaussians) -> dict[str, float]:
    """Return the maximum error of each field in quantization steps, of the rotations in radians.

    Raises ExportError when the numbers of Gaussians or of SH coefficients differ.
    """
    if expected.sh.shape != found.sh.shape:
        raise ExportError(
            f"the page holds Gaussians of shape {found.sh.shape}, needs {expected.sh.shape}",
            hint="export the page again",
        )
    table = {entry["name"]: entry for entry in header["fields"]}

    def steps_off(name: str, a: np.ndarray, b: np.ndarray) -> float:
        entry = table[name]
        steps = (np.array(entry["high"]) - np.array(entry["low"])) / (256 ** entry["bytes"] - 1)
        # Rounding to float32 is no error, and where all values are equal there are no steps.
        off = np.maximum(np.abs(a.astype(np.float64) - b) - np.spacing(np.abs(b)), 0)
        return float((off / np.where(steps > 0, steps, 1)).max(initial=0))

    errors = {
        "means_error": steps_off("means", expected.means, found.means),
        "log_scales_error": steps_off("log_scales", expected.log_scales, found.log_scales),
        "opacities_error": float(np.abs(expected.opacities - found.opacities).max(initial=0) * 255),
        "sh_first_error": steps_off("sh_first", expected.sh[:, 0], found.sh[:, 0]),
    }
    if "sh_rest" in table:
        high = np.array(table["sh_rest"]["high"]).reshape(-1, 3)
        root_a, root_b = (
            np.sign(sh) * np.sqrt(np.abs(sh) / np.where(high > 0, high, 1))
            for sh in (expected.sh[:, 1:], found.sh[:, 1:])
        )
        errors["sh_rest_error"] = float(np.abs(root_a - root_b).max(initial=0) * SQUARE_LEVELS)
    return {**errors, "rotation_error": _max_angle(expected.quats, found.quats)}


def sway_ranges(cameras: Cameras) -> dict[str, list[float]]:
    """Return how far the viewer may sway about the origin, as [minimum, maximum] of yaw and pitch in radians.

    Both are relative to the first camera and depend on where the other cameras were.
    """
    to_origin = -cameras.centers_in_world.astype(np.float64)
    distances = np.linalg.norm(to_origin, axis=1)
    # A camera that came close to the origin or passed it says nothing about views from the side.
    around = to_origin[distances > 0.3 * max(distances[0], 1e-6)]
    ranges = {}
    yaw = np.arctan2(around[:, 0], around[:, 2])
    pitch = np.arcsin(-around[:, 1] / np.linalg.norm(around, axis=1))
    for name, angles in {"yaw": yaw, "pitch": pitch}.items():
        relative = (angles - angles[0] + np.pi) % (2 * np.pi) - np.pi if len(angles) else np.zeros(1)
        limits = SWAY_LIMITS[name]
        low, high = (np.clip(SWAY_FRACTION * end, *limits) for end in (-relative.min(), relative.max()))
        ranges[name] = [-round(float(low), 4), round(float(high), 4)]
    return ranges


def _describe(scene: Scene, header: dict) -> dict:
    """Return what the page's script has to know besides the Gaussians."""
    return {
        "background": list(scene.background),
        "is_object": scene.is_object,
        "supported": (scene.supported or supported_region(scene)).as_json(),
        "sway": sway_ranges(scene.cameras),
        "camera": camera_json(scene.cameras),
        "splats": header,
    }


def _max_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Return the maximum angle in radians between quaternions a and b [N, 4]."""
    rotations = matrix_from_quat(a.astype(np.float64)).transpose(0, 2, 1) @ matrix_from_quat(b.astype(np.float64))
    # Unlike the arc cosine of the trace, the chord is precise for small angles.
    chord = np.linalg.norm(rotations - np.eye(3), axis=(1, 2)) / np.sqrt(2)
    return float(2 * np.arcsin(np.minimum(chord / 2, 1)).max(initial=0))


class _ScriptReader(HTMLParser):
    """Collects the text of script elements by their id."""

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
