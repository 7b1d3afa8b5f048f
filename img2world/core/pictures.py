"""Stacks of pictures as PNG files, and other arrays as safetensors files."""

import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Int, Shaped, UInt8
from PIL import Image as PillowImage
from safetensors.numpy import load_file, save_file

from img2world.core.threads import usable_cores

IN_MEMORY = 2**30
"""Bytes of a stack of pictures up to which it lies in memory."""


def empty_stack(shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> np.ndarray:
    """Return an array for pictures, with any values.

    A large one is a temporary file mapped into memory, of which the system keeps as much in memory as fits. The file
    goes with the array. Where the disk has no room for it the array lies in memory.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    # Writing to a mapped file on a full disk would end the process.
    if size <= IN_MEMORY or shutil.disk_usage(tempfile.gettempdir()).free < 2 * size:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="img2world-") as file:
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def stack_pictures(pictures: Iterable[np.ndarray], count: int) -> Shaped[np.ndarray, "V H W *C"]:
    """Return `count` pictures of the same shape and type, one or more, as one array made by `empty_stack`."""
    pictures = iter(pictures)
    first = next(pictures)
    stack = empty_stack((count, *first.shape), first.dtype)
    for place, picture in zip(stack, chain([first], pictures), strict=True):
        place[...] = picture
    return stack


def select_pictures(stack: Shaped[np.ndarray, "V H W *C"], index: Int[np.ndarray, "K"]) -> np.ndarray:
    """Return some pictures of a stack, in the order of the index, as an array made by `empty_stack`."""
    selected = empty_stack((len(index), *stack.shape[1:]), stack.dtype)
    for place, i in zip(selected, index.tolist(), strict=True):
        place[...] = stack[i]
    return selected


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
    """Read pictures that `save_pictures` wrote, one or more: colours, and alpha [V, H, W] if they have it."""
    first = _load(folder / names[0])
    rgb = empty_stack((len(names), *first.shape[:2], 3))
    alpha = empty_stack((len(names), *first.shape[:2])) if first.shape[-1] == 4 else None
    for i, name in enumerate(names):
        picture = _load(folder / name)
        rgb[i] = picture[..., :3]
        if alpha is not None:
            alpha[i] = picture[..., 3]
    return rgb, alpha


def load_masks(folder: Path, names: list[str]) -> UInt8[np.ndarray, "V H W"]:
    """Read pictures of one channel that `save_pictures` wrote, one or more."""
    return stack_pictures((_load(folder / name) for name in names), len(names))


def _load(path: Path) -> UInt8[np.ndarray, "H W *C"]:
    """Read a PNG."""
    with PillowImage.open(path, formats=("PNG",)) as picture:
        return np.asarray(picture)


def save_arrays(arrays: dict[str, np.ndarray | None], path: Path) -> None:
    """Write the arrays that are not None to a safetensors file, with the same bytes each time."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}, path)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file."""
    return load_file(path)
