"""The compiled extension module: load it, choose its threads and its instruction set. Needs no torch."""

import os
from importlib import import_module
from types import ModuleType

from img2world.core.errors import Img2WorldError, MissingPackageError
from img2world.core.threads import usable_cores

THREADS_VARIABLE = "IMG2WORLD_THREADS"
SIMD_VARIABLE = "IMG2WORLD_SIMD"


def native_module() -> ModuleType:
    """Import the compiled module. Raises MissingPackageError when it was not built."""
    try:
        return import_module("img2world.render._native")
    except ImportError as error:
        raise MissingPackageError(
            f"the native rasterizer cannot be loaded: {error}",
            hint="install a wheel of img2world, or a C++20 compiler and then img2world again",
        ) from error


def num_threads() -> int:
    """Count the threads to use: IMG2WORLD_THREADS, or else every core this process may use."""
    text = os.environ.get(THREADS_VARIABLE)
    if text is None:
        return usable_cores()
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise Img2WorldError(f"{THREADS_VARIABLE} is {text!r}, needs a number from 1 to 1024", hint="unset it")
    return int(text)


def simd_level() -> str:
    """Name the instruction set to use: IMG2WORLD_SIMD, or else the best this machine has."""
    levels: list[str] = native_module().simd_levels()
    level = os.environ.get(SIMD_VARIABLE) or levels[0]
    if level not in levels:
        raise Img2WorldError(f"{SIMD_VARIABLE} is {level!r}, this machine has {', '.join(levels)}", hint="unset it")
    return level


def describe() -> dict[str, str | int]:
    """Return the instruction set and the number of threads, for people to read."""
    return {"simd": simd_level(), "threads": num_threads()}
