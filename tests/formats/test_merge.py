import numpy as np
import pytest
from known_scene import gaussians_from, known_splats, rotation_matrix

from img2world.core.gaussians import Gaussians
from img2world.formats.merge import covariances, decimate, find_pairs, merge_pairs
from img2world.render import render


def covariance(gaussians: Gaussians, index: int) -> np.ndarray:
    half = rotation_matrix(*gaussians.quats[index].astype(float)) * np.exp(gaussians.log_scales[index].astype(float))
    return half @ half.T


def test_covariances_are_those_of_the_definition():
    gaussians = gaussians_from(known_splats(0))
    np.testing.assert_allclose(
        covariances(gaussians), [covariance(gaussians, i) for i in range(5)], rtol=1e-5, atol=1e-9
    )


def test_a_pair_keeps_the_moments_of_the_mixture():
    """Mean and covariance of random points of both, drawn as often as much is seen of each."""
    gaussians = gaussians_from(known_splats(1))
    first, second = gaussians.select(np.array([0])), gaussians.select(np.array([1]))
    merged = merge_pairs(first, second)
    visible = [
        float(part.opacities[0] * np.prod(np.sort(np.exp(part.log_scales[0].astype(float)))[1:]))
        for part in (first, second)
    ]
    rng = np.random.default_rng(0)
    count = 400_000
    drawn = rng.random(count) < visible[0] / sum(visible)
    points = np.where(
        drawn[:, None],
        rng.multivariate_normal(first.means[0].astype(float), covariance(first, 0), count),
        rng.multivariate_normal(second.means[0].astype(float), covariance(second, 0), count),
    )
    np.testing.assert_allclose(merged.means[0], points.mean(0), atol=0.01)
    np.testing.assert_allclose(covariance(merged, 0), np.cov(points.T), atol=0.01)
    share = visible[0] / sum(visible)
    np.testing.assert_allclose(merged.sh[0], share * first.sh[0] + (1 - share) * second.sh[0], atol=1e-6)


def test_two_halves_of_a_disc_become_opaque_at_most():
    gaussians = gaussians_from(known_splats(0)).select(np.array([4, 4]))
    merged = merge_pairs(gaussians.select(slice(0, 1)), gaussians.select(slice(1, 2)))
    assert merged.opacities[0] == pytest.approx(0.99)
    np.testing.assert_allclose(covariance(merged, 0), covariance(gaussians, 0), rtol=1e-4, atol=1e-8)


def test_each_gaussian_is_in_one_pair(scenes):
    first, second = find_pairs(scenes.cloud(500, 1), 500)
    both = np.concatenate([first, second])
    assert len(set(both.tolist())) == len(both)
    assert len(first) > 50
    assert len(find_pairs(scenes.cloud(500, 1), 3)[0]) == 3


@pytest.mark.parametrize("count", [1, 2, 17, 100, 299, 300, 400])
def test_the_count_is_met(scenes, count):
    assert len(decimate(scenes.cloud(300, 1), count)) == min(count, 300)


@pytest.mark.parametrize("count", [1, 5])
def test_gaussians_in_one_place_are_merged(count):
    gaussians = gaussians_from(known_splats(1)).select(np.zeros(40, int))
    assert len(decimate(gaussians, count)) == count


def test_a_third_looks_more_alike_than_dropping_the_least_visible(scenes):
    """A surface of small discs, seen by a camera."""
    side = np.linspace(-0.5, 0.5, 40)
    x, y = (axis.ravel() for axis in np.meshgrid(side, side))
    rng = np.random.default_rng(1)
    whole = Gaussians(
        means=np.stack([x, y, 0.1 * x * y], -1).astype(np.float32),
        quats=np.tile(np.float32([1, 0, 0, 0]), (1600, 1)),
        log_scales=np.tile(np.log(np.float32([0.02, 0.02, 0.002])), (1600, 1)),
        logit_opacities=rng.uniform(0, 3, 1600).astype(np.float32),
        sh=np.stack([np.sin(5 * x), np.cos(4 * y), x * y], -1)[:, None].astype(np.float32),
    )
    few = decimate(whole, 533)
    assert len(few) == 533
    best = whole.select(np.sort(np.argsort(-whole.opacities)[:533]))
    cameras = scenes.cameras([0.0])
    pictures = [render(gaussians, cameras, background=(0.0, 0.0, 0.0)).rgb for gaussians in (whole, few, best)]
    merged, dropped = (np.mean((picture - pictures[0]) ** 2) for picture in pictures[1:])
    assert merged < 0.1 * dropped
