"""Khronos' validator finds nothing wrong with our GLB files."""

import json
import subprocess

import pytest
from browser_engines import FOLDER

ERROR, WARNING = 0, 1
UNKNOWN = {"code": "MESH_PRIMITIVE_INVALID_ATTRIBUTE", "message": "Invalid attribute name.", "severity": ERROR}
"""What it says of attributes of an extension that it does not know."""


def issues_of(path) -> list[dict]:
    """Return its errors and warnings, except for the names of the attributes of splats."""
    command = ["node", FOLDER / "src/validate.mjs", path]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found = [issue for issue in json.loads(output) if issue["severity"] in (ERROR, WARNING)]
    return [issue for issue in found if not is_splat_attribute(issue)]


def is_splat_attribute(issue: dict) -> bool:
    place = issue.pop("pointer")
    allowed = "/meshes/0/primitives/0/attributes/KHR_gaussian_splatting:"
    return issue == UNKNOWN and place.startswith(allowed)


def test_splats_are_valid(node, asset):
    assert issues_of(asset.splats(".glb")) == []


@pytest.mark.parametrize("kind", ["vertex colors", "texture"])
def test_meshes_are_valid(node, asset, kind):
    assert issues_of(asset.mesh_file(kind)) == []


def test_skins_and_animations_are_valid(node, asset):
    assert issues_of(asset.animated_file()) == []


def test_faults_are_found(node, asset, tmp_path):
    data = asset.splats(".glb").read_bytes()
    (tmp_path / "fault.glb").write_bytes(data.replace(b'"POSITION"', b'"POSITIOM"'))
    assert {issue["code"] for issue in issues_of(tmp_path / "fault.glb")} >= {"MESH_PRIMITIVE_NO_POSITION"}
