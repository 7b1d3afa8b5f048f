"""Contact sheets that show the ground truth above generated frames."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from evaluation.rendering import RenderedViews
from img2world.core.frames import Frames

COLUMNS = 7


def write_contact_sheet(truth: RenderedViews, frames: Frames, path: Path) -> None:
    """Write a PNG of COLUMNS frames along the path, the first being the photo's."""
    index = np.round(np.linspace(0, len(frames), COLUMNS, endpoint=False)).astype(int)
    PillowImage.fromarray(np.concatenate([_line(truth.rgb[index]), _line(frames.rgb[index])])).save(path)


def _line(images: UInt8[np.ndarray, "V H W 3"]) -> UInt8[np.ndarray, "H L 3"]:
    """Return images side by side."""
    return np.concatenate(list(images), 1)
