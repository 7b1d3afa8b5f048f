"""Stacks of pictures as PNG files, and other arrays as safetensors files."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage
from safetensors.numpy import load_file, save_file

from img2world.core.threads import usable_cores


def save_pictures(rgb: UInt8[np.ndarray, "V H W *C"], folder: Path, alpha: np.ndarray | None = None) -> list[str]:
    """Write 0000.png, 0001.png, … and return their names. `alpha` [V, H, W] uint8 makes them RGBA."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:04d}.png" for i in range(len(rgb))]

    def save(i: int) -> None:
        picture = rgb[i] if alpha is None else np.dstack([rgb[i], alpha[i]])
        # Level 1 is five times faster than the default, for a tenth more bytes.
        PillowImage.fromarray(picture).save(folder / names[i], compress_level=1)

    # Pillow releases the interpreter lock while it compresses.
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(save, range(len(rgb))))
    return names


def load_pictures(folder: Path, names: list[str]) -> tuple[UInt8[np.ndarray, "V H W 3"], np.ndarray | None]:
    """Read pictures that `save_pictures` wrote: colours, and alpha [V, H, W] if they have it."""
    pictures = []
    for name in names:
        with PillowImage.open(folder / name, formats=("PNG",)) as picture:
            pictures.append(np.asarray(picture))
    stack = np.stack(pictures)
    return np.ascontiguousarray(stack[..., :3]), np.ascontiguousarray(stack[..., 3]) if stack.shape[-1] == 4 else None


def load_masks(folder: Path, names: list[str]) -> UInt8[np.ndarray, "V H W"]:
    """Read pictures of one channel that `save_pictures` wrote."""
    masks = []
    for name in names:
        with PillowImage.open(folder / name, formats=("PNG",)) as picture:
            masks.append(np.asarray(picture))
    return np.stack(masks)


def save_arrays(arrays: dict[str, np.ndarray | None], path: Path) -> None:
    """Write the arrays that are not None to a safetensors file, with the same bytes each time."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}, path)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file."""
    return load_file(path)
