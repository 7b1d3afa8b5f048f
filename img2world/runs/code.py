"""The code that a result depends on: a module and everything in this package that it can reach."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from img2world.core.errors import MissingPackageError
from img2world.core.resources import resource_folder
from img2world.runs.files import digest_of, file_digest

PACKAGE = "img2world"
NAMED_MODULE = re.compile(rf"({PACKAGE}(?:\.\w+)+)(?::\w+)?")
"""Names of modules in strings: of backends in tables, and of child processes."""

SOURCES = (".py", ".js", ".html", ".css")


@cache
def code_digest(*modules: str) -> str:
    """Return the SHA-256 of modules and of all modules, native modules and assets that they can reach.

    Modules are found by imports anywhere in the source and by names in strings, as in tables of backends and calls of
    child processes. A package that is reached counts with its `__init__` alone, one given in `modules` with everything
    below it.
    """
    reached: set[str] = set()
    waiting = [found for module in modules for found in _submodules(module)]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += _references(module)
    return digest_of({module: _digest(module) for module in sorted(reached)})


def _submodules(module: str) -> Iterator[str]:
    """Yield a module and, if it is a package, all modules below it."""
    yield module
    if _is_package(module):
        folder = _file(module).parent
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([module, *(part for part in parts if part != "__init__")])


@cache
def _references(module: str) -> tuple[str, ...]:
    """Return the modules of this package and the assets that a module's source names."""
    file = _file(module)
    if file.suffix != ".py":
        return ()
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # A name may be a module or something in it, which then is the module that counts.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if _exists(name) else node.module for name in names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if match := NAMED_MODULE.fullmatch(node.value):
                found.add(match[1])
            elif node.value.endswith(".safetensors") and _asset(node.value):
                found.add(node.value)
    return tuple(sorted(name for name in found if _asset(name) or (name.startswith(PACKAGE) and _exists(name))))


def _digest(module: str) -> str:
    """Return the digest of a module's file, of an asset, or of a package's own files beside its modules."""
    file = _file(module)
    if not _is_package(module):
        return file_digest(file)
    beside = (path for path in file.parent.rglob("*") if path.suffix in SOURCES and path.suffix != ".py")
    return digest_of({path.relative_to(file.parent).as_posix(): file_digest(path) for path in [file, *beside]})


@cache
def _exists(module: str) -> bool:
    """Tell whether a module can be found, without importing it."""
    try:
        return module.startswith(PACKAGE) and find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _is_package(module: str) -> bool:
    """Tell whether a module holds others."""
    return _file(module).name == "__init__.py"


@cache
def _file(module: str) -> Path:
    """Return the file of a module or an asset."""
    if asset := _asset(module):
        return asset
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    return Path(spec.origin)


@cache
def _asset(name: str) -> Path | None:
    """Return the file of an asset, if there is one of this name."""
    if "/" not in name:
        return None
    try:
        path = resource_folder("assets") / name
    except MissingPackageError:
        return None
    return path if path.is_file() else None
