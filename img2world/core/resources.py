"""The files that come with the program: recipes, sample pictures, trained weights."""

from pathlib import Path

from img2world.core.errors import MissingPackageError

PACKAGE = Path(__file__).resolve().parents[1]


def resource_folder(name: str) -> Path:
    """Return the folder `pipelines` or `assets`, which is in the package in a wheel and beside it in a checkout.

    Raises MissingPackageError when the installation lacks it.
    """
    packed, beside = PACKAGE / name, PACKAGE.parent / name
    if packed.is_dir():
        return packed
    # An installed package is among packages of others: its neighbours count only in a checkout.
    if (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    raise MissingPackageError(
        f"this installation has no folder {name}, looked in {packed} and {beside}",
        hint="install again with `pip install --force-reinstall img2world`",
    )
