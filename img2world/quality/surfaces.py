"""How much of a view the photo shows, how much it stretches, and how deep the scene is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from img2world.core.cameras import Cameras
from img2world.layered.anchor_frames import unproject_depth
from img2world.quality.views import View, find_origins, project

MIN_DETAIL = 0.5
"""Resolution, relative to that of the view, below which the photo's pixels look stretched."""

GRID = 32
"""Points along the longer side of the picture at which parallax is measured."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Fractions of a view, or of the object in it."""

    unseen: float
    """Shows nothing, or surfaces that the photo does not show: outside of it or hidden."""
    stretched: float
    """Shows surfaces that the photo shows at less than MIN_DETAIL of the resolution."""
    gap: float
    """The largest connected area of `unseen`."""


def measure_coverage(view: View, photo: View, *, is_object: bool) -> Coverage:
    """Return how much of a view the photo shows. Of an object, only the pixels that it covers count."""
    import cv2

    origins = find_origins(view, photo)
    counted = view.opaque if is_object else np.ones(view.opaque.shape, bool)
    # Along an outline, two pixels mix two surfaces, which is no gap.
    unseen = (counted & ~origins.seen).astype(np.uint8)
    unseen = cv2.morphologyEx(unseen, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    areas = cv2.connectedComponentsWithStats(unseen, connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    total = max(int(counted.sum()), 1)
    return Coverage(
        unseen=float(unseen.sum() / total),
        stretched=float((counted & origins.seen & (origins.detail < MIN_DETAIL)).sum() / total),
        gap=float(areas.max(initial=0) / total),
    )


def measure_parallax(photo: View, cameras: Cameras) -> float:
    """Return how far things move against each other from the photo to the worst of some cameras.

    It is the 90th percentile of the distances that points move from where they would if the scene were the best plane,
    relative to the longer side of the picture: 0 for a flat picture, however that is tilted.
    """
    import cv2

    longer = max(photo.depth.shape)
    step = max(1, longer // GRID)
    rows, columns = np.nonzero(photo.opaque[step // 2 :: step, step // 2 :: step])
    rows, columns = rows * step + step // 2, columns * step + step // 2
    if len(rows) < 8:
        return 0.0
    points = unproject_depth(photo.depth, photo.camera)[rows, columns].astype(np.float64)
    here = project(photo.camera, points)[:, :2]
    largest = 0.0
    for i in range(len(cameras)):
        there = project(cameras.select([i]), points)[:, :2]
        known = np.isfinite(there).all(1)
        plane = cv2.findHomography(here[known], there[known], 0)[0] if known.sum() >= 8 else None
        if plane is not None:
            expected = cv2.perspectiveTransform(here[known][None], plane)[0]
            distances: Float[np.ndarray, "M"] = np.linalg.norm(there[known] - expected, axis=1)
            largest = max(largest, float(np.percentile(distances, 90)) / longer)
    return largest
