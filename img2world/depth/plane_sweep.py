"""Depth of views with known cameras, by plane sweeps through their neighbours (multi-view stereo).

For each view, planes parallel to it at many depths carry its neighbours' pictures into it (Collins 1996, "A space-sweep
approach to true multi-image matching"). Where the pictures agree best, smoothed along four directions by semi-global
matching (Hirschmüller 2008, "Stereo processing by semiglobal matching and mutual information"), is the surface; what
the neighbours' own depths do not confirm is left out.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from img2world.core.cameras import Cameras
from img2world.core.progress import Progress, silent
from img2world.core.threads import usable_cores
from img2world.core.views import Views

NUM_PLANES = 96
"""Planes of a sweep, evenly spaced in inverse depth: neighbouring ones are about a pixel apart."""

NUM_NEIGHBOURS = 4
"""Views that each view is compared with; half of them may be occluded."""

WINDOW = 7
"""Side in pixels of the windows in which pictures are compared."""

NOISE_VARIANCE = (2.0 / 255) ** 2
"""Variance of brightness that is noise. Windows with less have nothing to compare."""

MIN_ANGLE, BEST_ANGLE, MAX_ANGLE = 1.0, 8.0, 40.0
"""Degrees between the lines of sight of two views to a point: fewer leave depth uncertain, more change what is seen."""

SMALL_JUMP, LARGE_JUMP = 0.04, 0.4
"""Costs of a jump in depth between neighbouring pixels: of one plane, and of more. Costs of pixels are 0 to 1."""

MIN_AGREEMENT = 0.5
"""Smallest correlation of the windows in two views that show the same."""

MAX_DIFFERENCE, MIN_CONFIRMING = 0.015, 2
"""Largest relative difference in depth at which another view confirms a depth, and how many have to."""

NEAR_MARGIN, FAR_MARGIN = 0.7, 1.6
"""Nearest and farthest plane in units of the depths of the nearest and the farthest points of a view."""

MIN_POINTS = 8
"""Points that a view must show."""


def sweep_depth(views: Views, progress: Progress = silent) -> Float32[np.ndarray, "V H W"]:
    """Return the depth of each view along +Z in world units, 0 where it is not certain.

    The views must have sparse points, which tell what range of depths to search.
    """
    cameras = views.cameras
    projections = [cameras.project(i, views.points) for i in range(len(views))]
    seen = np.stack([inside for _, _, inside in projections])
    neighbours = [_choose_neighbours(cameras, views.points, seen, i) for i in range(len(views))]
    gray = [_gray(rgb) for rgb in views.rgb]
    raw = np.zeros(views.rgb.shape[:3], np.float32)

    def sweep(i: int) -> None:
        if len(neighbours[i]) and seen[i].sum() >= MIN_POINTS:
            near, far = np.percentile(projections[i][0][seen[i]], [1, 99])
            raw[i] = _sweep_view(cameras, gray, i, neighbours[i], NEAR_MARGIN * near, FAR_MARGIN * far)

    with ThreadPoolExecutor(usable_cores()) as pool:
        for done, _ in enumerate(pool.map(sweep, range(len(views)))):
            progress(done + 1, len(views), step="stereo")
    return np.stack([_confirmed(cameras, raw, i, neighbours[i]) for i in range(len(views))])


def _gray(rgb: np.ndarray) -> Float32[np.ndarray, "H W"]:
    """Return the brightness of a picture, 0 to 1."""
    import cv2

    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def _choose_neighbours(
    cameras: Cameras, points: Float32[np.ndarray, "P 3"], seen: Bool[np.ndarray, "V P"], i: int
) -> Int[np.ndarray, "K"]:
    """Return the views that share most points with view i at angles that suit stereo, the best first."""
    centers = cameras.centers_in_world
    rays = points[None, seen[i]] - centers[:, None]  # [V, P, 3]
    rays /= np.maximum(np.linalg.norm(rays, axis=-1, keepdims=True), 1e-9)
    angle = np.degrees(np.arccos(np.clip((rays * rays[i]).sum(-1), -1, 1)))
    spread = np.where(angle < BEST_ANGLE, BEST_ANGLE / 3, BEST_ANGLE)
    worth = np.exp(-0.5 * np.square((angle - BEST_ANGLE) / spread)) * ((angle > MIN_ANGLE) & (angle < MAX_ANGLE))
    total = (worth * seen[:, seen[i]]).sum(1)
    total[i] = 0
    order = np.argsort(-total, kind="stable")[:NUM_NEIGHBOURS]
    return order[total[order] > 0.02 * seen[i].sum()]


def _sweep_view(
    cameras: Cameras,
    gray: list[Float32[np.ndarray, "H W"]],
    i: int,
    neighbours: Int[np.ndarray, "K"],
    near: float,
    far: float,
) -> Float32[np.ndarray, "H W"]:
    """Return the depth of one view, 0 where the pictures do not agree."""
    inverse_depths = np.linspace(1 / near, 1 / far, NUM_PLANES)
    agreement = _agreements(cameras, gray, i, neighbours, inverse_depths)
    cost = _smoothed(1 - np.maximum(agreement, 0))
    best = cost.argmin(0)
    fraction = _vertex(cost, best)
    inverse = np.interp(best + fraction, np.arange(NUM_PLANES), inverse_depths)
    certain = np.take_along_axis(agreement, best[None], 0)[0] > MIN_AGREEMENT
    certain &= (best > 0) & (best < NUM_PLANES - 1)
    return np.where(certain, 1 / inverse, 0).astype(np.float32)


def _agreements(
    cameras: Cameras,
    gray: list[Float32[np.ndarray, "H W"]],
    i: int,
    neighbours: Int[np.ndarray, "K"],
    inverse_depths: Float[np.ndarray, "D"],
) -> Float32[np.ndarray, "D H W"]:
    """Return the correlation of windows of view i and its neighbours at each plane, of the half that agree best."""
    import cv2

    height, width = gray[i].shape
    reference = gray[i]
    mean, variance = _moments(reference)
    shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV's first pixel centre is (0, 0).
    ray_from_pixel = np.linalg.inv(shift @ cameras.intrinsics[i])
    kept = max(1, (len(neighbours) + 1) // 2)
    agreement = np.empty((len(inverse_depths), height, width), np.float32)
    for plane, inverse_depth in enumerate(inverse_depths):
        scores = np.empty((len(neighbours), height, width), np.float32)
        for k, j in enumerate(neighbours):
            motion = cameras.cam_from_world[j].astype(np.float64) @ cameras.world_from_cam[i]
            carried = motion[:3, :3] + np.outer(motion[:3, 3], [0, 0, inverse_depth])
            homography = shift @ cameras.intrinsics[j] @ carried @ ray_from_pixel
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            warped = cv2.warpPerspective(
                gray[j], homography, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=-1.0
            )
            outside = warped < -1e-3
            other_mean, other_variance = _moments(warped)
            covariance = cv2.blur(reference * warped, (WINDOW, WINDOW)) - mean * other_mean
            score = covariance / np.sqrt((variance + NOISE_VARIANCE) * (other_variance + NOISE_VARIANCE))
            score[outside] = -1
            scores[k] = score
        scores.sort(axis=0)
        agreement[plane] = scores[-kept:].mean(0)
    return agreement


def _moments(picture: Float32[np.ndarray, "H W"]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the window around each pixel."""
    import cv2

    mean = cv2.blur(picture, (WINDOW, WINDOW))
    return mean, np.maximum(cv2.blur(picture * picture, (WINDOW, WINDOW)) - mean * mean, 0)


