"""gsplat draws and steps on CUDA only; its strategies, projection and harmonics also run on a CPU, and are used here.

Blending, which gsplat has no CPU code for, is that of our reference rasterizer.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from img2world.core.errors import MissingPackageError, SplatError
from img2world.core.progress import silent
from img2world.core.scene import Scene
from img2world.render import reference
from img2world.render.splats import CameraTensors
from img2world.splat.coarse import halved
from img2world.splat.cuda import (
    Machinery,
    Training,
    faintest,
    gsplat_machinery,
    parameters_of,
    rates_at,
    splats_of,
    strategy_of,
    train,
)
from img2world.splat.initialize import initialize
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import GaussianSplat

pytest.importorskip("gsplat")
torch_impl = pytest.importorskip("gsplat.cuda._torch_impl")
BACKGROUND = (0.2, 0.3, 0.4)


def rasterization(**arguments):
    """`gsplat.rasterization` for one camera: projected and coloured by gsplat's torch code, blended by ours."""
    assert arguments["render_mode"] == "RGB+ED"
    assert arguments["rasterize_mode"] == "classic"
    means, viewmats, degree = arguments["means"], arguments["viewmats"], arguments["sh_degree"]
    covariances, _ = torch_impl._quat_scale_to_covar_preci(arguments["quats"], arguments["scales"], True, False)
    size = {"width": arguments["width"], "height": arguments["height"]}
    radii, means2d, depths, conics, _ = torch_impl._fully_fused_projection(
        means, covariances, viewmats, arguments["Ks"], *size.values(), arguments["eps2d"], arguments["near_plane"]
    )
    center = torch.linalg.inv(viewmats[0])[:3, 3]
    bases = (degree + 1) ** 2
    colors = torch_impl._spherical_harmonics(degree, means - center, arguments["colors"][:, :bases])
    # The inverse of a conic is the covariance.
    a, b, c = conics[0].unbind(-1)
    determinant = 1 / (a * c - b * b)
    seen = reference.Projected(
        means=means2d[0],
        covariances=torch.stack([c, -b, a], -1) * determinant[:, None],
        determinants=determinant,
        depths=depths[0],
        opacities=arguments["opacities"] * (radii[0] > 0).all(-1),
        rgb=torch.clamp_min(colors + 0.5, 0.0),
    )
    camera = CameraTensors(cam_from_world=viewmats[0], intrinsics=arguments["Ks"][0], **size)
    channels = reference.blend(seen, camera, tuple(arguments["backgrounds"][0].tolist()))
    alpha = channels[..., 3:4]
    drawn = torch.cat([channels[..., :3], channels[..., 4:] / alpha.clamp(min=1e-10)], -1)
    info = {"means2d": means2d, "radii": radii, "n_cameras": 1, "gaussian_ids": None, **size}
    return drawn[None], alpha[None], info


class VisibleAdam(torch.optim.Adam):
    """Adam that moves and remembers only visible rows, in torch."""

    def step(self, visibility):
        (value,) = self.param_groups[0]["params"]
        hidden = ~visibility
        before = [tensor[hidden].clone() for tensor in (value.detach(), *self._moments(value))]
        super().step()
        for tensor, old in zip((value.detach(), *self._moments(value)), before, strict=False):
            tensor[hidden] = old

    def _moments(self, value):
        state = self.state.get(value, {})
        return [state[name] for name in ("exp_avg", "exp_avg_sq") if name in state]


CPU = Machinery(rasterization=rasterization, adam=VisibleAdam, device="cpu")


@pytest.fixture(scope="module")
def small_views(wall_views):
    # Blending in torch tries every Gaussian at every pixel.
    return halved(wall_views)


@pytest.fixture(scope="module")
def trained_views(small_views):
    held_out = GaussianSplat().held_out(len(small_views))
    return small_views.select(np.flatnonzero(~held_out))


