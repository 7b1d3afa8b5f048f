"""Clips of fixed cameras: when their frames were taken, how much changes in them, and the frames themselves."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int
from PIL import Image as PillowImage

from img2world.captures.shots import FRAME_SECONDS
from img2world.captures.viewpoints import Viewpoint
from img2world.core.child_process import run_child
from img2world.core.errors import Img2WorldError, VideoError
from img2world.core.image import Image
from img2world.core.image_file import load_image
from img2world.video.containers import needed_container
from img2world.video.motion_energy import SIDE, energies
from img2world.video.synchrony import Energy

Pictures = dict[int, Image]
"""Frames by their index; those that cannot be read are missing."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The frames of one fixed camera."""

    name: str
    energy: Energy
    read: Callable[[Int[np.ndarray, "K"], int], Pictures]
    """Reads frames with sides of at most so many pixels."""

    def __len__(self) -> int:
        return len(self.energy.seconds)


def open_clip(viewpoint: Viewpoint, *, max_seconds: float, time_limit: float) -> Clip:
    """Measure all frames of a camera. Raises VideoError when there are fewer than 2 that can be read."""
    if viewpoint.video is not None:
        return open_video(viewpoint.video, viewpoint.name, max_seconds=max_seconds, time_limit=time_limit)
    return _open_folder(viewpoint)


def open_video(path: Path, name: str, *, max_seconds: float, time_limit: float) -> Clip:
    """Measure all frames of a video in a child process. Raises VideoError when it is broken, too long or too short."""
    form = needed_container(path)
    with tempfile.TemporaryDirectory(prefix="img2world-") as folder:
        result = Path(folder) / "energy.npz"
        options = {"path": str(path.resolve()), "format": form, "max_seconds": max_seconds, "result": str(result)}
        run_child("img2world.video.motion_energy", options, time_limit=time_limit, error=VideoError)
        with np.load(result) as arrays:
            stamps, energy = arrays["stamps"], Energy(seconds=arrays["seconds"], values=arrays["energy"])

    def read(index: Int[np.ndarray, "K"], size: int) -> Pictures:
        if not len(index):
            return {}
        with tempfile.TemporaryDirectory(prefix="img2world-") as name:
            folder = Path(name)
            options = {
                "path": str(path.resolve()), "format": form, "folder": name, "size": size,
                "stamps": stamps[index].tolist(),
            }  # fmt: skip
            run_child("img2world.video.decode", options, time_limit=time_limit, error=VideoError)
            read_stamps = json.loads((folder / "notes.json").read_text())["stamps"]
            rgb = np.load(folder / "rgb.npy")
            alpha = np.load(folder / "alpha.npy") if (folder / "alpha.npy").exists() else None
        places = {int(stamp): int(i) for stamp, i in zip(stamps[index], index, strict=True)}
        return {
            places[stamp]: Image(rgb=rgb[k], alpha=None if alpha is None else alpha[k])
            for k, stamp in enumerate(read_stamps)
        }

    return Clip(name=name, energy=energy, read=read)


def _open_folder(viewpoint: Viewpoint) -> Clip:
    """Measure the pictures of a camera, which count as frames at an even rate."""
    pictures = viewpoint.pictures
    known: list[int] = []

    def small() -> list[np.ndarray]:
        greys = []
        for i, path in enumerate(pictures):
            try:
                grey = cv2.cvtColor(load_image(path, max_side=SIDE).rgb, cv2.COLOR_RGB2GRAY)
            except Img2WorldError:
                continue
            known.append(i)
            # A transparent edge may round to another size.
            greys.append(grey if not greys else cv2.resize(grey, greys[0].shape[::-1]))
        return greys

    values = energies(small())
    if len(known) < 2:
        raise VideoError(
            f"{len(known)} of {len(pictures)} pictures can be read, needs at least 2: {pictures[0].parent}",
            hint="save them as PNG or JPEG",
        )
    paths = [pictures[i] for i in known]

    def read(index: Int[np.ndarray, "K"], size: int) -> Pictures:
        return {i: load_image(paths[i], max_side=size) for i in index.tolist()}

    energy = Energy(seconds=np.array(known) * FRAME_SECONDS, values=values)
    return Clip(name=viewpoint.name, energy=energy, read=read)


def reduced(image: Image, size: int) -> Image:
    """Return a picture whose longest side has at most so many pixels."""
    scale = size / max(image.width, image.height)
    if scale >= 1:
        return image
    shape = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))

    def resize(layer: np.ndarray) -> np.ndarray:
        return np.asarray(PillowImage.fromarray(layer).resize(shape, PillowImage.Resampling.LANCZOS))

    return Image(rgb=resize(image.rgb), alpha=None if image.alpha is None else resize(image.alpha))
