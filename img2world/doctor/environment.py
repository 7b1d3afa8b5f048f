"""Examination of this machine: programs and packages that are installed or missing, and how to install them."""

import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from img2world.core.errors import Img2WorldError
from img2world.render import resolve_backend

State = Literal["ok", "note", "missing"]

NEEDED_GB = 4.0
"""Memory, and free disk space, recommended for a run with the default recipe, in 10^9 bytes."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "brave-browser")
SIMD_FLAGS = ("avx512f", "avx2", "fma", "avx", "sse4_2", "neon", "asimd", "sve")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    name: str
    state: State
    found: str
    advice: str = ""
    """Advice to the user; empty if there is nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that a part of img2world uses."""

    install: str
    """Argument of `pip install`."""
    distribution: str
    licence: str
    purpose: str


PACKAGES = {
    "av": Package(install="av", distribution="av", licence="BSD-3-Clause", purpose="video in and out"),
    "pycolmap": Package(
        install="pycolmap", distribution="pycolmap", licence="BSD-3-Clause", purpose="cameras of photos and videos"
    ),
    "xatlas": Package(install="xatlas", distribution="xatlas", licence="MIT", purpose="texture coordinates of meshes"),
    "trimesh": Package(install="trimesh", distribution="trimesh", licence="MIT", purpose="mesh.glb"),
    "fast_simplification": Package(
        install="fast-simplification", distribution="fast-simplification", licence="MIT", purpose="smaller meshes"
    ),
    "pxr": Package(
        install="'img2world[usd]'",
        distribution="usd-core",
        licence="TOST-1.0",
        purpose="splats as OpenUSD, meshes for Quick Look",
    ),
    "coacd": Package(install="coacd", distribution="coacd", licence="MIT", purpose="colliders of objects"),
    "open3d": Package(
        install="'img2world[open3d]'", distribution="open3d-cpu", licence="MIT", purpose="the mesh method poisson"
    ),
    "onnxruntime": Package(
        install="'img2world[cutout]'",
        distribution="onnxruntime",
        licence="MIT",
        purpose="larger networks that cut out what stands in front",
    ),
    "gsplat": Package(
        install="'img2world[cuda]'", distribution="gsplat", licence="Apache-2.0", purpose="rasterizer for NVIDIA GPUs"
    ),
    "diffusers": Package(
        install="'img2world[diffusers]'",
        distribution="diffusers",
        licence="Apache-2.0",
        purpose="large open video models",
    ),
}
"""Packages by the name of their module."""


def examine_environment(folder: Path) -> Iterator[Finding]:
    """Check this machine; `folder` is where runs would be written."""
    yield Finding(name="python", state="ok", found=f"{platform.python_version()} on {platform.platform()}")
    yield _rasterizer()
    yield from _torch()
    yield _memory()
    free = shutil.disk_usage(folder).free / 1e9
    advice = (
        "" if free > NEEDED_GB else "a run takes 0.1 to 0.5 GB: free some space, or write to another disk with --out"
    )
    yield Finding(name="disk", state="ok" if free > NEEDED_GB else "note", found=f"{free:.1f} GB free", advice=advice)
    yield _browser()
    yield from (_package(module) for module in PACKAGES)


def simd_flags() -> list[str]:
    """Return the vector instructions of this processor that matter here, as Linux names them; empty elsewhere."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return [flag for flag in SIMD_FLAGS if flag in words]


def memory_gb() -> float:
    """Return the memory that this process may use in 10^9 bytes: that of the machine, or less in a container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text()))
        except (OSError, ValueError):
            # There is no such control group, or the file contains "max".
            continue
    return total / 1e9


def _rasterizer() -> Finding:
    """Check which rasterizer is used."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        backend = resolve_backend("auto")
    processor = " ".join(simd_flags()) or platform.machine()
    if backend == "native":
        from img2world.render.extension import describe

        try:
            facts = describe()
        except Img2WorldError as error:
            return Finding(name="rasterizer", state="missing", found=str(error), advice=error.hint)
        found = f"native, {facts['threads']} threads, {facts['simd']} (processor: {processor})"
        return Finding(name="rasterizer", state="ok", found=found)
    if backend == "gsplat":
        return Finding(name="rasterizer", state="ok", found="gsplat, on the GPU")
    advice = "the native module was not built: install a C++20 compiler (apt install g++), then reinstall img2world"
    return Finding(name="rasterizer", state="missing", found=f"{backend}, slow ({processor})", advice=advice)


def _torch() -> Iterator[Finding]:
    """Check the version of torch, and whether it has a GPU."""
    import torch

    yield Finding(name="torch", state="ok", found=f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        yield Finding(name="gpu", state="ok", found=f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    else:
        advice = (
            ""
            if shutil.which("nvidia-smi") is None
            else "there is a GPU, but torch was built without CUDA: see pytorch.org"
        )
        yield Finding(
            name="gpu", state="note", found="none that torch can use; everything runs on the CPU", advice=advice
        )


def _memory() -> Finding:
    """Check how much memory there is."""
    total = memory_gb()
    enough = total >= NEEDED_GB
    advice = "" if enough else "use --recipe fast, or smaller pictures"
    return Finding(name="memory", state="ok" if enough else "note", found=f"{total:.1f} GB", advice=advice)


def _browser() -> Finding:
    """Check which browsers can show a world."""
    found = [name for name in BROWSERS if shutil.which(name)]
    if found:
        return Finding(name="browser", state="ok", found=", ".join(found))
    advice = "use `img2world view RUN --lan` to show a world on another device, or open its world.html there"
    return Finding(name="browser", state="note", found="none found", advice=advice)


def _package(module: str) -> Finding:
    """Check whether a package is installed."""
    package = PACKAGES[module]
    if find_spec(module) is None:
        optional = package.install.startswith("'img2world[")
        found, advice = f"not installed: {package.purpose}", f"pip install {package.install}"
        return Finding(name=module, state="note" if optional else "missing", found=found, advice=advice)
    try:
        found = version(package.distribution)
    except PackageNotFoundError:
        found = "unknown version"
    return Finding(name=module, state="ok", found=f"{found}: {package.purpose}")
