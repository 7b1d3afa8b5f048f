import subprocess
import sys

import pytest

from img2world.core.errors import Img2WorldError, MissingPackageError
from img2world.render.extension import describe, native_module


def test_describe_and_options(monkeypatch):
    monkeypatch.setenv("IMG2WORLD_THREADS", "3")
    monkeypatch.setenv("IMG2WORLD_SIMD", "baseline")
    assert describe() == {"simd": "baseline", "threads": 3}
    monkeypatch.setenv("IMG2WORLD_THREADS", "many")
    with pytest.raises(Img2WorldError, match="needs a number"):
        describe()
    monkeypatch.setenv("IMG2WORLD_SIMD", "mmx")
    with pytest.raises(Img2WorldError, match="this machine has"):
        describe()


def test_missing_module_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "img2world.render._native", None)
    with pytest.raises(MissingPackageError, match="native rasterizer cannot be loaded"):
        native_module()


def test_warping_and_triangles_need_no_torch():
    program = "import sys, img2world.layered.warp, img2world.render.triangles; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out == "False\n"
