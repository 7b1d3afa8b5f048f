"""The web page that shows Gaussians: one template for worlds and for worlds in the making."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files

from img2world.core.cameras import Cameras

SCRIPTS = ("splat_data", "math", "shaders", "renderer", "region", "navigation", "input", "viewer")
"""Scripts that every page needs, in the order in which they are concatenated to one module, and before the one that
starts it."""

PLAYER_SCRIPTS = ("motion", "player")
"""Further ones of a page that plays a motion."""

LIGHT = 150
"""Brightness, 0 to 255, above which the text on a background is dark."""


def page_html(parts: Mapping[str, str], *, start: str, moves: bool = False) -> str:
    """Return the text of the page, with a player if the scene `moves`.

    `start` is the script that starts it, and `parts` fill the markers of its own.
    """
    scripts = (*SCRIPTS, *(PLAYER_SCRIPTS if moves else ()), start)
    common = {
        "style": static_text("page.css"),
        "script": "\n".join(static_text(f"{name}.js") for name in scripts),
        "sort_worker": static_text("sort_worker.js"),
        "idle_key": "space",
        "panel": "",
    }
    if moves:
        common |= {
            "style": "\n".join(static_text(name) for name in ("page.css", "player.css")),
            "sort_worker": "\n".join(static_text(name) for name in ("sort_worker.js", "motion_worker.js")),
            "idle_key": "I",
            "panel": static_text("player.html") + "\n",
        }
    texts = {**common, **parts}
    # In a single pass, so that a marker inside the title is not replaced.
    return re.sub("@@([a-z_]+)@@", lambda marker: texts[marker[1]], static_text("page.html"))


def static_text(name: str) -> str:
    """Return the text of a file of the page."""
    return files("img2world.viewer").joinpath("static", name).read_text(encoding="utf-8").rstrip("\n")


def json_in_html(value: object) -> str:
    """Return JSON that cannot close the script element that contains it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def is_light(background: tuple[float, float, float], *, is_object: bool) -> bool:
    """Tell whether text on the background is to be dark. A scene covers its background."""
    red, green, blue = background
    return is_object and 255 * (0.299 * red + 0.587 * green + 0.114 * blue) > LIGHT


def camera_json(cameras: Cameras, i: int = 0) -> dict:
    """Return a camera as the page takes it: rotation (9 numbers) and centre in the world, and intrinsics."""
    pose, intrinsics = cameras.world_from_cam[i], cameras.intrinsics[i]
    return {
        "rotation": pose[:3, :3].ravel().tolist(),
        "center": pose[:3, 3].tolist(),
        "fx": float(intrinsics[0, 0]),
        "fy": float(intrinsics[1, 1]),
        "cx": float(intrinsics[0, 2]),
        "cy": float(intrinsics[1, 2]),
        "width": cameras.width,
        "height": cameras.height,
    }
