"""gsplat rasterizes and steps on CUDA only; its strategies, projection and harmonics also run on a CPU, and do so here.

Blending, for which gsplat has no CPU code, is that of our reference rasterizer.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from img2world.core.errors import MissingPackageError, SplatError
from img2world.core.progress import silent
from img2world.core.scene import Scene
from img2world.core.threads import one_torch_thread
from img2world.render import rasterize, reference
from img2world.render.gsplat import rasterize_by
from img2world.render.skinning import skin_by_torch
from img2world.render.splats import CameraTensors
from img2world.splat import bones, limits
from img2world.splat.cuda import (
    CudaModel,
    Kernels,
    gsplat_kernels,
    lowest,
    make_default_strategy,
    make_mcmc_strategy,
    make_parameters,
    splats_from_parameters,
)
from img2world.splat.densify import Densification
from img2world.splat.dynamic import DynamicSplat
from img2world.splat.dynamic_training import DynamicTraining
from img2world.splat.initialize import initialize, median_scene_depth
from img2world.splat.metrics import evaluate
from img2world.splat.optimize import GaussianSplat, train
from img2world.splat.views import halve

pytest.importorskip("gsplat")
torch_impl = pytest.importorskip("gsplat.cuda._torch_impl")
BACKGROUND = (0.2, 0.3, 0.4)
STILL = dict.fromkeys(("means_lr", "quats_lr", "scales_lr", "opacities_lr", "colors_lr"), 1e-12)
"""Learning rates at which the Gaussians stay as they are."""


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
    center, colors = torch.linalg.inv(viewmats[0])[:3, 3], arguments["colors"]
    if degree is not None:
        harmonics = torch_impl._spherical_harmonics(degree, means - center, colors[:, : (degree + 1) ** 2])
        colors = torch.clamp_min(harmonics + 0.5, 0.0)
    # The inverse of a conic is the covariance.
    a, b, c = conics[0].unbind(-1)
    determinant = 1 / (a * c - b * b)
    seen = reference.Projected(
        means=means2d[0],
        covariances=torch.stack([c, -b, a], -1) * determinant[:, None],
        determinants=determinant,
        depths=depths[0],
        opacities=arguments["opacities"] * (radii[0] > 0).all(-1),
        rgb=colors,
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


KERNELS = Kernels(rasterization=rasterization, adam=VisibleAdam, device="cpu")


def cuda_model(start, views, options, kernels=KERNELS):
    """The model that `GaussianSplat` makes on CUDA."""
    settings = Densification(
        steps=options.steps,
        max_gaussians=options.max_gaussians,
        min_gradient=options.densify_gradient,
        scene_depth=median_scene_depth(views.cameras, start.means),
    )
    return CudaModel(
        start,
        settings,
        strategy=options.strategy,
        means_lr=options.means_lr,
        max_sh_degree=options.sh_degree,
        background=BACKGROUND,
        kernels=kernels,
    )


def train_here(options, start, views, unseen=None, *, seed=0, progress=silent, kernels=KERNELS, **others):
    model = cuda_model(start, views, options, kernels)
    with one_torch_thread():
        return train(options, model, views, unseen, seed=seed, progress=progress, **others)


@pytest.fixture(scope="module")
def small_views(wall_views):
    # Blending in torch tries every Gaussian at every pixel.
    return halve(wall_views)


@pytest.fixture(scope="module")
def trained_views(small_views):
    return small_views.select(np.flatnonzero(~GaussianSplat().held_out(len(small_views))))


@pytest.fixture(scope="module")
def unseen_views(small_views):
    return small_views.select(np.flatnonzero(GaussianSplat().held_out(len(small_views))))


def test_it_learns_and_keeps_the_budget(small_views, trained_views):
    options = GaussianSplat(steps=100, max_gaussians=300, densify_gradient=1e-5)
    start = initialize(trained_views, 200)
    reports = []
    gaussians, cameras = train_here(
        options, start, trained_views, progress=lambda *done, **quality: reports.append((done, quality))
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
    assert reports[-1][1]["psnr"] > reports[0][1]["psnr"]


def test_on_a_cpu_the_same_seed_gives_the_same_bits_and_leaves_torchs_generator_alone(trained_views):
    options = GaussianSplat(steps=30, max_gaussians=200, densify_gradient=1e-5)
    start = initialize(trained_views, 150)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (train_here(options, start, trained_views, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert first.means.tobytes() == second.means.tobytes()
    assert first.means.tobytes() != other.means.tobytes()


def test_the_first_steps_are_on_small_images(wall_views):
    large = replace(
        wall_views.select(np.arange(2)),
        rgb=np.repeat(np.repeat(wall_views.rgb[:2], 2, 1), 2, 2),
        depth=np.repeat(np.repeat(wall_views.depth[:2], 2, 1), 2, 2),
        cameras=wall_views.cameras.select(np.arange(2)).resized(128, 128),
    )
    widths = []

    def recorded(**arguments):
        widths.append(arguments["width"])
        return rasterization(**arguments)

    options = GaussianSplat(steps=5, coarse_fraction=0.6)
    train_here(options, initialize(large, 20), large, kernels=replace(KERNELS, rasterization=recorded))
    assert widths == [64, 64, 64, 128, 128]


def test_it_stops_when_the_held_out_views_gain_nothing(trained_views, unseen_views):
    options = GaussianSplat(steps=400, patience=1, densify_gradient=1e9, **STILL)
    reports = []
    gaussians, _ = train_here(
        options, initialize(trained_views, 20), halve(trained_views), halve(unseen_views),
        progress=lambda done, total, **quality: reports.append(done),
    )  # fmt: skip
    # The first check, after 25 steps, sets the mark that the second fails to pass.
    assert reports == [10, 20, 30, 40, 50, 400]
    assert len(gaussians) > 0


@pytest.mark.parametrize("stop_after", [38, 1000])
def test_a_stopped_training_grows_no_more(trained_views, stop_after):
    reports, options = {}, GaussianSplat(steps=100, max_gaussians=5000, densify_gradient=1e-6)
    train_here(
        options, initialize(trained_views, 100), trained_views,
        progress=lambda done, total, **quality: reports.update({done: quality["gaussians"]}),
        look=lambda done, result: done >= stop_after,
    )  # fmt: skip
    assert reports[10] < reports[30] == reports[40]
    # gsplat's strategy adds Gaussians every twenty steps.
    if stop_after == 38:
        assert max(reports) == 43
        assert reports[43] == reports[40]
    else:
        assert max(reports) == 100
        assert reports[50] > reports[40]


def test_colours_gain_bands_as_the_training_proceeds(trained_views):
    degrees = []

    def recorded(**arguments):
        degrees.append(arguments["sh_degree"])
        return rasterization(**arguments)

    options = GaussianSplat(steps=12, sh_degree=2)
    kernels = replace(KERNELS, rasterization=recorded)
    gaussians, _ = train_here(options, initialize(trained_views, 50), trained_views, kernels=kernels)
    assert degrees == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert gaussians.sh.shape[1] == 9


OFF = {"match_exposures": "off"}


def test_cameras_and_exposures_are_trained_along(small_views):
    gains = np.array([1.2, 0.7, 1.2, 0.7, 1])[:, None, None, None]
    uneven = replace(small_views, rgb=(small_views.rgb * gains).clip(0, 255).astype(np.uint8))
    start = initialize(small_views, 150)
    reports = []
    (_, left), (_, refined), _ = (
        train_here(
            GaussianSplat(steps=60, **option),
            start,
            uneven,
            progress=lambda done, total, psnr, gaussians: reports.append(psnr),
        )
        for option in (OFF, {**OFF, "refine_poses": True}, {"match_exposures": "on"})
    )
    assert left == uneven.cameras
    moves = refined.cam_from_world.astype(np.float64) @ uneven.cameras.world_from_cam - np.eye(4)
    assert 1e-4 < np.abs(moves).max() < 1e-2
    assert np.abs(moves[:, :3, 3].mean(0)).max() < 1e-5
    last = reports[5::6]
    assert last[2] > last[0] + 0.5


def test_no_gaussian_grows_into_a_needle(trained_views, monkeypatch):
    options, start = GaussianSplat(steps=60, scales_lr=0.3), initialize(trained_views, 100)
    found = []
    for large in (limits.MAX_ELONGATION, np.inf):
        monkeypatch.setattr(limits, "MAX_ELONGATION", large)
        scales = np.sort(train_here(options, start, trained_views)[0].scales, 1)
        found.append((scales[:, 2] / scales[:, 1]).max())
    assert found[0] < 1.001 * 15
    assert found[1] > 30


@pytest.mark.parametrize("strategy", ["mcmc", "classic"])
def test_gsplat_accepts_our_parameters(strategy, trained_views, wall_gaussians):
    options = GaussianSplat(strategy=strategy)
    # The strategy checks them itself.
    assert len(cuda_model(wall_gaussians, trained_views, options)) == len(wall_gaussians)


def test_the_schedule_of_the_strategies_fits_the_training():
    settings = Densification(steps=1200, max_gaussians=123, min_gradient=0.25, scene_depth=2.0)
    default, mcmc = make_default_strategy(settings), make_mcmc_strategy(settings, 1e-3)
    for made in (default, mcmc):
        assert (made.refine_start_iter, made.refine_stop_iter, made.refine_every) == (60, 960, 20)
    assert default.grow_grad2d == 0.25
    assert mcmc.cap_max == 123


def test_noise_does_not_depend_on_the_unit_of_length():
    options = GaussianSplat(strategy="mcmc")
    for factor in (1.0, 10.0):
        depth = 2.0 * factor
        settings = Densification(steps=100, max_gaussians=9, min_gradient=1.0, scene_depth=depth)
        strategy = make_mcmc_strategy(settings, options.means_lr)
        scaler = strategy.noise_lr * options.learning_rates(0.0, depth)["means"]
        covariance = 0.1**2 * factor**2
        assert scaler * covariance / factor == pytest.approx(5e5 * 1.6e-4 * 0.1**2 / 2.0)


def test_parameters_hold_the_gaussians(wall_gaussians):
    params = make_parameters(wall_gaussians, 2, "cpu")
    splats = splats_from_parameters(params)
    assert params["shN"].shape == (len(wall_gaussians), 8, 3)
    np.testing.assert_array_equal(splats.means.detach(), wall_gaussians.means)
    np.testing.assert_array_equal(splats.log_scales.detach(), wall_gaussians.log_scales)
    np.testing.assert_array_equal(splats.logit_opacities.detach(), wall_gaussians.logit_opacities)
    np.testing.assert_array_equal(splats.sh[:, :1].detach(), wall_gaussians.sh[:, :1])
    assert "shN" not in make_parameters(wall_gaussians, 0, "cpu")


def test_the_lowest_opacities_are_marked():
    mask = lowest(torch.tensor([3.0, -1.0, 2.0, -1.0, -5.0]), 2)
    assert mask.tolist() == [False, True, False, False, True]


def test_a_training_that_diverges_says_so(wall_gaussians, trained_views):
    with pytest.raises(SplatError, match="diverged at step") as error:
        train_here(GaussianSplat(steps=20, colors_lr=1e30), wall_gaussians, trained_views)
    assert "lr" in error.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_says_so(wall_views):
    with pytest.raises(MissingPackageError, match="needs a CUDA device"):
        gsplat_kernels()
    with pytest.raises(MissingPackageError, match="needs a CUDA device") as error:
        GaussianSplat(backend="gsplat", steps=5).optimize(wall_views)
    with pytest.raises(MissingPackageError, match="needs a CUDA device"):
        DynamicSplat(backend="gsplat").optimize(moving_wall(wall_views))
    assert "native" in error.value.hint


def moving_wall(wall_views):
    """The wall at two times, between which it moves by STEP: the same pictures, from cameras that have moved along."""
    cameras = wall_views.cameras.select(np.tile(np.arange(len(wall_views)), 2))
    cameras.world_from_cam[len(wall_views) :, :3, 3] += STEP
    return replace(
        wall_views,
        rgb=np.concatenate([wall_views.rgb, wall_views.rgb]),
        cameras=cameras,
        confidence=np.ones(2 * len(wall_views), np.float32),
        times=np.repeat([0.0, 1.0], len(wall_views)),
        depth=None,
    )


STEP = np.array([0.05, -0.03, 0.0], np.float32)


def test_what_moves_is_trained_by_gsplat_as_by_ours(small_views, monkeypatch):
    views = moving_wall(small_views)
    options = DynamicSplat(steps=60, sweep_steps=8, max_gaussians=200, num_bones=4)
    start = Scene(
        gaussians=initialize(small_views, 200),
        cameras=views.cameras,
        background=BACKGROUND,
        is_object=False,
    )
    # Off the CPU bones move Gaussians in torch.
    figures, by_torch = [], []

    def skin_here(*tensors):
        by_torch.append(True)
        return skin_by_torch(*tensors)

    for draw, skin in (
        (partial(rasterize, backend="native"), bones.skin),
        (partial(rasterize_by, rasterization), skin_here),
    ):
        monkeypatch.setattr(bones, "skin", skin)
        training = DynamicTraining(options, views, start, 0.0, np.random.default_rng(0), draw=draw)
        with one_torch_thread():
            training.sweep(silent)
            training.train_together(silent)
        gaussians, motion = training.result()
        scene = replace(start, gaussians=gaussians, motion=motion)
        held_out = np.zeros(len(views), bool)
        moved = motion.move(gaussians.means, gaussians.quats, 1.0)[0] - gaussians.means
        figures.append((evaluate(scene, views, held_out)["train_psnr"], *np.median(moved, 0)))
    assert len(by_torch) > 40
    before = evaluate(start, views, held_out)["train_psnr"]
    assert figures[0][0] > before + 3
    assert figures[1][0] == pytest.approx(figures[0][0], abs=0.1)
    # Both go the same way, which is that of the wall, though not yet to its end.
    np.testing.assert_allclose(figures[1][1:], figures[0][1:], atol=5e-4)
    assert np.dot(figures[1][1:], STEP) > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_what_moves_is_learnt_on_cuda(wall_views):
    views = moving_wall(wall_views)
    facts = []
    for backend in ("native", "gsplat"):
        splat = DynamicSplat(backend=backend, static_steps=150, steps=300, max_gaussians=3000, num_bones=4)
        facts.append(evaluate(splat.optimize(views), views, splat.held_out(len(views), views.times))["heldout_psnr"])
    assert facts[1] > facts[0] - 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("strategy", ["mcmc", "classic"])
def test_it_learns_on_cuda(strategy, wall_views):
    backend = GaussianSplat(backend="gsplat", steps=300, max_gaussians=4000, strategy=strategy)
    scene = backend.optimize(replace(wall_views, depth=None))
    facts = evaluate(scene, wall_views, backend.held_out(len(wall_views)))
    assert facts["heldout_psnr"] > 22
    assert facts["num_gaussians"] <= 4000
