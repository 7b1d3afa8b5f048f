import numpy as np
import pytest

from img2world.splat.budget import RATES, budget
from img2world.splat.optimize import GaussianSplat


@pytest.mark.parametrize("quality", RATES)
def test_more_views_get_more_up_to_a_limit(wall_views, quality):
    spent = [budget(quality, wall_views.select(np.zeros(count, int))) for count in (2, 50, 100, 2000)]
    steps = [each.steps for each in spent]
    assert steps == sorted(steps)
    assert steps[0] < steps[1] < steps[2] <= steps[3] == RATES[quality].max_steps
    assert all(each.max_gaussians <= RATES[quality].max_gaussians for each in spent)


def test_better_qualities_spend_more(wall_views):
    draft, normal, high = (budget(quality, wall_views) for quality in ("draft", "normal", "high"))
    assert draft.steps < normal.steps < high.steps
    assert draft.max_gaussians < normal.max_gaussians < high.max_gaussians


def test_only_what_is_zero_follows_the_quality(wall_views):
    spent = budget("draft", wall_views)
    options = GaussianSplat(quality="draft", steps=0, max_gaussians=500).with_budget(wall_views)
    assert (options.steps, options.max_gaussians) == (spent.steps, 500)
    options = GaussianSplat(quality="draft", steps=30, max_gaussians=0).with_budget(wall_views)
    assert (options.steps, options.max_gaussians) == (30, spent.max_gaussians)


def test_a_training_by_quality_is_the_one_with_these_numbers(wall_views, monkeypatch):
    few = RATES["draft"].__class__(
        base_steps=4, steps_per_view=1, max_steps=20, gaussians_per_megapixel=1, min_gaussians=400, max_gaussians=900
    )
    monkeypatch.setitem(RATES, "draft", few)
    spent = budget("draft", wall_views)
    by_quality = GaussianSplat(quality="draft", steps=0, max_gaussians=0).optimize(wall_views).gaussians
    by_number = GaussianSplat(steps=spent.steps, max_gaussians=spent.max_gaussians).optimize(wall_views).gaussians
    np.testing.assert_array_equal(by_quality.means, by_number.means)
