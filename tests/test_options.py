"""Every option of every backend is named where it is used: in a test of its stage, a recipe or the documentation."""

import re
from pathlib import Path

import pytest

from img2world.export import EXPORTERS
from img2world.runs.options import option_types
from img2world.runs.recipe import TABLES, backend_class

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("stage", [*TABLES, "export"])
def test_every_option_is_named(stage):
    tests, backends = ROOT / "tests", TABLES.get(stage, EXPORTERS)
    folder = tests / ("layered" if stage == "subject" else stage)
    files = [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "pipelines").glob("*.toml"),
        *(ROOT / "benchmarks").glob("*.py"),
    ]
    files += [*tests.glob("*.py"), *(tests / "runs").glob("*.py"), *folder.rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for name in backends:
        for option in option_types(backend_class(name, backends, stage)):
            assert re.search(rf'\b{option}\b *=|"{option}"|\b{stage}[.\w]*\.{option}\b', text), (
                f"{stage} {name} {option}"
            )
