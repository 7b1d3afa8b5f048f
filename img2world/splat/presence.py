"""Find what appears and vanishes, and at which times Gaussians under training are therefore there.

A bone whose Gaussians are seen where the views show something else may have lost track of them, or they are gone. Then
nothing is wrong without them; else a hole remains where they have moved to. What no Gaussian covers has appeared.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32
from torch import Tensor

from img2world.core.views import Views
from img2world.render.splats import CameraTensors, Rendering, Splats
from img2world.splat.initialize import MIN_POINTS
from img2world.tracking.hull_points import hull_points

MIN_VIEWS_TO_TELL = 3
"""Views of one time from which it can be told whether something is gone or only somewhere else."""

NOTHING = -30.0
"""Logit of the opacity of what is not there."""

WRONG_COLOR = 0.25
"""Error of a colour channel, 0 to 1, from which a pixel shows something else: more than at blurred edges."""

MIN_WRONG = 0.5
"""Fraction of what is seen of a bone's Gaussians that is wrong where they are gone."""

MIN_SEEN, MIN_PIXELS = 0.1, 1.0
"""Fraction of what was seen of them at first, and pixels, without which nothing can be told."""

MAX_HOLE = 0.5
"""Wrong pixels that remain without what is gone, as a fraction of those that it covered."""

MIN_UNCOVERED = 0.005
"""Growth of the fraction of pixels without Gaussians from which something has appeared."""

POINTS_OF_BONE, MAX_NEW_BONES = 300, 8
"""Points of what appears for which there is a bone."""


def all_times(num_gaussians: int, num_times: int) -> Int32[Tensor, "N 2"]:
    """Return the first and the last index of the times at which each Gaussian is there: of all times."""
    return torch.tensor([[0, num_times - 1]], dtype=torch.int32).repeat(num_gaussians, 1)


def windows_of_spans(
    spans: Int32[np.ndarray, "N 2"], times: Float[np.ndarray, "T"]
) -> Float32[np.ndarray, "N 2"] | None:
    """Return the windows of a motion, in seconds, by the first and last index of the times; None if all are open.

    A Gaussian is half there in the middle between the first time at which it is there and the one before.
    """
    last = len(times) - 1
    if (spans == [0, last]).all():
        return None
    middles = (times[1:] + times[:-1]) / 2
    steps = np.diff(times)
    # Half a fade outside of all times, what is there at the first is all there.
    ends = np.concatenate([[times[0] - np.median(steps)], middles, [times[-1] + np.median(steps)]])
    return np.stack([ends[spans[:, 0]], ends[spans[:, 1] + 1]], 1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Agreement of Gaussians with the views of one time; all numbers are means over the views."""

    seen: Float64[np.ndarray, "N"]
    """Pixels that show each Gaussian."""
    wrong: Float64[np.ndarray, "N"]
    """Those of them that show something else than the view."""
    num_wrong: float
    """Pixels that show something else than the view, whatever Gaussian is to blame."""
    uncovered: Bool[np.ndarray, "V H W"] | None
    """Pixels of each view at which there is an object, but no Gaussian; None where all of a view counts."""

    def lacks_less_than(self, other: "Observation") -> bool:
        """Tell whether so much less is uncovered than at another time that something must have appeared there."""
        if self.uncovered is None or other.uncovered is None:
            return False
        return bool(other.uncovered.mean() > self.uncovered.mean() + MIN_UNCOVERED)


def observe(splats: Splats, views: Views, cameras: list[CameraTensors], draw: Callable[..., Rendering]) -> Observation:
    """Compare Gaussians at one time with all of its views; `draw` is a `rasterize` that knows the background."""
    device = splats.means.device
    splats = Splats(**{name: getattr(splats, name).detach() for name in Splats.__dataclass_fields__})
    sums, num_wrong, uncovered = torch.zeros(len(splats), 3, device=device), 0.0, []
    for i, camera in enumerate(cameras):
        with torch.no_grad():
            rendering = draw(splats, camera)
        wrong = (rendering.rgb - torch.from_numpy(views.rgb[i]).to(device) / 255).abs().amax(-1) > WRONG_COLOR
        counts = np.ones(wrong.shape, bool) if views.mask is None else views.mask[i] > 0
        wrong &= torch.from_numpy(counts).to(device)
        if views.alpha is not None:
            uncovered.append(counts & (views.alpha[i] > 127) & (rendering.alpha.cpu().numpy() < 0.5))
        # The gradient of the picture's sum by the colour of a Gaussian is how much of the picture shows it.
        colors = torch.zeros(len(splats), 3, device=device, requires_grad=True)
        shown = draw(splats, camera, colors=colors).rgb
        sums += torch.autograd.grad(shown[..., 0].sum() + shown[..., 1][wrong].sum(), colors)[0]
        num_wrong += float(wrong.sum())
    seen, wrong, _ = (sums / len(cameras)).cpu().numpy().astype(np.float64).T
    return Observation(
        seen=seen,
        wrong=wrong,
        num_wrong=num_wrong / len(cameras),
        uncovered=np.stack(uncovered) if uncovered else None,
    )


def suspects(
    now: Observation, first: Float64[np.ndarray, "B"], owners: Int[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "S"], float]:
    """Return the bones most of whose Gaussians' pixels are wrong, and the number of these.

    `first` are the pixels that show the Gaussians of each bone where it began.
    """
    seen, wrong = (np.bincount(owners, each, len(first)) for each in (now.seen, now.wrong))
    chosen = np.flatnonzero((wrong > MIN_WRONG * seen) & (seen > MIN_SEEN * first) & (seen > MIN_PIXELS))
    return chosen, float(wrong[chosen].sum())


def are_gone(before: Observation, present: Observation, without: Observation, area: float) -> bool:
    """Tell whether suspects that cover so many wrong pixels are gone, not only somewhere else.

    If they are, nothing is wrong without them that was not already at the time `before`: no hole remains where they
    would have to be.
    """
    fixed = present.num_wrong - without.num_wrong
    return fixed > MIN_WRONG * area and without.num_wrong < before.num_wrong + MAX_HOLE * area


def uncovered_points(views: Views, uncovered: Bool[np.ndarray, "V h w"]) -> Views | None:
    """Return the views with the points of their visual hull that show where views are uncovered; None without many."""
    hull = hull_points(views)
    if hull is None:
        return None
    votes, inside_of = np.zeros(len(hull.points)), np.zeros(len(hull.points))
    small = views.cameras.resized(uncovered.shape[2], uncovered.shape[1])
    for i, mask in enumerate(uncovered):
        _, xy, inside = small.project(i, hull.points.astype(np.float64))
        column, row = np.floor(xy[inside]).astype(np.int64).T
        votes[inside] += mask[row, column]
        inside_of += inside
    chosen = votes > 0.5 * np.maximum(inside_of, 1)
    if np.count_nonzero(chosen) < MIN_POINTS:
        return None
    return replace(views, points=hull.points[chosen], point_colors=hull.colors[chosen])
