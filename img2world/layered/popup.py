"""Fold the depth of a scene to ground, ceiling and uprights, so that what is straight stays straight.

Predicted depth is soft where a wall meets the ground, and its walls lean: seen from the side, houses and poles bend
like rubber. Here ground and ceiling are planes, and what stands between them has one depth in each column of the
picture (the model of Hoiem et al. 2005, "Automatic photo pop-up", fitted to predicted depths).
"""

import numpy as np
from jaxtyping import Bool, Float, Float32

from img2world.layered.inpaint import extend_nearest

SIZE = 96
"""Longer side, in pixels, of the map to which the surfaces are fitted."""

Plane = Float[np.ndarray, "3"]
"""Inverse depth per x, per y, and in the middle of the picture; x and y are relative to its longer side."""

ROUNDS, MAX_CANDIDATES = 300, 6
"""Number of planes through three random points that are compared, and of those that are combined with uprights."""

MIN_SLOPE, MAX_ROLL = 0.4, 0.5
"""Minimum vertical slope of the inverse depth of a ground, and its maximum horizontal slope relative to that."""

MIN_ROW = 0.35
"""Fraction of the picture's height above which no ground is sought."""

MAX_ERROR = 0.06
"""Difference in log depth up to which a pixel supports a plane."""

NEARER_COST = 0.5
"""Cost of being too near relative to being too far: predicted walls lean back, and are right at their feet."""

MAX_RESIDUAL = 0.3
"""Difference in log depth at which a pixel's residual is clipped: it shows something in front."""

MAX_MEAN_RESIDUAL = 0.1
"""Scenes whose mean residual is larger are not of this form."""

PLANE_COST = 0.004
"""Minimum reduction of the mean residual by a plane."""

LEVEL_STEP = 0.04
LEVELS = LEVEL_STEP * np.arange(-40, 28)
"""Log inverse depths between which uprights choose before they are fitted exactly."""

CHANGE_COST = 0.1
"""Cost of a change of log depth between columns, relative to that of the same residual along a whole column."""

ROUNDING = 0.025
"""Standard deviation of the smoothing of uprights across columns, relative to the longer side."""


def straighten(
    inverse_depth: Float32[np.ndarray, "h w"], known: Bool[np.ndarray, "H W"], *, has_ceiling: bool
) -> Float32[np.ndarray, "H W"] | None:
    """Return the inverse depth of ground, ceiling and uprights that fits where it is known, at the size of `known`.

    A ceiling is sought only if there may be one. None when the scene is not of this form, or hardly any of it is known.
    """
    import cv2

    height, width = known.shape
    scale = SIZE / max(height, width)
    size = (max(round(width * scale), 8), max(round(height * scale), 8))
    used = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.6
    if used.mean() < 0.02:
        return None
    values = cv2.resize(inverse_depth, size, interpolation=cv2.INTER_AREA)
    log_values = np.log(extend_nearest(values, used)).astype(np.float64)
    best = _fit_uprights(log_values, used, ())
    candidates = [(plane,) for plane in find_grounds(values, used)]
    best = min([best, *(_fit_uprights(log_values, used, planes) for planes in candidates)], key=lambda fit: fit[0])
    if has_ceiling:
        flipped = find_grounds(values[::-1], used[::-1])
        ceilings = [(*best[1], plane * (1, -1, 1)) for plane in flipped]
        best = min([best, *(_fit_uprights(log_values, used, planes) for planes in ceilings)], key=lambda fit: fit[0])
    residual, planes, uprights = best
    if residual > MAX_MEAN_RESIDUAL:
        return None
    columns = cv2.resize(np.exp(uprights).astype(np.float32)[None], (width, 1), interpolation=cv2.INTER_LINEAR)
    surfaces = [np.repeat(columns, height, 0), *(evaluate(plane, height, width) for plane in planes)]
    return np.max(surfaces, axis=0).astype(np.float32)


def evaluate(plane: Plane, height: int, width: int) -> Float[np.ndarray, "H W"]:
    """Return the inverse depth of a plane at the pixels of a picture, almost 0 beyond its horizon."""
    y, x = np.mgrid[0.5:height, 0.5:width]
    side = max(height, width)
    return np.maximum((plane[0] * (x - width / 2) + plane[1] * (y - height / 2)) / side + plane[2], 1e-3)


