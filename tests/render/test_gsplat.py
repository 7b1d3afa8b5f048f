import inspect

import numpy as np
import pytest
import torch

from img2world.core.errors import MissingPackageError
from img2world.render import rasterize, reference
from img2world.render.gsplat import rasterization_arguments
from img2world.render.splats import Splats, camera_tensors

gsplat = pytest.importorskip("gsplat")
torch_impl = pytest.importorskip("gsplat.cuda._torch_impl")


def projected_by_gsplat(splats, camera):
    """Render the arguments that the adapter passes with gsplat's own torch functions."""
    arguments = rasterization_arguments(splats, camera, (0.1, 0.2, 0.3))
    covariances, _ = torch_impl._quat_scale_to_covar_preci(arguments["quats"], arguments["scales"], True, False)
    radii, means, depths, conics, _ = torch_impl._fully_fused_projection(
        arguments["means"],
        covariances,
        arguments["viewmats"].to(splats.means),
        arguments["Ks"].to(splats.means),
        arguments["width"],
        arguments["height"],
        arguments["eps2d"],
        arguments["near_plane"],
        arguments["far_plane"],
    )
    center = torch.inverse(arguments["viewmats"][0].to(splats.means))[:3, 3]
    colors = torch_impl._spherical_harmonics(arguments["sh_degree"], splats.means - center, splats.sh)
    return radii[0], means[0], depths[0], conics[0], torch.clamp_min(colors + 0.5, 0.0)


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_conventions_are_those_of_gsplat(bases, make_splats, make_camera):
    camera = camera_tensors(make_camera(48, 40), dtype=torch.float64)
    ours, theirs = (
        make_splats(200, bases=bases, dtype=torch.float64),
        make_splats(200, bases=bases, dtype=torch.float64),
    )
    radii, means, depths, conics, rgb = projected_by_gsplat(theirs, camera)
    projected = reference.project(ours, camera)
    seen = radii.amax(-1) > 0
    assert seen.sum() > 100
    xx, xy, yy = (projected.covariances / projected.determinants[:, None]).unbind(-1)
    values = {
        "means": (projected.means, means),
        "depths": (projected.depths, depths),
        "conics": (torch.stack([yy, -xy, xx], -1), conics),
        "rgb": (projected.rgb, rgb),
    }
    rng = np.random.default_rng(1)
    losses = [torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)]
    for name, pair in values.items():
        # gsplat's SH constants have fewer digits than ours, and float32 cameras are inverted in two ways.
        torch.testing.assert_close(pair[0][seen], pair[1][seen], rtol=1e-6, atol=1e-6, msg=name)
        weights = torch.tensor(rng.normal(size=pair[0][seen].shape))
        for i in range(2):
            losses[i] = losses[i] + (pair[i][seen] * weights).sum()
    for loss in losses:
        loss.backward()
    for name, expected, actual in zip(Splats.__dataclass_fields__, theirs.tensors(), ours.tensors(), strict=True):
        if name != "logit_opacities":
            torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-5, atol=1e-5, msg=name)


def test_arguments_are_those_that_gsplat_takes(make_splats, make_camera):
    arguments = rasterization_arguments(make_splats(5, bases=4), camera_tensors(make_camera(20, 10)), (1.0, 0.5, 0.0))
    inspect.signature(gsplat.rasterization).bind(**arguments)
    assert arguments["backgrounds"].shape == (1, 3)
    assert arguments["viewmats"].shape == (1, 4, 4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_says_so(make_splats, make_camera):
    with pytest.raises(MissingPackageError, match="needs a CUDA device") as error:
        rasterize(make_splats(3), make_camera(20, 10), backend="gsplat")
    assert "native" in error.value.hint


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_matches_reference(make_splats, make_camera):
    camera, splats = make_camera(61, 45), make_splats(300, bases=9)
    on_device = Splats(**{n: t.detach().cuda().requires_grad_() for n, t in vars(splats).items()})
    results = []
    for scene, backend in ((splats, "reference"), (on_device, "gsplat")):
        drawn = rasterize(scene, camera, background=(0.2, 0.5, 0.8), backend=backend)
        (drawn.rgb.square().sum() + drawn.alpha.sum() + drawn.depth.sum()).backward()
        results.append((drawn, scene))
    (expected, truth), (actual, scene) = results
    torch.testing.assert_close(actual.rgb.cpu(), expected.rgb, atol=0.5 / 255, rtol=0)  # invisible in 8 bits
    torch.testing.assert_close(actual.alpha.cpu(), expected.alpha, atol=0.5 / 255, rtol=0)
    assert (
        actual.screen_means.grad.cpu() - expected.screen_means.grad
    ).norm() < 1e-2 * expected.screen_means.grad.norm()
    for name, tensor, true in zip(Splats.__dataclass_fields__, scene.tensors(), truth.tensors(), strict=True):
        assert (tensor.grad.cpu() - true.grad).norm() < 1e-2 * true.grad.norm(), name
