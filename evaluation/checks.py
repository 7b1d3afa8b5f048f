"""Check names that users typed."""

from collections.abc import Collection, Iterable

from img2world.core.errors import RecipeError
from img2world.runs.options import did_you_mean


def check_names(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise RecipeError with near misses for the first name that is not known."""
    for name in names:
        if name not in known:
            raise RecipeError(f"there is no {kind} {name}", hint=did_you_mean(name, list(known)))