def find_grounds(values: Float32[np.ndarray, "h w"], used: Bool[np.ndarray, "h w"]) -> list[Plane]:
    """Return planes that rise towards the horizon, explain many of the lower pixels and have few others below them.

    They are found by RANSAC (Fischler and Bolles 1981).
    """
    height, width = values.shape
    side = max(height, width)
    y, x = np.mgrid[0.5:height, 0.5:width]
    points = np.stack([(x - width / 2) / side, (y - height / 2) / side, np.ones_like(x)], -1)
    lower = np.argwhere(used & (y > MIN_ROW * height))
    if len(lower) < 3:
        return []
    # The generator of a fixed seed: the same picture gives the same scene.
    triples = lower[np.random.default_rng(0).integers(len(lower), size=(ROUNDS, 3))]
    corners = points[triples[..., 0], triples[..., 1]]  # [ROUNDS, 3, 3]
    heights = values[triples[..., 0], triples[..., 1]].astype(np.float64)
    regular = np.abs(np.linalg.det(corners)) > 1e-3
    planes = np.linalg.solve(corners[regular], heights[regular][..., None])[..., 0]
    planes = planes[[_is_ground(plane) for plane in planes]]
    known, inverse_depths = points[used], values[used].astype(np.float64)
    above = np.log(inverse_depths / np.maximum(planes @ known.T, 1e-3))  # [planes, pixels]
    support = np.maximum(0, 1 - np.abs(above) / MAX_ERROR).sum(1) - 2 * (above < -1.3 * MAX_ERROR).sum(1)
    found = []
    # The best are nearly the same.
    for plane in planes[np.argsort(-support, kind="stable")[: 4 * MAX_CANDIDATES : 4]]:
        for _ in range(4):
            near = np.abs(np.log(inverse_depths / np.maximum(known @ plane, 1e-3))) < MAX_ERROR
            if near.sum() >= 3:
                plane = np.linalg.lstsq(known[near], inverse_depths[near], rcond=None)[0]
        if _is_ground(plane):
            found.append(plane)
    return found


def _is_ground(plane: Plane) -> bool:
    """Return True if a plane comes nearer toward the lower edge, and is not much inclined to the side."""
    return bool(plane[1] > MIN_SLOPE and abs(plane[0]) < MAX_ROLL * plane[1])


def _fit_uprights(
    log_values: Float[np.ndarray, "h w"], used: Bool[np.ndarray, "h w"], planes: tuple[Plane, ...]
) -> tuple[float, tuple[Plane, ...], Float[np.ndarray, "w"]]:
    """Return the cost of a scene with these planes, the planes, and the log inverse depth that fits in each column.

    Neighboring columns prefer the same depth; the best of all choices is found by dynamic programming.
    """
    import cv2

    height, width = log_values.shape
    behind = np.log(np.max([np.full((height, width), 1e-3), *(evaluate(plane, height, width) for plane in planes)], 0))

    def residuals(uprights: Float[np.ndarray, "w"] | np.float64) -> Float[np.ndarray, "h w"]:
        farther = log_values - np.maximum(behind, uprights)
        return used * np.minimum(np.where(farther > 0, farther, -NEARER_COST * farther), MAX_RESIDUAL)

    costs = np.stack([residuals(level).sum(0) for level in LEVELS], 1)  # [w, levels]
    change = CHANGE_COST * height * np.abs(LEVELS[:, None] - LEVELS)
    total, steps = costs[0], []
    for column in range(1, width):
        options = total[:, None] + change
        steps.append(options.argmin(0))
        total = options.min(0) + costs[column]
    chosen = [int(total.argmin())]
    for step in reversed(steps):
        chosen.append(int(step[chosen[-1]]))
    uprights = LEVELS[chosen[::-1]]
    difference = log_values - uprights
    own = used & (uprights > behind) & (np.abs(difference) < LEVEL_STEP)
    uprights = uprights + (difference * own).sum(0) / np.maximum(own.sum(0), 1)
    blur = ROUNDING * max(height, width)
    uprights = cv2.GaussianBlur(uprights[None], (0, 0), blur, borderType=cv2.BORDER_REPLICATE)[0]
    penalty = PLANE_COST * len(planes)
    return float(residuals(uprights).sum() / used.sum()) + penalty, planes, uprights
