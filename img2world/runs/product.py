"""Products of stages, and the keys that decide when they must be made again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from img2world.runs.code import code_digest
from img2world.runs.files import file_digest, path_digest
from img2world.runs.options import is_path
from img2world.runs.recipe import options_of
from img2world.runs.source import source_digest
from img2world.video.file import FileVideo

CORE = "img2world.core"
"""Package that every stage may call in addition to what its backend imports."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Product(Generic[T]):
    """The product of a stage: identified by its digest, read from the run folder when it is first needed."""

    digest: str
    load: Callable[[], T]
    _loaded: list[T] = field(default_factory=list, init=False, repr=False)
    _lock: Any = field(default_factory=Lock, init=False, repr=False)

    @property
    def value(self) -> T:
        """The product, loaded once, even if the page of a run asks for it at the same time as a stage."""
        with self._lock:
            if not self._loaded:
                self._loaded.append(self.load())
            return self._loaded[0]


def value(product: Product[T] | None) -> T | None:
    """Return the value of a product, or None without a product."""
    return product.value if product else None


def digests(**products: Product[Any] | None) -> dict[str, str]:
    """Return the digests of the products that a stage reads, for its key."""
    return {name: product.digest for name, product in products.items() if product}


def code_of(backend: object = None, seed: int = 0, source: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what determines a stage's result in addition to its input, for its key: code, options and seed.

    `backend` is the backend or the name of the module that does the work, or None if `core` alone does it. `source` is
    the entry of the manifest, which knows the digest of a source that is no longer there.
    """
    # Only the file itself: everything can be reached from the stages.
    own = {"stages": file_digest(Path(__file__).with_name("stages.py"))}
    if backend is None or isinstance(backend, str):
        return {**own, "code": code_digest(CORE, *([backend] if backend else []))}
    code = code_digest(CORE, type(backend).__module__)
    # A path counts by the content of the file or folder, wherever that is.
    options = options_of(backend)
    for name, option in options.items():
        if is_path(option):
            is_source = isinstance(backend, FileVideo) and name == "path"
            if is_source and source and source["path"] == str(option) and not Path(option).exists():
                options[name] = source["sha256"]
            else:
                options[name] = (source_digest if is_source else path_digest)(Path(option))
    return {**own, "backend": type(backend).__name__, "code": code, "seed": seed, **options}
