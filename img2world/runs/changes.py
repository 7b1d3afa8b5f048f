"""Differences between the recipe of an existing run and the one that is about to replace its products."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from img2world.core.text_file import read_text
from img2world.runs.folder import RECIPE, RunFolder
from img2world.runs.recipe import Recipe, recipe_text

FIRST_STAGES = {
    "subject": "input",
    "trajectory": "trajectory",
    "seed": "video",
    "video": "video",
    "poses": "poses",
    "splat": "splat",
}
"""First stage that depends on each section of a recipe; the exports and the metric scale are quickly written again."""

MAX_NAMED = 3
"""Number of changed options that a message names."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The options that changed since a run was made, and the effect on its products."""

    options: list[str]
    """Changed options with their previous values, as in "splat.steps was 200"."""
    remade: list[str]
    """Finished stages whose products are replaced."""
    deleted: list[str]
    """Formats that were exported, will not be exported again, and would be out of date."""

    def line(self) -> str:
        """Return the changes in one line."""
        named, rest = self.options[:MAX_NAMED], len(self.options) - MAX_NAMED
        text = ", ".join(named) + (f" and {rest} more" if rest > 0 else "")
        deleted = f"; deletes {', '.join(self.deleted)}" if self.deleted else ""
        return f"this run was made with other options ({text}): replaces {', '.join(self.remade)}{deleted}"


def find_changes(
    folder: RunFolder, recipe: Recipe, stages: Sequence[str], *, unchanged: Collection[str] = ()
) -> Changes:
    """Compare a recipe with the one that the run folder was made with.

    `stages` are the names of all stages in order, `unchanged` options whose values mean the same, whatever they are.
    """
    try:
        before = flatten(tomllib.loads(read_text(folder.path / RECIPE)))
    except (FileNotFoundError, ValueError, RecursionError):
        return Changes(options=[], remade=[], deleted=[])
    now = flatten(tomllib.loads(recipe_text(recipe)))
    names = [name for name in folder.manifest["stages"] if folder.record(name)]
    done = [stage for stage in stages if any(name.partition(".")[0] == stage for name in names)]
    different = [option for option in different_options(before, now) if option not in unchanged]
    firsts = {option: _first_stage(option, done) for option in different}
    changed = [option for option, stage in firsts.items() if stage in done]
    if not changed:
        return Changes(options=[], remade=[], deleted=[])
    first = min(stages.index(firsts[option]) for option in changed)
    formats = [name.partition(".")[2] for name in names if name.startswith("export.")]
    return Changes(
        options=[f"{option} was {before[option]}" for option in changed],
        remade=[stage for stage in done if stages.index(stage) >= first],
        deleted=[name for name in formats if name not in (*recipe.exports, "licence")],
    )


def _first_stage(option: str, done: Sequence[str]) -> str:
    """Return the first stage that depends on an option, empty for those that replace nothing."""
    stage = FIRST_STAGES.get(option.partition(".")[0], "")
    if stage != "input" or "input" in done:
        return stage
    # A capture has no picture to look at, but its subject may be isolated.
    return "isolation" if "isolation" in done else "splat" if option == "subject.kind" else ""


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def different_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the options whose values differ; of a stage with another backend only its name."""
    replaced = [name.partition(".")[0] for name in before if name.endswith(".name") and before[name] != now.get(name)]
    changed = [name for name in before if name in now and before[name] != now[name]]
    return [name for name in changed if name.partition(".")[0] not in replaced or name.endswith(".name")]
