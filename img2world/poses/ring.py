"""Cameras of an object's views in even steps around it, as models generate them, found by their outlines.

Where views are too far apart to have points in common, what is left is that all steps are equal, that the cameras look
at the middle of the object from one elevation, and that their outlines are those of one body: elevation, lens and
direction follow from the visual hull. At elevation 0 both directions have nearly the same hulls, so that a small scene
is made with either.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from img2world.core.camera_paths import on_sphere
from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.pose_report import PoseReport
from img2world.core.progress import Progress
from img2world.core.views import Views
from img2world.poses.second_opinion import judge
from img2world.tracking.hull_points import hull_points, with_hull_points

ELEVATIONS_DEG = (-15.0, 0.0, 15.0, 30.0, 45.0)
FOVS_DEG = (20.0, 34.0, 50.0)
"""Starting values; the fit finds what lies between them."""

STEPS = ((6.0, 1.2), (2.0, 1.06))
"""Degrees of elevation and factors of the lens by which a fit goes on, from coarse to fine."""

MAX_FIT_STEPS = 5

MIN_VIEWPOINTS = 4

MIN_AGREEMENT = 0.75
"""Overlap of the outlines with the hull below which the views are in no such circle."""

SIDE = 72
"""Longest side in pixels at which outlines are compared."""

MAX_TIMES = 2


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A circle of cameras, whose views were taken in even steps."""

    elevation_deg: float
    fov_deg: float
    direction: int
    """1 if the camera moves to its own right, else -1."""

    def cameras(self, count: int, width: int, height: int) -> Cameras:
        """Return the cameras of so many views."""
        azimuths = self.direction * np.arange(count) * (2 * np.pi / count)
        intrinsics = intrinsics_from_fov(float(np.radians(self.fov_deg)), width, height)
        return Cameras(
            world_from_cam=on_sphere(azimuths, np.full(count, np.radians(self.elevation_deg))),
            intrinsics=np.repeat(intrinsics[None], count, 0),
            width=width,
            height=height,
        )


def ring_views(frames: Frames, count: int, progress: Progress) -> Views:
    """Return the views of the first time of an object in front of which cameras stand in even steps around it.

    The frames have alpha and all `count` viewpoints at each time. Raises PoseError when no such circle explains them.
    """
    assert frames.viewpoints is not None
    times = np.unique(frames.times)
    complete = [time for time in times.tolist() if (frames.times == time).sum() == count]
    if count < MIN_VIEWPOINTS or not complete:
        raise PoseError(
            f"{count} viewpoints are no circle, needs at least {MIN_VIEWPOINTS} at one time", hint="add viewpoints"
        )
    chosen = [complete[i] for i in np.unique(np.linspace(0, len(complete) - 1, MAX_TIMES).round().astype(int))]
    sets = [_small(frames.select(np.flatnonzero(frames.times == time))) for time in chosen]

    def score(ring: Ring) -> float:
        agreements = []
        for small in sets:
            height, width = small.rgb.shape[1:3]
            hull = hull_points(_views(small, ring.cameras(count, width, height)))
            agreements.append(0.0 if hull is None else hull.agreement)
        return min(agreements)

    starts = [
        Ring(elevation_deg=elevation, fov_deg=fov, direction=direction)
        for elevation, fov, direction in product(ELEVATIONS_DEG, FOVS_DEG, (1, -1))
    ]
    scores = []
    for i, ring in enumerate(starts):
        progress(i, len(starts), step="outlines")
        scores.append(score(ring))
    first = frames.select(np.flatnonzero(frames.times == chosen[0]))
    height, width = first.rgb.shape[1:3]
    start = int(np.argmax(scores))
    best, agreement = _refined(starts[start], scores[start], score)
    # Seen from afar, a mirrored object that turns the other way has the same outlines (the Necker reversal).
    mirrored = replace(best, elevation_deg=-best.elevation_deg, direction=-best.direction)
    found = []
    for ring, value in ((best, agreement), (mirrored, score(mirrored))):
        if value < MIN_AGREEMENT:
            continue
        views = _views(first, ring.cameras(count, width, height))
        hull = hull_points(views)
        views = views if hull is None else with_hull_points(views, hull)
        found.append((judge(views, ordered=False).shown, value, ring, views))
    if not found:
        raise PoseError(
            f"no circle in even steps explains the outlines of {count} viewpoints: they agree to {agreement:.0%}",
            hint="tell the cameras with --set video.cameras=transforms.json",
        )
    _, agreement, ring, views = max(found, key=lambda item: item[0])
    reason = (
        f"taken for {count} views in even steps around the object, whose outlines agree to {agreement:.0%} at an "
        f"elevation of {ring.elevation_deg:.0f} degrees and a field of view of {ring.fov_deg:.0f}"
    )
    return replace(views, report=_report(count, (reason,)))


def _small(frames: Frames) -> Frames:
    """Return the frames of one time at the size at which outlines are compared."""
    import cv2

    assert frames.alpha is not None
    height, width = frames.rgb.shape[1:3]
    scale = min(1.0, SIDE / max(width, height))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    rgb, alpha = (
        np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures])
        for pictures in (frames.rgb, frames.alpha)
    )
    return Frames(rgb=rgb, alpha=alpha, times=frames.times)


def _views(frames: Frames, cameras: Cameras) -> Views:
    """Return frames of one time with cameras."""
    return Views(
        rgb=frames.rgb,
        alpha=frames.alpha,
        cameras=cameras,
        confidence=np.full(len(frames), 0.5, np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="ring",
    )


def _refined(ring: Ring, value: float, score: Callable[[Ring], float]) -> tuple[Ring, float]:
    """Return the ring nearby whose outlines agree best, and how well."""
    for degrees, factor in STEPS:
        for _ in range(MAX_FIT_STEPS):
            around = [
                replace(ring, elevation_deg=ring.elevation_deg + degrees),
                replace(ring, elevation_deg=ring.elevation_deg - degrees),
                replace(ring, fov_deg=ring.fov_deg * factor),
                replace(ring, fov_deg=ring.fov_deg / factor),
            ]
            values = [score(each) for each in around]
            best = int(np.argmax(values))
            if values[best] <= value:
                break
            ring, value = around[best], values[best]
    return ring, value


def _report(count: int, reasons: tuple[str, ...]) -> PoseReport:
    """Return a report on cameras that outlines alone tell."""
    return PoseReport(
        solver="ring",
        grade="C",
        reasons=reasons,
        frames=tuple(range(count)),
        total=count,
        tracks=0,
        heldout_px=0.0,
        inlier_share=0.0,
        parallax_deg=360.0 / count,
        focal_at_limit=False,
    )
