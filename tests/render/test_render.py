import subprocess
import sys

import numpy as np
import pytest
import torch

from img2world.core.cameras import Cameras
from img2world.core.errors import Img2WorldError
from img2world.render import RASTERIZERS, rasterize, render, resolve_backend
from img2world.render.splats import Splats, gaussians_from_splats, splats_from_gaussians


def two_cameras(make_camera) -> Cameras:
    one = make_camera(30, 20)
    poses = np.concatenate([one.world_from_cam, one.world_from_cam])
    poses[1, 0, 3] += 0.4
    return Cameras(world_from_cam=poses, intrinsics=np.tile(one.intrinsics, (2, 1, 1)), width=30, height=20)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_render_rasterizes_each_camera(backend, make_splats, make_camera):
    splats, cameras, steps = make_splats(50, bases=4), two_cameras(make_camera), []

    def progress(done, total, **quality):
        steps.append((done, total))

    views = render(
        gaussians_from_splats(splats), cameras, background=(1.0, 0.0, 0.5), backend=backend, progress=progress
    )
    assert views.rgb.shape == (2, 20, 30, 3)
    assert steps == [(1, 2), (2, 2)]
    assert np.abs(views.rgb[0] - views.rgb[1]).max() > 0.05
    for i in range(2):
        drawn = rasterize(splats, cameras.select([i]), background=(1.0, 0.0, 0.5), backend=backend)
        np.testing.assert_array_equal(views.rgb[i], drawn.rgb.detach().clamp(0, 1))
        np.testing.assert_array_equal(views.alpha[i], drawn.alpha.detach())
        np.testing.assert_array_equal(views.depth[i], drawn.depth.detach())


def test_auto_chooses_the_fastest_available():
    assert resolve_backend("auto") == ("gsplat" if torch.cuda.is_available() else "native")
    assert resolve_backend("reference") == "reference"
    with pytest.raises(Img2WorldError, match="no rasterizer 'fast'"):
        resolve_backend("fast")


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto would be gsplat")
def test_auto_warns_when_only_the_slow_one_is_available(monkeypatch):
    monkeypatch.setattr("img2world.render.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="native rasterizer was not built"):
        assert resolve_backend("auto") == "reference"


def test_several_cameras_are_refused(make_splats, make_camera):
    with pytest.raises(ValueError, match="2 cameras"):
        rasterize(make_splats(2), two_cameras(make_camera))


def test_gaussians_survive_a_round_trip(make_splats):
    gaussians = gaussians_from_splats(make_splats(7, bases=9))
    again = gaussians_from_splats(splats_from_gaussians(gaussians))
    for name, array in vars(gaussians).items():
        np.testing.assert_array_equal(array, getattr(again, name))


def test_shapes_that_do_not_fit_are_refused(make_splats):
    tensors = dict(zip(Splats.__dataclass_fields__, make_splats(3).tensors(), strict=True))
    # In tests the annotations are checked first.
    with pytest.raises((ValueError, TypeError)):
        Splats(**{**tensors, "quats": torch.zeros(2, 4)})
    with pytest.raises(ValueError, match="2 spherical-harmonic bases"):
        Splats(**{**tensors, "sh": torch.zeros(3, 2, 3)})
    with pytest.raises(TypeError, match="differ in type"):
        Splats(**{**tensors, "sh": torch.zeros(3, 1, 3, dtype=torch.float64)})


def test_listing_rasterizers_imports_no_torch():
    code = "import sys, img2world.render; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(RASTERIZERS) == {"reference", "native", "gsplat"}
