"""Checks of arrays, made once when a value is constructed."""

import numpy as np

from img2world.core.errors import Img2WorldError


def check_shapes(**arrays: tuple[np.ndarray, str]) -> None:
    """Check that named arrays have the given shapes and agree on the letters.

    Each keyword is ``name=(array, "V H 3")``: a number must match exactly, a letter must stand for the same size in
    all arrays of the call. Raises ValueError, since a wrong shape is a bug of the caller.
    """
    sizes: dict[str, int] = {}
    for name, (array, spec) in arrays.items():
        axes = spec.split()
        if array.ndim != len(axes):
            raise ValueError(f"{name} has shape {array.shape}, needs [{spec}]")
        for axis, size in zip(axes, array.shape, strict=True):
            expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != expected:
                raise ValueError(f"{name} has shape {array.shape}, needs [{spec}] with {axis} = {expected}")


def check_dtypes(**arrays: tuple[np.ndarray, type]) -> None:
    """Check that named arrays have exactly the given dtypes. Raises TypeError."""
    for name, (array, dtype) in arrays.items():
        if array.dtype != dtype:
            raise TypeError(f"{name} is {array.dtype}, needs {np.dtype(dtype)}")


def check_finite(**arrays: np.ndarray) -> None:
    """Check that no value is NaN or infinite. Raises Img2WorldError naming the first bad index."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise Img2WorldError(
                f"{name} holds {array[index]} at index {index}, needs finite numbers",
                hint="the file it was read from, or the stage that made it, is broken; redo it with --fresh",
            )
