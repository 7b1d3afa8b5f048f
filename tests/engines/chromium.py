"""The browser of the tests."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("IMG2WORLD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
NO_CHROMIUM = "no Chromium: install the package chromium or set IMG2WORLD_CHROMIUM"
# The software renderer gives the same image on every machine, with or without a graphics card.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WINDOW = {"width": 320, "height": 240}


@contextmanager
def open_chromium(api: Any, folder: Path, *, flags: Sequence[str] = (), **options: Any) -> Iterator[Any]:
    """Open a browser with a profile folder of its own; yields the context of Playwright, whose `api` is given."""
    context = api.chromium.launch_persistent_context(
        str(folder),
        executable_path=CHROMIUM,
        args=[*FLAGS, *flags],
        headless=True,
        ignore_default_args=["--headless", "--headless=old"],
        viewport=WINDOW,
        **options,
    )
    yield context
    context.close()
