import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from img2world.doctor.environment import PACKAGES, examine_environment, memory_gb, simd_flags
from img2world.render import resolve_backend


def test_findings_name_what_is_in_use(tmp_path):
    findings = {finding.name: finding for finding in examine_environment(tmp_path)}
    assert findings["rasterizer"].found.startswith(resolve_backend("auto"))
    assert findings["python"].found.startswith(".".join(map(str, sys.version_info[:3])))
    assert findings["pycolmap"].state == "ok"
    assert all(finding.advice for finding in findings.values() if finding.state == "missing")


def test_missing_package_comes_with_the_command_to_install_it(tmp_path):
    """In a process of its own, in which modules of these names cannot be found."""
    program = """
import importlib.util, sys
from pathlib import Path
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("pycolmap", "gsplat") else real(name, *rest)
from img2world.doctor.environment import examine_environment
for finding in examine_environment(Path(".")):
    print(finding.name, finding.state, finding.advice, sep="|")
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pycolmap|missing|pip install pycolmap" in shown
    assert "gsplat|note|pip install 'img2world[cuda]'" in shown


def test_wrong_thread_count_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_THREADS", "many")
    finding = next(finding for finding in examine_environment(tmp_path) if finding.name == "rasterizer")
    assert finding.state == "missing"
    assert "many" in finding.found


@pytest.mark.parametrize("module", PACKAGES)
def test_advice_installs_what_the_project_declares(module):
    """Every package that the doctor knows is a dependency, plain or in the extra that it names."""
    package = PACKAGES[module]
    declared = [line for line in requires("img2world") or [] if line.startswith(package.distribution)]
    assert declared
    extra = package.install.partition("[")[2].partition("]")[0]
    assert any((f'extra == "{extra}"' in line) if extra else ("extra" not in line) for line in declared)


def test_memory_and_processor_agree_with_the_system():
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert 0 < memory_gb() <= int(total.split()[1]) * 1024 / 1e9 + 1e-6
    flags = Path("/proc/cpuinfo").read_text().split()
    assert all(flag in flags for flag in simd_flags())
