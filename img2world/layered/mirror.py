"""Continue a picture beyond its edges as its own mirror image, along the lines that meet the edges."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from img2world.layered.inpaint import line_directions, linear_step

SLOPE_COHERENCE = (0.5, 0.9)
"""Coherence of gradients, 0 to 1, below which there is no line, and above which there surely is one."""

SLOPE_COSINE = (0.35, 0.6)
"""Cosine of the angle between a line and the edge's normal below which it runs along the edge, and above which it
surely meets it."""

MAX_SLOPE = 1.5

SLOPE_WINDOW = 1 / 24
"""Standard deviation of the window along an edge in which slopes are averaged, relative to the longer side: lines in
other directions nearby would tear the mirror image apart."""

MIN_CONTRAST = 0.1
"""Contrast of lines, relative to the mean of the edge, at which the mirror image goes half of the way."""

INSET = 2
"""Pixels between the edge and the place where directions are measured, whose gradients are whole."""

Margins = tuple[int, int]
"""Pixels above and below, and to the left and right."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Positions in a picture, in pixels, from which the pixels of the larger picture around it take their colors."""

    x: Float32[np.ndarray, "h w"]
    y: Float32[np.ndarray, "h w"]
    margins: Margins

    def extend(self, values: Shaped[np.ndarray, "H W ..."], scale: int = 1) -> Shaped[np.ndarray, "h w ..."]:
        """Return a picture, at `scale` times the resolution, with its margins; its own pixels stay as they are."""
        import cv2

        x, y = self.x, self.y
        if scale > 1:
            size = (scale * x.shape[1], scale * x.shape[0])
            x, y = (cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) * scale + (scale - 1) / 2 for part in (x, y))
        extended = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        top, left = (scale * margin for margin in self.margins)
        extended[top : top + values.shape[0], left : left + values.shape[1]] = values
        return extended


def mirror_along_lines(color: Float32[np.ndarray, "H W 3"], margins: Margins) -> Mirror:
    """Return the mirror image around a picture.

    A plain mirror turns a slanted line that meets the edge back like a billiard ball. Here the edge's pixels are
    continued along the lines that meet it, if there are any, so that cables, roofs and roads run on straight.
    """
    height, width = color.shape[:2]
    top, left = margins
    # At the edge itself gradients point along it.
    inside = np.zeros((height, width), bool)
    inside[1:-1, 1:-1] = True
    along_x, along_y, coherence, contrast = line_directions(color, inside)
    y, x = (grid.astype(np.float32) for grid in np.mgrid[-top : height + top, -left : width + left])
    source_x, source_y = x, y
    for is_far in (False, True):
        column, row = (width - 1 - INSET, height - 1 - INSET) if is_far else (INSET, INSET)
        sign = -1 if is_far else 1
        beyond_x = np.maximum(x + 0.5 - width, 0) if is_far else np.maximum(-0.5 - x, 0)
        beyond_y = np.maximum(y + 0.5 - height, 0) if is_far else np.maximum(-0.5 - y, 0)
        at = (slice(None), min(max(column, 0), width - 1))
        slopes = edge_slopes(along_x[at], along_y[at], coherence[at], contrast[at], max(color.shape))
        source_y = source_y + 2 * sign * beyond_x * origin_slopes(slopes, y, sign * beyond_x)
        at = (min(max(row, 0), height - 1), slice(None))
        slopes = edge_slopes(along_y[at], along_x[at], coherence[at], contrast[at], max(color.shape))
        source_x = source_x + 2 * sign * beyond_y * origin_slopes(slopes, x, sign * beyond_y)
    return Mirror(x=reflected(source_x, width), y=reflected(source_y, height), margins=margins)


def edge_slopes(
    normal: Float32[np.ndarray, "E"],
    tangential: Float32[np.ndarray, "E"],
    coherence: Float32[np.ndarray, "E"],
    contrast: Float32[np.ndarray, "E"],
    longer_side: int,
) -> Float32[np.ndarray, "E"]:
    """Return the slope against the normal in which the picture continues at each pixel of an edge.

    `normal` and `tangential` are the components of the direction of the lines there.
    """
    import cv2

    safe = np.where(np.abs(normal) < SLOPE_COSINE[0], SLOPE_COSINE[0] * np.where(normal < 0, -1, 1), normal)
    slopes = (tangential / safe).clip(-MAX_SLOPE, MAX_SLOPE)
    weights = linear_step(coherence, *SLOPE_COHERENCE) * linear_step(np.abs(normal), *SLOPE_COSINE) * contrast

    def averaged(values: np.ndarray) -> np.ndarray:
        sigma = SLOPE_WINDOW * longer_side
        return cv2.GaussianBlur(values.astype(np.float32)[:, None], (1, 0), sigmaX=0.01, sigmaY=sigma)[:, 0]

    return averaged(weights * slopes) / (averaged(weights) + MIN_CONTRAST * contrast.mean() + 1e-6)


def origin_slopes(
    slopes: Float32[np.ndarray, "E"], position: Float32[np.ndarray, "h w"], distance: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w"]:
    """Return the slope at the edge pixel that each pixel is the continuation of.

    `position` is along the edge, `distance` that from it, negative beyond the far edge.
    """
    origin = position
    # A fixed point, which few steps come close to.
    for _ in range(4):
        origin = position + distance * np.interp(origin, np.arange(len(slopes)), slopes).astype(np.float32)
    return np.interp(origin, np.arange(len(slopes)), slopes).astype(np.float32)


def reflected(position: Float32[np.ndarray, "h w"], extent: int) -> Float32[np.ndarray, "h w"]:
    """Return positions of pixels, reflected at the edges, at -0.5 and `extent` - 0.5, until they are inside."""
    inside = np.mod(position + 0.5, 2 * extent)
    return (np.minimum(inside, 2 * extent - inside) - 0.5).astype(np.float32)
