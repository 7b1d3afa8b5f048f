import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from img2world.runs.code import code_digest

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from img2world.runs.code import code_digest; print(*map(code_digest, sys.argv[1:]))"


def digests(*modules, checkout=ROOT, cwd=ROOT):
    """Return the digests that another process finds, which has nothing cached."""
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(checkout)!r})\n{PROGRAM}", *modules]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=cwd)
    return dict(zip(modules, done.stdout.split(), strict=True))


def test_modules_differ():
    modules = ("img2world.core", "img2world.render", "img2world.pipeline", "img2world.runs.recipe")
    assert len({code_digest(module) for module in modules}) == len(modules)


def test_digest_does_not_depend_on_how_the_package_was_found(tmp_path):
    """A checkout is found through the current folder as well as through its editable installation."""
    assert digests("img2world.video.nano", cwd=tmp_path) == digests("img2world.video.nano")


STAGES = (
    "img2world.video.nano",
    "img2world.poses.auto",
    "img2world.poses.commanded",
    "img2world.splat.optimize",
    "img2world.export.html",
    "img2world.doctor.video",
)


REACHES = {
    "img2world/tracking/flow.py": {"img2world.poses.auto", "img2world.doctor.video"},
    "img2world/poses/colmap_process.py": {"img2world.poses.auto"},  # only its name stands in a string
    "img2world/render/gsplat.py": {
        "img2world.poses.auto",
        "img2world.splat.optimize",
        "img2world.export.html",
    },  # a table names it
    "img2world/viewer/static/main.js": {"img2world.export.html"},
    # A video of a camera that stands still gets its depth from the network, too.
    "assets/nano/nano_geo_scene.safetensors": {"img2world.video.nano", "img2world.poses.auto"},
    "img2world/core/cameras.py": set(STAGES),
    "img2world/cli/output.py": set(),
}
CHANGES = """
import json, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
from img2world.runs.code import code_digest
stages, changes = json.loads(sys.argv[1])
before, changed = [code_digest(stage) for stage in stages], {}
for path in changes:
    content = open(path, "rb").read()
    open(path, "ab").write(b"\\n")
    code_digest.cache_clear()
    changed[path] = [stage for stage, old in zip(stages, before) if code_digest(stage) != old]
    open(path, "wb").write(content)
print(json.dumps(changed))
"""


@pytest.fixture(scope="module")
def changed_stages(tmp_path_factory):
    """The stages whose digest changes with each file of a copy of the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for folder in ("img2world", "assets/nano", "pipelines"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    words = [sys.executable, "-c", CHANGES, json.dumps([STAGES, list(REACHES)])]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True, cwd=copy).stdout)


@pytest.mark.parametrize("changed", REACHES)
def test_change_affects_the_modules_that_reach_it(changed_stages, changed):
    assert set(changed_stages[changed]) == REACHES[changed]
