"""Where the files that come with the program lie: recipes, sample pictures, trained weights."""

from pathlib import Path

from img2world.core.errors import MissingPackageError

PACKAGE = Path(__file__).resolve().parents[1]


def resource_folder(name: str) -> Path:
    """The folder `pipelines` or `assets`: inside the package in a wheel, beside it in a checkout.

    Raises MissingPackageError when the installation lacks it.
    """
    packed, beside = PACKAGE / name, PACKAGE.parent / name
    if packed.is_dir():
        return packed
    # Beside an installed package lie other people's packages; only a checkout is ours.
    if (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    raise MissingPackageError(
        f"this installation has no folder {name}, looked in {packed} and {beside}",
        hint="install again with `pip install --force-reinstall img2world`",
    )
