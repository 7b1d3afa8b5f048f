"""What a stage has made, and the key that says when it must be made again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from img2world.core.weights import Weights
from img2world.runs.code import code_digest
from img2world.runs.files import file_digest, path_digest
from img2world.runs.options import is_path
from img2world.runs.recipe import options_of
from img2world.runs.source import source_digest

CORE = "img2world.core"
"""What every stage may call beside what its backend imports."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Product(Generic[T]):
    """What a stage has made: known by its digest, read from the run folder when it is first needed."""

    digest: str
    load: Callable[[], T]

    @cached_property
    def value(self) -> T:
        """The value itself."""
        return self.load()


def value(product: Product[T] | None) -> T | None:
    """Return what a stage has made, where it was done."""
    return product.value if product else None


def digests(**products: Product[Any] | None) -> dict[str, str]:
    """Return the digests of what a stage reads, for its key."""
    return {name: product.digest for name, product in products.items() if product}


def code_of(backend: object = None, seed: int = 0) -> dict[str, Any]:
    """Return what decides a stage's result beside its input: code, options and seed, for its key.

    `backend` is the one that does the work, the name of the module that does, or None where core alone does.
    """
    # Not all that the stages can reach, which is everything.
    own = {"stages": file_digest(Path(__file__).with_name("stages.py"))}
    if backend is None or isinstance(backend, str):
        return {**own, "code": code_digest(CORE, *([backend] if backend else []))}
    code = code_digest(CORE, type(backend).__module__)
    # A path counts by what is there, wherever it is.
    options = options_of(backend)
    for name, option in options.items():
        if is_path(option):
            digest = path_digest if isinstance(option, Weights) else source_digest
            options[name] = digest(Path(option))
    return {**own, "backend": type(backend).__name__, "code": code, "seed": seed, **options}
