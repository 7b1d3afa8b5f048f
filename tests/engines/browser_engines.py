"""three.js with Spark, PlayCanvas and Babylon.js in one page of a browser."""

import base64
import functools
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from engine_protocol import FAR, NEAR, view_of

from img2world.core.cameras import Cameras

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
INSTALL = "npm ci --ignore-scripts --prefix tests/engines"

TIMEOUT = 20.0
"""Seconds to wait for the right picture."""

STILL = 2.0
"""Seconds without a change after which a picture is final: engines sort in the background, first frames are wrong."""

LOCAL = ("data:", "blob:")


class NodeMissingError(Exception):
    """Node or its packages are missing; the message says how to get them."""


def check_node() -> None:
    """Raise NodeMissingError unless node and the packages of package-lock.json are there."""
    if shutil.which("node") is None:
        raise NodeMissingError(f"no Node: apt-get install nodejs npm && {INSTALL}")
    installed = MODULES / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (FOLDER / "package-lock.json").stat().st_mtime:
        raise NodeMissingError(f"the packages of package-lock.json are not installed: {INSTALL}")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without writing a log."""

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@dataclass(frozen=True)
class Engines:
    """The page that draws files, and the address of the folder in which they lie."""

    page: Any
    address: str
    folder: Path

    def draw(
        self,
        engine: str,
        path: Path,
        camera: Cameras,
        *,
        background: tuple[float, float, float],
        is_mesh: bool,
        turn: dict | None = None,
        accept: Callable[[np.ndarray], bool] = lambda picture: False,
    ) -> np.ndarray:
        """Return a file as a camera sees it, [H, W, 3] sRGB from 0 to 1.

        It is the first picture that is accepted, or else the one that no longer changes. Splats with a turn are seen
        by the camera of a GLB mesh.
        """
        view = view_of(camera, engine, Path("mesh.glb") if turn else path)
        size = {"width": camera.width, "height": camera.height}
        options = {
            "isMesh": is_mesh,
            "background": list(background),
            "turn": turn,
            "camera": {"pose": view.pose.T.ravel().tolist(), "fovY": view.fov_y_deg, "near": NEAR, "far": FAR, **size},
        }
        try:
            self.page.evaluate(
                "words => load(...words)",
                [engine, f"{self.address}/{path.relative_to(self.folder).as_posix()}", options],
            )
            return self._last_frame((camera.height, camera.width), accept)
        finally:
            self.page.evaluate("unload()")

    def _last_frame(self, shape: tuple[int, int], accept: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Return the frame that is accepted, or has not changed for a while."""
        end = time.monotonic() + TIMEOUT
        changed, last = time.monotonic(), b""
        while True:
            data = base64.b64decode(self.page.evaluate("frame()"))
            picture = np.frombuffer(data, np.uint8).reshape(*shape, 4)[..., :3].astype(np.float32) / 255
            now = time.monotonic()
            if data != last:
                changed, last = now, data
            if accept(picture) or now > min(end, changed + STILL):
                return picture
            self.page.wait_for_timeout(20)


@contextmanager
def open_engines(context: Any, folder: Path) -> Iterator[Engines]:
    """Open the page of the engines in a browser; files to draw must lie in the folder.

    What the page asks of any other address is refused.
    """
    bundle = [MODULES / ".bin/esbuild", FOLDER / "src/main.js", "--bundle", "--format=esm", "--log-level=error"]
    subprocess.run([*bundle, f"--outfile={folder / 'main.js'}"], check=True)
    (folder / "index.html").write_text('<meta charset="utf-8"><body><script type="module" src="main.js"></script>')
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            page = context.new_page()
            page.route(lambda url: not url.startswith((address, *LOCAL)), lambda route: route.abort())
            page.goto(f"{address}/index.html")
            page.wait_for_function("!!window.load")
            yield Engines(page, address, folder)
            page.close()
        finally:
            server.shutdown()
            thread.join()
