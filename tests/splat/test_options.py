"""Options of the training that other tests leave at their defaults: each changes what is learned."""

from dataclasses import replace

import numpy as np
import pytest

from img2world.render import render
from img2world.splat.initialize import initialize
from img2world.splat.metrics import ssim
from img2world.splat.optimize import GaussianSplat

QUICK = {"steps": 40, "max_gaussians": 1000, "holdout_every": 0}


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        ("means_lr", "means"),
        ("quats_lr", "quats"),
        ("scales_lr", "log_scales"),
        ("opacities_lr", "logit_opacities"),
        ("colors_lr", "sh"),
    ],
)
def test_each_learning_rate_is_that_of_one_field(wall_views, rate, field):
    start = initialize(wall_views, 500)
    options = {"steps": 3, "max_gaussians": 500, "sh_degree": 0, "holdout_every": 0}
    trained = GaussianSplat(**options, **{rate: 0.0}).optimize(wall_views).gaussians
    for name in ("means", "log_scales", "logit_opacities", "sh", "quats"):
        unchanged = np.allclose(getattr(trained, name), getattr(start, name), atol=1e-6)
        assert unchanged == (name == field), name


def test_a_weight_on_alpha_closes_holes(wall_views):
    # The points alone leave holes between the Gaussians.
    views = replace(wall_views, depth=None)
    holes = []
    for weight in (0.0, 5.0):
        scene = GaussianSplat(**QUICK, alpha_weight=weight).optimize(views)
        holes.append(1 - render(scene.gaussians, scene.cameras).alpha.mean())
    assert holes[1] < 0.7 * holes[0]


def test_a_weight_on_depth_keeps_the_surface(wall_views):
    errors = []
    for weight in (0.0, 5.0):
        scene = GaussianSplat(**QUICK, depth_weight=weight, means_lr=0.01).optimize(wall_views)
        seen = render(scene.gaussians, scene.cameras)
        errors.append(np.abs(seen.depth / wall_views.depth - 1)[seen.alpha > 0.9].mean())
    assert errors[1] < 0.8 * errors[0]


def test_structural_dissimilarity_trades_error_for_structure(wall_views):
    values = []
    for fraction in (0.0, 1.0):
        scene = GaussianSplat(**QUICK, dssim_fraction=fraction).optimize(wall_views)
        drawn = render(scene.gaussians, scene.cameras, background=scene.background).rgb
        true = wall_views.rgb / np.float32(255)
        values.append((np.abs(drawn - true).mean(), np.mean([ssim(*pair) for pair in zip(drawn, true, strict=True)])))
    assert values[0][0] < values[1][0]
    assert values[0][1] < values[1][1]
