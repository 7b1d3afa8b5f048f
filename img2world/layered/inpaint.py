"""Fill unknown pixels from known ones next to them, without a network."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped

GRAIN_BLUR = 1 / 20
"""Standard deviation of the blur that separates grain from larger shapes, relative to `reach` of `add_texture`."""

MIN_GRAIN_BLUR = 0.5
"""Minimum of that standard deviation in pixels."""

LINE_REACH = 3.0
"""Distance over which lines fade out, relative to `reach` of `add_texture`: unlike grain they do not repeat."""

LINE_WINDOWS = {1 / 64: 1.0, 1 / 16: 0.05}
"""Standard deviations of the windows in which the direction of lines is measured, relative to the longer side, and
their weights: beside a cable in a plain sky only the wider window knows its direction."""

LINE_COHERENCE = (0.4, 0.8)
"""Coherence of gradients, 0 to 1, below which there is no line, and above which there surely is one."""

LINE_COSINE = (0.2, 0.35)
"""Cosine of the angle between a line and the border's normal below which it runs along the border, and above which it
surely crosses it."""

MIN_GRADIENT = 0.01
"""Gradients (of colors 0 to 1, by Sobel's operator) that are lost in noise."""

TRACE_STEPS = 3


def nearest_known(known: Bool[np.ndarray, "H W"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each pixel the distance in pixels to the nearest known pixel, its row and its column, each [H, W]."""
    from scipy.ndimage import distance_transform_edt

    distance = np.empty(known.shape)
    indices = np.empty((2, *known.shape), np.int32)
    distance_transform_edt(~known, return_indices=True, distances=distance, indices=indices)
    return distance, indices[0], indices[1]


def extend_nearest(
    values: Shaped[np.ndarray, "H W ..."], known: Bool[np.ndarray, "H W"]
) -> Shaped[np.ndarray, "H W ..."]:
    """Replace each unknown value by that of the nearest known pixel; at least one has to be known."""
    _, rows, columns = nearest_known(known)
    return values[rows, columns]


def extend_colors(rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Replace each unknown color by that of the nearest known pixel, or by gray (0.5) where none is known."""
    return extend_nearest(rgb, known) if known.any() else np.full_like(rgb, 0.5)


def fill_smooth(values: Float32[np.ndarray, "H W C"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W C"]:
    """Fill unknown values from ever coarser averages of the known ones, which are kept.

    Source: pull-push interpolation, Gortler et al., "The Lumigraph", 1996.
    """
    import cv2

    weights = [known.astype(np.float32)[..., None]]
    colors: list[np.ndarray] = [values * weights[0]]
    while max(weights[-1].shape[:2]) > 1:
        size = (max(colors[-1].shape[1] // 2, 1), max(colors[-1].shape[0] // 2, 1))
        weight = cv2.resize(weights[-1], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 1)
        color = cv2.resize(colors[-1], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        full = np.minimum(1, 4 * weight).astype(np.float32)
        weights.append(full)
        colors.append(color * full / np.maximum(weight, 1e-8))
    filled = colors[-1] / np.maximum(weights[-1], 1e-8)
    for color, weight in zip(colors[-2::-1], weights[-2::-1], strict=True):
        size = (color.shape[1], color.shape[0])
        coarse = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR).reshape(color.shape)
        filled = color + (1 - weight) * coarse
    return filled


def add_texture(
    smooth: Float32[np.ndarray, "H W 3"],
    rgb: Float32[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"],
    reach: float,
) -> Float32[np.ndarray, "H W 3"]:
    """Add fine texture to the smooth colors of unknown pixels: lines run on straight, and grain is mirrored.

    Known pixels keep `rgb`. A line that meets the border (a cable, a roof, the horizon) continues in its own
    direction over about LINE_REACH times `reach` pixels. Elsewhere unknown pixels have the grain of known ones,
    mirrored at the border. Grain is what is finer than GRAIN_BLUR times `reach`: larger shapes, mirrored, would be
    wrong more often than right. It fades out over about `reach`, before a mirrored copy is recognized. Where the mirror
    image of a pixel is unknown, colors stay smooth.
    """
    import cv2

    height, width = known.shape
    origins = trace_to_border(np.where(known[..., None], rgb, smooth), known)
    y, x = np.mgrid[0:height, 0:width]
    mirror_y, mirror_x = 2 * origins.rows - y, 2 * origins.columns - x
    inside = (mirror_y >= 0) & (mirror_y < height) & (mirror_x >= 0) & (mirror_x < width)
    mirror_y, mirror_x = mirror_y.clip(0, height - 1), mirror_x.clip(0, width - 1)
    usable = inside & known[mirror_y, mirror_x]
    # The mirror's seams (where the nearest border changes) vanish when only its grain is taken.
    scale = max(GRAIN_BLUR * reach, MIN_GRAIN_BLUR)
    low = cv2.GaussianBlur(smooth, (0, 0), scale)
    grain = np.where(usable[..., None], (rgb - low)[mirror_y, mirror_x], 0)
    border = cv2.GaussianBlur(np.where(known[..., None], rgb, smooth), (0, 0), 1.0)
    line = cv2.GaussianBlur(border[origins.rows, origins.columns], (0, 0), 1.5)
    line_weight = origins.certainty * np.exp(-((origins.distance / (LINE_REACH * reach)) ** 2)).astype(np.float32)
    line_weight = cv2.GaussianBlur(line_weight, (0, 0), 3.0)[..., None]
    with_lines = np.where(known[..., None], rgb, smooth + line_weight * (line - smooth))
    low = cv2.GaussianBlur(with_lines, (0, 0), scale)
    fade = np.exp(-((origins.distance / reach) ** 2)) * usable
    fade = cv2.GaussianBlur(fade.astype(np.float32), (0, 0), 1.5)[..., None]
    filled = low + line_weight * (with_lines - low) + (1 - line_weight) * fade * grain
    return np.where(known[..., None], rgb, filled).clip(0, 1)


@dataclass(frozen=True, kw_only=True)
class Origins:
    """The border pixel from which each unknown pixel is continued; each array is [H, W]."""

    rows: np.ndarray
    columns: np.ndarray
    distance: np.ndarray
    """Distance in pixels to the nearest known pixel."""
    certainty: Float32[np.ndarray, "H W"]
    """0 to 1: 1 where a line meets the border there, 0 where `rows` and `columns` are just the nearest known pixel."""


def trace_to_border(rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Origins:
    """Follow the direction of the lines at the border from each unknown pixel back to a known one."""
    height, width = known.shape
    distance, rows, columns = nearest_known(known)
    nearest_rows, nearest_columns = rows, columns
    direction_x, direction_y, coherence, _ = line_directions(rgb, known)
    y, x = np.mgrid[0:height, 0:width]
    away = np.maximum(distance, 1e-6)
    normal_x, normal_y = (x - columns) / away, (y - rows) / away
    certainty = np.zeros(known.shape)
    # The direction at the border pixel decides which border pixel it is: a fixed point, which few steps come close to.
    for _ in range(TRACE_STEPS):
        along_x, along_y = direction_x[rows, columns], direction_y[rows, columns]
        cosine = along_x * normal_x + along_y * normal_y
        sign, cosine = np.where(cosine < 0, -1, 1), np.abs(cosine)
        certainty = linear_step(coherence[rows, columns], *LINE_COHERENCE) * linear_step(cosine, *LINE_COSINE)
        step_x = certainty * sign * along_x + (1 - certainty) * normal_x
        step_y = certainty * sign * along_y + (1 - certainty) * normal_y
        steps = distance / np.maximum(step_x * normal_x + step_y * normal_y, LINE_COSINE[0])
        row = np.rint(y - steps * step_y).astype(int).clip(0, height - 1)
        column = np.rint(x - steps * step_x).astype(int).clip(0, width - 1)
        rows, columns = nearest_rows[row, column], nearest_columns[row, column]
    return Origins(rows=rows, columns=columns, distance=distance, certainty=certainty.astype(np.float32))


def line_directions(
    rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]
) -> tuple[
    Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]
]:
    """Return x and y of the direction of the lines around each pixel, how much they agree, 0 to 1, and their contrast.

    Source: the structure tensor, Bigün and Granlund, "Optimal orientation detection of linear symmetry", 1987, averaged
    over known pixels.
    """
    import cv2

    sharp = cv2.GaussianBlur(rgb, (0, 0), 1.0)
    dx, dy = cv2.Sobel(sharp, cv2.CV_32F, 1, 0), cv2.Sobel(sharp, cv2.CV_32F, 0, 1)
    # Next to unknown pixels gradients are those of the border.
    inner = cv2.erode(known.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=1).astype(np.float32)
    tensor = np.stack([(dx * dx).sum(-1), (dx * dy).sum(-1), (dy * dy).sum(-1)], -1) * inner[..., None]
    mean = np.zeros_like(tensor)
    for window, weight in LINE_WINDOWS.items():
        sigma = max(window * max(known.shape), 1.0)
        cover = np.maximum(cv2.GaussianBlur(inner, (0, 0), sigma), 1e-6)[..., None]
        mean += weight * cv2.GaussianBlur(tensor, (0, 0), sigma) / cover
    xx, xy, yy = np.moveaxis(mean, -1, 0)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy + MIN_GRADIENT**2)
    return np.cos(angle), np.sin(angle), coherence, np.sqrt(xx + yy)


def linear_step(values: Float[np.ndarray, "*B"], low: float, high: float) -> Float[np.ndarray, "*B"]:
    """Return values mapped from low..high to 0..1, clipped."""
    return ((values - low) / (high - low)).clip(0, 1)