def _smoothed(cost: Float32[np.ndarray, "D H W"]) -> Float32[np.ndarray, "D H W"]:
    """Return costs summed over four directions, in each of which a jump in depth costs extra."""
    total = np.zeros_like(cost)
    for axis in (1, 2):
        lines, sums = np.moveaxis(cost, axis, 0), np.moveaxis(total, axis, 0)  # [N, D, M]
        for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
            previous = None
            for n in order:
                current = lines[n].copy()
                if previous is not None:
                    lowest = previous.min(0)
                    step = np.minimum(previous, lowest + LARGE_JUMP)
                    step[1:] = np.minimum(step[1:], previous[:-1] + SMALL_JUMP)
                    step[:-1] = np.minimum(step[:-1], previous[1:] + SMALL_JUMP)
                    current += step - lowest
                sums[n] += current
                previous = current
    return total


def _vertex(cost: Float32[np.ndarray, "D H W"], best: Int[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return where, from -0.5 to 0.5 planes beside the best, the parabola through it and both others is lowest."""
    middle = np.clip(best, 1, len(cost) - 2)[None]
    below, at, above = (np.take_along_axis(cost, middle + k, 0)[0] for k in (-1, 0, 1))
    curvature = below - 2 * at + above
    return np.clip(np.where(curvature > 1e-9, 0.5 * (below - above) / np.maximum(curvature, 1e-9), 0), -0.5, 0.5)


def _confirmed(
    cameras: Cameras, depth: Float32[np.ndarray, "V H W"], i: int, neighbours: Int[np.ndarray, "K"]
) -> Float32[np.ndarray, "H W"]:
    """Return the depth of view i where other views have the same, else 0."""
    rows, columns = np.nonzero(depth[i])
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], -1)
    in_cam = pixels @ np.linalg.inv(cameras.intrinsics[i]).T.astype(np.float64) * depth[i, rows, columns, None]
    pose = cameras.world_from_cam[i].astype(np.float64)
    points = in_cam @ pose[:3, :3].T + pose[:3, 3]
    count = np.zeros(len(rows), np.int64)
    for j in neighbours.tolist():
        there, at, inside = cameras.project(j, points)
        u, v = at[inside].astype(np.int64).T
        other = depth[j, v, u]
        count[inside] += (other > 0) & (np.abs(other - there[inside]) < MAX_DIFFERENCE * there[inside])
    confirmed = np.zeros_like(depth[i])
    certain = count >= min(MIN_CONFIRMING, len(neighbours))
    confirmed[rows[certain], columns[certain]] = depth[i, rows[certain], columns[certain]]
    return confirmed
