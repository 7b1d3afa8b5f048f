"""Fewer Gaussians for the same look: neighbors that are alike become one with their joint mean, extent and color."""

import numpy as np
from jaxtyping import Bool, Float64, Integer

from img2world.core.gaussians import Gaussians
from img2world.core.rotation import matrix_from_quat, quat_from_matrix
from img2world.core.sh import rgb_from_dc
from img2world.formats.splat_file import join, logit_from_floats

NEIGHBORS = 8
"""Neighbors of which the one that is most alike is merged with."""

COLOR_WEIGHT = 4.0
"""Weight of a squared difference in color, 0 to 1, relative to a squared distance in units of the Gaussians' size."""

MAX_OPACITY = 0.99


def decimate(gaussians: Gaussians, count: int) -> Gaussians:
    """Return at most `count` Gaussians: those that are most alike are merged in pairs, the least visible ones first."""
    while len(gaussians) > count:
        first, second = find_pairs(gaussians, len(gaussians) - count)
        if len(first) == 0:
            # Nothing is next to anything: what is seen least goes.
            keep = np.sort(np.argsort(-visibility(gaussians), kind="stable")[:count])
            return gaussians.select(keep)
        merged = merge_pairs(gaussians.select(first), gaussians.select(second))
        alone = np.ones(len(gaussians), bool)
        alone[first] = alone[second] = False
        gaussians = join(gaussians.select(alone), merged)
    return gaussians


def find_pairs(gaussians: Gaussians, limit: int) -> tuple[Integer[np.ndarray, "P"], Integer[np.ndarray, "P"]]:
    """Return at most `limit` pairs of neighbors, each Gaussian in one of them: those whose merging is seen least."""
    from scipy.spatial import KDTree

    k = min(NEIGHBORS, len(gaussians) - 1)
    near = np.asarray(KDTree(gaussians.means).query(gaussians.means, k + 1, workers=-1)[1])[:, 1:]  # [N, k]
    weight = visibility(gaussians)
    colors = rgb_from_dc(gaussians.sh[:, 0]).astype(np.float32)
    size = np.exp(gaussians.log_scales.mean(1))
    cost = np.empty(near.shape, np.float32)
    for i in range(k):
        other = near[:, i]
        apart = ((gaussians.means - gaussians.means[other]) ** 2).sum(1) / (size * size[other])
        unlike = ((colors - colors[other]) ** 2).sum(1)
        both = weight * weight[other] / (weight + weight[other])
        cost[:, i] = both * (apart + COLOR_WEIGHT * unlike)
    best = near[np.arange(len(near)), cost.argmin(1)]
    first = np.flatnonzero(mutual(best))
    price = cost.min(1)[first]
    first = first[np.argsort(price, kind="stable")[:limit]]
    return first, best[first]


def mutual(best: np.ndarray) -> Bool[np.ndarray, "N"]:
    """Return True for the first of each two that choose each other."""
    index = np.arange(len(best))
    return np.equal(best[best], index) & (index < best)


def visibility(gaussians: Gaussians) -> Float64[np.ndarray, "N"]:
    """Return opacity times the area of the two longest axes."""
    scales = np.sort(gaussians.log_scales.astype(np.float64), axis=1)
    return gaussians.opacities * np.exp(scales[:, 1] + scales[:, 2]) + 1e-30


def merge_pairs(first: Gaussians, second: Gaussians) -> Gaussians:
    """Return Gaussians with the mean and covariance of both together, weighted by how much is seen of each.

    The opacity keeps what is seen of both, as far as it can: two that lay upon each other become more opaque.
    """
    weights = visibility(first), visibility(second)
    share = (weights[0] / (weights[0] + weights[1]))[:, None]
    means = share * first.means + (1 - share) * second.means
    covariance = np.zeros((len(first), 3, 3))
    for part, fraction in ((first, share), (second, 1 - share)):
        offset = part.means - means
        covariance += fraction[..., None] * (covariances(part) + offset[:, :, None] * offset[:, None])
    variances, axes = np.linalg.eigh(covariance)
    axes[:, :, 0] *= np.sign(np.linalg.det(axes))[:, None]
    log_scales = 0.5 * np.log(np.maximum(variances, 1e-24))
    area = np.exp(log_scales[:, 1] + log_scales[:, 2])
    opacity = np.minimum((weights[0] + weights[1]) / area, MAX_OPACITY)
    sh = share[..., None] * first.sh + (1 - share[..., None]) * second.sh
    return Gaussians(
        means=means.astype(np.float32),
        quats=quat_from_matrix(axes).astype(np.float32),
        log_scales=log_scales.astype(np.float32),
        logit_opacities=logit_from_floats(opacity),
        sh=sh.astype(np.float32),
    )


def covariances(gaussians: Gaussians) -> Float64[np.ndarray, "N 3 3"]:
    """Return the covariance matrices."""
    half = matrix_from_quat(gaussians.quats) * np.exp(gaussians.log_scales.astype(np.float64))[:, None]
    return half @ half.transpose(0, 2, 1)