def test_it_learns_and_keeps_the_budget(small_views, trained_views):
    options = GaussianSplat(steps=100, max_gaussians=300, strategy="classic", densify_gradient=1e-5)
    start = initialize(trained_views, 200)
    reports = []
    arguments = {"background": BACKGROUND, "seed": 0, "machinery": CPU}
    gaussians, cameras = train(
        start, trained_views, options, **arguments, progress=lambda *done, **quality: reports.append((done, quality))
    )
    assert cameras == trained_views.cameras
    held_out = options.held_out(len(small_views))
    scenes = [
        Scene(gaussians=each, cameras=small_views.cameras, background=BACKGROUND, is_object=False)
        for each in (start, gaussians)
    ]
    before, after = (evaluate(scene, small_views, held_out)["heldout_psnr"] for scene in scenes)
    assert after > before + 5
    assert after > 23
    counts = [quality["gaussians"] for _, quality in reports]
    assert max(counts) == 300  # It wanted more.
    assert counts[0] == len(start)
    assert [done for done, _ in reports] == [(done, 100) for done in range(10, 110, 10)]


def test_on_a_cpu_the_same_seed_gives_the_same_bits_and_leaves_torchs_generator_alone(trained_views):
    options = GaussianSplat(steps=30, max_gaussians=200, strategy="classic", densify_gradient=1e-5)
    start = initialize(trained_views, 150)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (
        train(start, trained_views, options, background=BACKGROUND, seed=seed, progress=silent, machinery=CPU)[0]
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), expected)
    assert first.means.tobytes() == second.means.tobytes()
    assert first.means.tobytes() != other.means.tobytes()


@pytest.mark.parametrize("strategy", ["mcmc", "classic"])
def test_gsplat_accepts_our_parameters_and_schedule(strategy, wall_gaussians, wall_views):
    options = GaussianSplat(strategy=strategy, steps=1200, max_gaussians=123)
    training = Training(wall_gaussians, 5, options, 2.0, CPU)  # Runs the strategy's own check.
    assert list(training.params) == ["means", "quats", "scales", "opacities", "sh0", "shN"]
    made = strategy_of(options, 2.0)
    assert (made.refine_start_iter, made.refine_stop_iter, made.refine_every) == (60, 960, 20)
    if strategy == "mcmc":
        assert made.cap_max == 123
    else:
        assert made.grow_grad2d == options.densify_gradient


def test_noise_does_not_depend_on_the_unit_of_length():
    options = GaussianSplat(strategy="mcmc")
    for factor in (1.0, 10.0):
        size = 2.0 * factor
        scaler = strategy_of(options, size).noise_lr * rates_at(options, 0.0, size)["means"]
        covariance = 0.1**2 * factor**2
        assert scaler * covariance / factor == pytest.approx(5e5 * 1.6e-4 * 0.1**2 / 2.0)


def test_parameters_hold_the_gaussians(wall_gaussians):
    params = parameters_of(wall_gaussians, 2, "cpu")
    splats = splats_of(params)
    assert params["shN"].shape == (len(wall_gaussians), 8, 3)
    np.testing.assert_array_equal(splats.means.detach(), wall_gaussians.means)
    np.testing.assert_array_equal(splats.log_scales.detach(), wall_gaussians.log_scales)
    np.testing.assert_array_equal(splats.logit_opacities.detach(), wall_gaussians.logit_opacities)
    np.testing.assert_array_equal(splats.sh[:, :1].detach(), wall_gaussians.sh[:, :1])
    assert "shN" not in parameters_of(wall_gaussians, 0, "cpu")


def test_the_faintest_go_first():
    mask = faintest(torch.tensor([3.0, -1.0, 2.0, -1.0, -5.0]), 2)
    assert mask.tolist() == [False, True, False, False, True]


def test_a_training_that_diverges_says_so(wall_gaussians, trained_views):
    options = GaussianSplat(steps=20, colors_lr=1e30, strategy="classic")
    with pytest.raises(SplatError, match="diverged at step") as error:
        train(wall_gaussians, trained_views, options, background=BACKGROUND, seed=0, progress=silent, machinery=CPU)
    assert "lr" in error.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_says_so(wall_views):
    with pytest.raises(MissingPackageError, match="needs a CUDA device"):
        gsplat_machinery()
    with pytest.raises(MissingPackageError, match="needs a CUDA device") as error:
        GaussianSplat(backend="gsplat", steps=5).optimize(wall_views)
    assert "native" in error.value.hint


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("strategy", ["mcmc", "classic"])
def test_it_learns_on_cuda(strategy, wall_views):
    backend = GaussianSplat(backend="gsplat", steps=300, max_gaussians=4000, strategy=strategy)
    scene = backend.optimize(replace(wall_views, depth=None))
    facts = evaluate(scene, wall_views, backend.held_out(len(wall_views)))
    assert facts["heldout_psnr"] > 22
    assert facts["num_gaussians"] <= 4000
