"""Names of installed packages."""

from importlib.metadata import PackageNotFoundError, version


def name_with_version(package: str) -> str:
    """Return the name of a package and, if it is installed, its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
