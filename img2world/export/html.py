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
from img2world.core.motion import Motion
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.rotation import matrix_from_quat
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.support import supported_region
from img2world.viewer.packed_motion import clamped_windows, motion_fields, motion_header, unpack_motion
from img2world.viewer.packed_splats import SQUARE_LEVELS, pack, unpack
from img2world.viewer.page import camera_json, is_light, json_in_html, page_html

SWAY_FRACTION = 0.6
"""Fraction of the range of the scene's cameras that the idle sway uses."""

SWAY_LIMITS = {"yaw": (0.02, 0.12), "pitch": (0.007, 0.04)}
"""Minimum and maximum sway in radians: enough to show depth, too little to open holes behind edges."""

MAX_QUANTIZATION_ERROR = 0.51
"""Maximum error in quantization steps: half a step of rounding, and a margin for float32."""

MAX_OTHER_ERRORS = {"rotation_error": 2e-4, "bone_rotation_error": 2e-6, "bone_weights_error": 1.0}
"""Maximum errors of rotations in radians: half a step of 2 / 65535 in each of three parameters is 1.1e-4 at most, and
float32 is coarser than 24 bits. Weights are rounded so that their sum stays, which may take a whole step."""


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

        Returns the numbers of Gaussians, of bones and keys if it moves, and of bytes, and the maximum errors: of any
        field in quantization steps, and of the rotations in degrees. Raises ExportError when an error is larger than
        quantization explains.
        """
        path.write_text(world_html(scene, title=self.title), encoding="utf-8", newline="\n")
        progress(1, 2)
        world, gaussians, motion = read_world_html(path.read_text(encoding="utf-8"))
        errors = quantization_errors(displayed_gaussians(scene), world["splats"], gaussians)
        errors |= motion_errors(displayed_motion(scene), world["splats"], motion)
        limits = dict.fromkeys(errors, MAX_QUANTIZATION_ERROR) | MAX_OTHER_ERRORS
        wrong = [f"{name} {error:.2g}" for name, error in errors.items() if not error <= limits[name]]
        if wrong:
            raise ExportError(
                f"the page reads back wrong: {', '.join(wrong)}", hint=f"check the disk and write it again ({path})"
            )
        progress(2, 2)
        rotation_error = max(errors.pop("rotation_error"), errors.pop("bone_rotation_error", 0.0))
        moving = {} if motion is None else {"bones": len(motion.bone_pivots), "keys": len(motion.key_times)}
        return {
            "gaussians": float(len(gaussians)),
            **{name: float(number) for name, number in moving.items()},
            "bytes": float(path.stat().st_size),
            "max_error_in_steps": max(errors.values()),
            "max_rotation_error_deg": float(np.degrees(rotation_error)),
            "reader": name_with_version("img2world"),
        }


def displayed_motion(scene: Scene) -> Motion | None:
    """Return the motion that the page plays: none with a single keyframe."""
    return scene.motion if scene.motion is not None and len(scene.motion.key_times) > 1 else None


def displayed_gaussians(scene: Scene) -> Gaussians:
    """Return the Gaussians that the page holds: at rest if it plays a motion, else those of a single keyframe there."""
    if scene.motion is None or displayed_motion(scene) is not None:
        return scene.gaussians
    return scene.at(float(scene.motion.key_times[0]))


def world_html(scene: Scene, *, title: str) -> str:
    """Return the text of the page, which depends only on the scene and the title."""
    motion = displayed_motion(scene)
    header, payload = pack(displayed_gaussians(scene), () if motion is None else motion_fields(motion))
    red, green, blue = (round(255 * channel) for channel in scene.background)
    parts = {
        "title": html.escape(title),
        "count": f"{header['count']:,}",
        "idle": "Rotate" if scene.is_object else "Sway",
        "keys": "Arrow keys to orbit, + and − to zoom" if scene.is_object else "WASD and arrow keys to walk",
        "tone": "light" if is_light(scene.background, is_object=scene.is_object) else "dark",
        "background": f"rgb({red} {green} {blue})",
        "sources": "",
        "world": json_in_html(_describe(scene, header)),
        "splats": base64.b64encode(zlib.compress(payload, 9)).decode("ascii"),
    }
    return page_html(parts, start="main", moves=motion is not None)


def read_world_html(text: str) -> tuple[dict, Gaussians, Motion | None]:
    """Return the description of the world, the Gaussians and the motion, if any, that a page contains.

    Raises ExportError when the text is not a world page.
    """
    parser = _ScriptReader()
    parser.feed(text)
    try:
        world = json.loads(parser.scripts["world"])
        payload = zlib.decompress(base64.b64decode(parser.scripts["splats"], validate=True))
        gaussians = unpack(world["splats"], payload)
        motion = unpack_motion(world["motion"], world["splats"], payload) if "motion" in world else None
        return world, gaussians, motion
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
    errors = {
        "means_error": _steps_off(table["means"], expected.means, found.means),
        "log_scales_error": _steps_off(table["log_scales"], expected.log_scales, found.log_scales),
        "opacities_error": float(np.abs(expected.opacities - found.opacities).max(initial=0) * 255),
        "sh_first_error": _steps_off(table["sh_first"], expected.sh[:, 0], found.sh[:, 0]),
    }
    if "sh_rest" in table:
        high = np.array(table["sh_rest"]["high"]).reshape(-1, 3)
        root_a, root_b = (
            np.sign(sh) * np.sqrt(np.abs(sh) / np.where(high > 0, high, 1))
            for sh in (expected.sh[:, 1:], found.sh[:, 1:])
        )
        errors["sh_rest_error"] = float(np.abs(root_a - root_b).max(initial=0) * SQUARE_LEVELS)
    return {**errors, "rotation_error": _max_angle(expected.quats, found.quats)}


def motion_errors(expected: Motion | None, header: dict, found: Motion | None) -> dict[str, float]:
    """Return the maximum error of each field in quantization steps, of the bones' rotations in radians.

    Raises ExportError when the numbers of Gaussians, bones or keys differ.
    """
    shapes = [None if each is None else (each.bone_quats.shape, len(each.bone_weights)) for each in (expected, found)]
    if shapes[0] != shapes[1]:
        raise ExportError(
            f"the page holds a motion of shape {shapes[1]}, needs {shapes[0]}", hint="export the page again"
        )
    if expected is None or found is None:
        return {}
    table = {entry["name"]: entry for entry in header["fields"]}
    names = ("bone_indices", "bone_weights", "bone_pivots", "bone_translations")
    pairs = {name: (getattr(expected, name), getattr(found, name)) for name in names}
    windows = clamped_windows(expected), clamped_windows(found)
    if windows[0] is not None and windows[1] is not None:
        pairs["windows"] = windows
    elif windows[0] is not None or windows[1] is not None:
        raise ExportError("the page holds other windows of opacity", hint="export the page again")
    return {
        **{f"{name}_error": _steps_off(table[name], *pair) for name, pair in pairs.items()},
        "key_times_error": float(np.abs(expected.key_times - found.key_times).max()),
        "bone_rotation_error": _max_angle(expected.bone_quats.reshape(-1, 4), found.bone_quats.reshape(-1, 4)),
    }


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
    motion = displayed_motion(scene)
    return {
        "background": list(scene.background),
        "is_object": scene.is_object,
        "supported": (scene.supported or supported_region(scene)).as_json(),
        "sway": sway_ranges(scene.cameras),
        "camera": camera_json(scene.cameras),
        "splats": header,
        **({} if motion is None else {"motion": motion_header(motion)}),
    }


def _steps_off(entry: dict, a: np.ndarray, b: np.ndarray) -> float:
    """Return the maximum difference [N, C] in steps of the header entry of a linear field."""
    steps = (np.array(entry["high"]) - np.array(entry["low"])) / (256 ** entry["bytes"] - 1)
    # Rounding to float32 is no error, and where all values are equal there are no steps.
    off = np.maximum(np.abs(a.astype(np.float64) - b) - np.spacing(np.abs(b)), 0)
    return float((off / np.where(steps > 0, steps, 1)).max(initial=0))


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
