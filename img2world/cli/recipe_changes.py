"""Options of the command line as changes to a recipe, in the form of `--set`.

Heavy modules are imported inside the functions, so that `--help` is fast.
"""

from typing import TYPE_CHECKING

import typer

from img2world.core.errors import RecipeError

if TYPE_CHECKING:
    from img2world.runs.source import Source


def quality_changes(quality: str | None, source: "Source", recipe: str) -> list[str]:
    """Return the changes to a recipe that a quality means. Raises RecipeError when there is no such quality."""
    from img2world.runs.options import did_you_mean
    from img2world.runs.recipe import QUALITIES
    from img2world.runs.source import MOVING

    if quality is None:
        return []
    if quality not in QUALITIES:
        raise RecipeError(f"there is no quality {quality}", hint=did_you_mean(quality, list(QUALITIES)))
    if source.kind == "picture":
        raise RecipeError(
            "--quality is for videos, photos and datasets, this is a picture",
            hint="for a first look use --recipe fast; `img2world recipes` lists the others",
        )
    if recipe == MOVING:
        raise RecipeError(
            "--quality is for what stands still, this is reconstructed in motion",
            hint="set --set video.num_frames, video.size and splat.steps instead",
        )
    return list(QUALITIES[quality])


def measure_changes(metric: float | None, size: float | None) -> list[str]:
    """Return the changes to a recipe that set the measures of exported files."""
    if metric is not None and size is not None:
        raise typer.BadParameter("--metric and --size exclude each other: metres give the size")
    # The one that is given takes the place of the other in the recipe of a run.
    return [f"{metric=}", "size=1"] if metric is not None else [f"{size=}", "metric=0"] if size is not None else []


def export_changes(
    recipe: str, changes: list[str], formats: list[str], bundle: list[str] | None, *, zipped: bool
) -> list[str]:
    """Return the changes that add formats and bundles to those of a recipe."""
    from img2world.runs.recipe import load_recipe, options_of

    named = bundle_targets(bundle, zipped=zipped)
    formats = [*formats, *(["bundle"] if named else [])]
    if not formats:
        return []
    present = load_recipe(recipe, changes).exports
    if named and "bundle" in present:
        # A target becomes a zip or a folder when it is named again.
        targets = [*options_of(present["bundle"])["targets"], *named]
        named = list({name.removesuffix(".zip"): name for name in targets}.values())
    return [*bundle_changes(named), "export.formats=" + ",".join(dict.fromkeys([*present, *formats]))]


def bundle_changes(targets: list[str]) -> list[str]:
    """Return the changes to a recipe that set the targets of bundles."""
    return [f"export.bundle.targets={','.join(targets)}"] if targets else []


def bundle_targets(bundle: list[str] | None, *, zipped: bool) -> list[str]:
    """Return the targets that --bundle and --zip name."""
    names = [name.strip() for names in bundle or [] for name in names.split(",")]
    if zipped and not names:
        raise typer.BadParameter("--zip needs --bundle")
    return list(dict.fromkeys(f"{name.removesuffix('.zip')}.zip" if zipped else name for name in names))
