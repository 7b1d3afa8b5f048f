"""Tell what rests from what moves in views of different times, by what a static scene does not explain.

Points on what moves can only be had from a few successive views, in which it has hardly moved: those, of all, whose
outlines of it agree best.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from img2world.core.cameras import Cameras
from img2world.core.gaussians import Gaussians
from img2world.core.views import Views
from img2world.render import Color, render
from img2world.splat.initialize import gaussians_from_points
from img2world.splat.metrics import unit_rgb
from img2world.splat.optimize import GaussianSplat
from img2world.splat.views import halve
from img2world.tracking.hull_points import HullPoints, hull_points

SIZE = 128
"""Pixels. The parts are told apart in views that are halved until no side is longer."""

MIN_ERROR, MIN_RATIO = 0.05, 2.0
"""Mean absolute colour error around a pixel, 0 to 1 and relative to that of the median pixel of the object, from which
something moves there."""

NEIGHBORHOOD = 3
"""Side in pixels of the square over which that mean is taken, and by which what moves is widened."""

MOSTLY = 0.7
"""Gaussians that are in front of what moves in so many of the views are not of the part at rest: nothing trained
them."""

WINDOW, MIN_WINDOW = 1 / 4, 6
"""Successive views that give points on what moves: fraction of all, and at least so many."""

WINDOWS_PER_WINDOW = 3
"""Windows are tried so often per length of one."""

MAX_OUTSIDE = 1 / 20
"""Fraction of the views in which what rests may be beside the outlines: masks are not right to the pixel."""

MAX_MISSES = 1
"""Outlines in a window that need not contain a point, as it has moved a little."""

BEHIND = 0.01
"""Relative distance behind a surface from which it hides what is there."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Gaussians at rest and Gaussians that will move."""

    still: Gaussians
    movers: Gaussians
    """At the times of `window`."""
    moving: Bool[np.ndarray, "V h w"]
    """True where a view shows something that moves, at a small size."""
    window: Int[np.ndarray, "W"]
    """Indices of the views that the movers are made of, in the order of their times."""
    background: Color


def tell_apart(views: Views, static: GaussianSplat, seed: int) -> Parts | None:
    """Return the parts of an object that moves; None where no window shows enough of something that does.

    `views` have `alpha` and `times`.
    """
    assert views.times is not None
    assert views.alpha is not None
    small = views
    while max(small.cameras.width, small.cameras.height) > SIZE:
        small = halve(small)
    everything = replace(small, times=None)
    scene = static.optimize(everything, seed=seed)
    moving = _unexplained(scene.gaussians, everything, scene.background)
    if small.moving is not None:
        moving |= small.moving > 0
    mask = np.where(moving, 0, 255).astype(np.uint8)
    scene = static.optimize(replace(everything, mask=mask), seed=seed)
    assert small.alpha is not None
    outside = _share(scene.gaussians, small.alpha <= 127, small.cameras)
    still = scene.gaussians.select((_share(scene.gaussians, moving, small.cameras) < MOSTLY) & (outside < MAX_OUTSIDE))
    found = _best_window(small, still, moving)
    if found is None:
        return None
    window, hull = found
    points = replace(small, points=hull.points, point_colors=hull.colors)
    return Parts(
        still=still,
        movers=gaussians_from_points(points, static.max_gaussians // 2),
        moving=moving,
        window=window,
        background=scene.background,
    )


def _unexplained(gaussians: Gaussians, views: Views, background: Color) -> Bool[np.ndarray, "V h w"]:
    """Return where the views differ from a static scene."""
    assert views.alpha is not None
    rgb = render(gaussians, views.cameras, background=background).rgb
    side = (NEIGHBORHOOD, NEIGHBORHOOD)
    errors = np.stack([cv2.blur(np.abs(a - unit_rgb(b)).mean(-1), side) for a, b in zip(rgb, views.rgb, strict=True)])
    limit = max(MIN_ERROR, MIN_RATIO * float(np.median(errors[views.alpha >= min(128, views.alpha.max())])))
    return np.stack([cv2.dilate((error > limit).astype(np.uint8), np.ones(side, np.uint8)) > 0 for error in errors])


def _share(gaussians: Gaussians, masks: Bool[np.ndarray, "V h w"], cameras: Cameras) -> Float[np.ndarray, "N"]:
    """Return the fraction of the views whose mask is true where each Gaussian is."""
    hits = np.zeros(len(gaussians))
    for i, mask in enumerate(masks):
        _, xy, inside = cameras.project(i, gaussians.means.astype(np.float64))
        column, row = np.floor(xy[inside]).astype(np.int64).T
        hits[inside] += mask[row, column]
    return hits / len(masks)


def _best_window(
    views: Views, still: Gaussians, moving: Bool[np.ndarray, "V h w"]
) -> tuple[Int[np.ndarray, "W"], HullPoints] | None:
    """Return the views of successive times whose outlines of what moves agree best, and its hull in these."""
    assert views.times is not None
    assert views.alpha is not None
    outlines = replace(views, alpha=np.where(moving, views.alpha, 0).astype(np.uint8))
    hidden_behind = _surface(still, views.cameras)
    order = np.argsort(views.times, kind="stable")
    length = min(len(order), max(MIN_WINDOW, round(WINDOW * len(order))))
    best = None
    for start in range(0, len(order) - length + 1, max(1, length // WINDOWS_PER_WINDOW)):
        window = order[start : start + length]
        hull = hull_points(outlines.select(window), max_misses=MAX_MISSES, hidden_behind=hidden_behind[window])
        if hull is not None and (best is None or hull.agreement > best[1].agreement):
            best = window, hull
    return best


def _surface(gaussians: Gaussians, cameras: Cameras) -> Float32[np.ndarray, "V h w"]:
    """Return the depth from which Gaussians hide what is behind them; infinite beside them."""
    if not len(gaussians):
        return np.full((len(cameras), cameras.height, cameras.width), np.inf, np.float32)
    views = render(gaussians, cameras)
    return np.where(views.alpha > 0.5, views.depth * (1 + BEHIND), np.inf).astype(np.float32)
