"""The lists that `img2world models` and `img2world formats` print: backends, their options, and file formats."""

import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib.util import find_spec

from img2world.core.errors import RecipeError
from img2world.doctor.environment import PACKAGES
from img2world.export import EXPORTERS
from img2world.export.bundle_targets import TARGETS
from img2world.render import RASTERIZERS
from img2world.runs.options import did_you_mean, option_docs, toml_text
from img2world.runs.recipe import TABLES, backend_class
from img2world.video.diffusion.cards import CARDS

NEEDS = {
    **{f"video.{name}": ("diffusers",) for name in CARDS},
    "video.file": ("av",),
    "poses.auto": ("pycolmap",),
    "poses.colmap": ("pycolmap",),
    "poses.flow-colmap": ("pycolmap",),
    "export.mesh": ("trimesh", "fast_simplification", "xatlas", "pxr", "coacd", "open3d"),
    "export.turntable": ("av",),
    "export.usd": ("pxr",),
    "export.bundle": ("trimesh", "fast_simplification", "xatlas", "pxr", "coacd"),
}
"""Modules that a backend imports in addition to NumPy, Pillow, OpenCV and torch."""

RASTERIZER_NEEDS = {
    "native": ("img2world.render._native", "a C++20 compiler at installation; any CPU"),
    "gsplat": ("gsplat", "pip install 'img2world[cuda]', and an NVIDIA GPU"),
    "reference": ("torch", "nothing else; slow, for tests"),
}


def list_backends() -> Iterator[str]:
    """Yield the backends of each stage as lines of text: name, summary and the packages it uses."""
    for stage, backends in TABLES.items():
        yield stage
        for name in backends:
            yield f"  {name:<14}{_summary(backend_class(name, backends, stage))}"
            yield from _packages(f"{stage}.{name}")
        yield ""
    yield "rasterizer of the splat stage: --set splat.backend=NAME"
    for name in RASTERIZERS:
        module, needs = RASTERIZER_NEEDS[name]
        yield f"  {name:<14}{'installed' if find_spec(module) else 'not installed'}; needs {needs}"


def list_formats() -> Iterator[str]:
    """Yield the export formats as lines of text: name, file and summary."""
    for name in EXPORTERS:
        exporter = backend_class(name, EXPORTERS, "export.formats")
        # The summary begins with the name of the file.
        yield f"  {name:<16}exports/{_summary(exporter)}"
        yield from _packages(f"export.{name}")
    yield ""
    yield "bundles: a folder for each engine, --bundle NAME[,NAME...]"
    for name, target in TARGETS.items():
        splats = f"{target.splats} and " if target.splats else ""
        yield f"  {name:<16}{splats}{target.mesh_suffix[1:]} for {target.title}"


def describe_backend(name: str) -> Iterator[str]:
    """Yield the options of a backend, their defaults and descriptions. Raises RecipeError when there is none."""
    tables = {**TABLES, "export": EXPORTERS}
    known = [word for table in tables.values() for word in table]
    if name.rpartition(".")[2] not in known:
        raise RecipeError(f"there is no backend {name}", hint=did_you_mean(name, known))
    for stage, table in tables.items():
        if name in table or (name.partition(".")[0] == stage and name.partition(".")[2] in table):
            short = name.rpartition(".")[2]
            backend = backend_class(short, table, stage)
            section = f"export.{short}" if stage == "export" else stage
            yield f"{stage}: {short}"
            yield f"  {' '.join((backend.__doc__ or '').split())}"
            docs = option_docs(backend)
            for field in fields(backend):
                default = field.default if field.default is not MISSING else field.default_factory()  # pyright: ignore
                if isinstance(default, tuple) and all(isinstance(item, str) for item in default):
                    default = ",".join(default)
                text = shlex.quote(default) if isinstance(default, str) else toml_text(default)
                yield f"  --set {section}.{field.name}={text}"
                if field.name in docs:
                    yield f"        {docs[field.name]}"
            yield ""


def _summary(backend: type) -> str:
    """Return the first paragraph of a backend's docstring on one line."""
    return " ".join((backend.__doc__ or "").split("\n\n")[0].split())


def _packages(place: str) -> Iterator[str]:
    """Yield the packages that a backend uses and whether they are installed. `place` is stage.name."""
    for module in NEEDS.get(place, ()):
        package = PACKAGES[module]
        state = "installed" if find_spec(module) else f"missing, pip install {package.install}"
        yield f"{'':<18}uses {package.install} ({package.licence}, {state})"
