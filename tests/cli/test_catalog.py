import shlex

import pytest

from img2world.cli.catalog import describe_backend
from img2world.runs.recipe import EXPORTERS, TABLES, load_recipe

BACKENDS = [(stage, name) for stage, table in {**TABLES, "export": EXPORTERS}.items() for name in table]


@pytest.mark.parametrize(("stage", "name"), BACKENDS)
def test_printed_options_can_be_pasted_and_are_the_defaults(stage, name, tmp_path):
    recipe = tmp_path / "empty.toml"
    recipe.touch()
    chosen = f"export.formats={name}" if stage == "export" else f"{stage}.name={name}"
    lines = [line for line in describe_backend(f"{stage}.{name}") if line.startswith("  --set ")]
    words = shlex.split(" ".join(lines))
    assert words[::2] == ["--set"] * len(lines)
    assert load_recipe(str(recipe), [chosen, *words[1::2]]) == load_recipe(str(recipe), [chosen])
