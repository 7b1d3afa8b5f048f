"""Cut out the one free-standing object of a picture, or what stands out in a scene."""

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.errors import ImageError
from img2world.core.image import Image
from img2world.depth.guided_filter import guided_by_color
from img2world.layered.saliency import CutoutModel, find_saliency

CUTOUT_SIZE = 512
"""Longer side at which an object is segmented; finer detail does not change the result."""

MIN_THING, MAX_THING = 0.004, 0.7
"""Fractions of the picture: smaller things are left in the scene, and what is larger leaves no scene behind it."""

MAX_UNSURE = 0.45
"""Maximum area in which the network is unsure of a thing, relative to the area in which it is sure."""

MAX_THINGS = 4

SURE, MIN_SURE_FRACTION = 0.9, 0.3
"""Saliency above which the network is sure; the fraction of a part with the color of a plain background that it has to
be sure of."""

MIN_PART_CELLS = 4.0
"""Least width of such a part in pixels of the network."""

FAINT_STEP, MAX_FAINT = 0.06, 0.4
"""Difference in color, 0 to 1, across an outline that is hardly seen, and the fraction of the outline where it may be
so small: the edge of a thing is an edge in the picture, the end of what a network attends to, as in fur, is not."""

STEP_PIXELS = 4
"""Pixels on both sides of the outline, at CUTOUT_SIZE, between which that difference is measured."""

OUTLINE_CELLS = 2.0
"""Width of the band in which an outline is refined, in pixels of the network."""


def find_object(image: Image, model: CutoutModel) -> tuple[UInt8[np.ndarray, "H W"] | None, str]:
    """Cut out the one free-standing object, by the picture's own alpha or in front of a plain background.

    `model` names the cut-out network, which finds parts that have the color of the background. Returns the alpha of the
    object (255 inside; None when the picture shows a scene) and the reason in one phrase. Raises ImageError when the
    picture is transparent everywhere, and what `find_saliency` raises.
    """
    if image.alpha is not None:
        opaque = float((image.alpha > 127).mean())
        if opaque < 0.002:
            raise ImageError(
                f"the picture is transparent: {opaque:.1%} of it is opaque, needs something to see",
                hint="export it with its subject opaque",
            )
        if opaque < 0.98:
            return image.alpha, "the picture's alpha cuts out an object"
    alpha = cut_from_plain_background(image.rgb, model)
    if alpha is None:
        return None, "the background is not plain"
    return np.round(255 * alpha).astype(np.uint8), "an object in front of a plain background"


def find_foreground(image: Image, model: CutoutModel) -> list[UInt8[np.ndarray, "H W"]]:
    """Return the alphas of the things that stand out in a scene, the largest first, at the picture's own resolution.

    `model` names the cut-out network. What it is unsure of is left in the scene. Raises what `find_saliency` raises.
    """
    import cv2

    height, width = image.rgb.shape[:2]
    saliency = find_saliency(image.rgb, model)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((saliency > 0.5).astype(np.uint8), connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    things = []
    for label in 1 + np.argsort(-areas, kind="stable")[:MAX_THINGS]:
        mask = labels == label
        near = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        unsure = near & (saliency > 0.2) & (saliency < 0.8)
        if MIN_THING < mask.mean() < MAX_THING and unsure.sum() < MAX_UNSURE * (mask & ~unsure).sum():
            own = np.where(near & ~((labels > 0) & ~mask), saliency, 0)
            coarse = cv2.resize(own, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
            things.append(refine_outline(coarse, image.rgb, band=OUTLINE_CELLS * max(height, width) / len(saliency)))
    return things


def has_clear_outline(alpha: UInt8[np.ndarray, "H W"], rgb: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Return whether the outline of a cut-out is an edge of the picture, so that it may move by itself."""
    import cv2

    scale = CUTOUT_SIZE / max(alpha.shape)
    size = (max(round(alpha.shape[1] * scale), 8), max(round(alpha.shape[0] * scale), 8))
    small, cover = (cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (rgb, alpha))
    color = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 2.0)
    solid = (cover > 127).astype(np.uint8)
    inward = cv2.GaussianBlur(
        cv2.distanceTransform(solid, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5), (0, 0), 2.0
    )
    normal = np.stack([cv2.Sobel(inward, cv2.CV_32F, 0, 1), cv2.Sobel(inward, cv2.CV_32F, 1, 0)], -1)
    # At the edge of the picture there is nothing to compare with.
    margin = 2 * STEP_PIXELS
    at_outline = cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    points = np.argwhere(at_outline[margin:-margin, margin:-margin]) + margin
    if not len(points):
        return True
    away = normal[tuple(points.T)]
    away = STEP_PIXELS * away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    inside, outside = (color[tuple(np.rint(points + sign * away).astype(int).T)] for sign in (1, -1))
    return float((np.abs(inside - outside).max(1) < FAINT_STEP).mean()) <= MAX_FAINT


def refine_outline(
    alpha: Float32[np.ndarray, "H W"], rgb: UInt8[np.ndarray, "H W 3"], *, band: float
) -> UInt8[np.ndarray, "H W"]:
    """Snap a soft outline to the edges of the picture, which lie within `band` pixels of it."""
    rows, columns = (np.flatnonzero((alpha > 0.01).any(axis)) for axis in (1, 0))
    margin = 2 * round(band) + 1
    part = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
    refined = guided_by_color(alpha[part], rgb[part], radius=max(2, round(band)), eps=1e-4)
    result = np.zeros(alpha.shape, np.uint8)
    # Steeper than the filter leaves it: a veil of background around a thing shows as soon as it moves.
    result[part] = np.round(255 * (1.6 * (refined - 0.5) + 0.5).clip(0, 1))
    return result


def cut_from_plain_background(rgb: UInt8[np.ndarray, "H W 3"], model: CutoutModel) -> Float32[np.ndarray, "H W"] | None:
    """Return the alpha of what differs from a smooth background, or None when the border is not smooth.

    A quadratic in x and y is fitted to the border's Lab colors, which allows for studio gradients and vignettes.
    GrabCut (Rother et al. 2004) decides uncertain pixels, and the cut-out network adds what has the background's color.
    """
    import cv2

    height, width = rgb.shape[:2]
    scale = min(1.0, CUTOUT_SIZE / max(height, width))
    small = cv2.resize(rgb, (max(round(width * scale), 8), max(round(height * scale), 8)), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    backdrop = fit_backdrop(lab)
    if backdrop is None:
        return None
    lightness = lab[..., 0] - backdrop[..., 0]
    chroma = np.linalg.norm(lab[..., 1:] - backdrop[..., 1:], axis=-1)
    difference = np.hypot(lightness, chroma)
    # A soft shadow is darker than the backdrop, has the same hue, and starts without an edge.
    shadow = (lightness < 0) & (lightness > -30) & (chroma < 6) & flood_smooth(lab[..., 0], difference < 6)
    sure = (difference > 18) & ~shadow
    mask = refine_with_grabcut(small, sure=sure, possible=(difference > 6) & ~shadow)
    mask = keep_single_object(mask, difference)
    if mask is None:
        return None
    if model != "none":
        mask = add_salient_parts(mask, find_saliency(rgb, model))
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def add_salient_parts(mask: Bool[np.ndarray, "H W"], saliency: Float32[np.ndarray, "s s"]) -> Bool[np.ndarray, "H W"]:
    """Add the parts of an object that a cut-out by color misses, where a network is sure that they stand out.

    Strips as narrow as the network's pixels stay open: there it blurs across outlines and the gaps between slats.
    """
    import cv2

    height, width = mask.shape
    salient = cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR)
    side = 2 * round(MIN_PART_CELLS * max(height, width) / len(saliency) / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    missing = ~mask & (salient > 0.5)
    count, labels = cv2.connectedComponents(cv2.morphologyEx(missing.astype(np.uint8), cv2.MORPH_OPEN, kernel))
    areas = np.bincount(labels.ravel(), minlength=count)
    sure = np.bincount(labels.ravel(), salient.ravel() > SURE, minlength=count) > MIN_SURE_FRACTION * areas
    parts = ((labels > 0) & np.isin(labels, np.flatnonzero(sure))).astype(np.uint8)
    joined = mask | ((cv2.dilate(parts, kernel) > 0) & missing)
    _, labels = cv2.connectedComponents(joined.astype(np.uint8), connectivity=8)
    return joined & np.isin(labels, np.unique(labels[mask]))


def flood_smooth(lightness: Float32[np.ndarray, "H W"], start: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the pixels connected to the border's `start` pixels without a step in lightness."""
    import cv2

    tones = np.round(2 * lightness).clip(0, 255).astype(np.uint8)
    height, width = tones.shape
    reached = np.zeros((height + 2, width + 2), np.uint8)
    rim = [(x, y) for y in (0, height - 1) for x in range(0, width, 8)]
    rim += [(x, y) for x in (0, width - 1) for y in range(0, height, 8)]
    for x, y in rim:
        if start[y, x] and not reached[y + 1, x + 1]:
            cv2.floodFill(tones, reached, (x, y), 0, 2, 2, 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY)
    return reached[1:-1, 1:-1] > 0


def fit_backdrop(lab: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W 3"] | None:
    """Fit the smooth background that explains nearly all of the border; None when there is none."""
    height, width = lab.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)  # [H, W, 6]
    band = max(2, round(0.025 * min(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    rows, colors = terms[border], lab[border].astype(np.float64)
    kept = np.ones(len(rows), bool)
    fit = np.zeros((6, 3))
    for _ in range(5):  # Outliers are where the object covers the border.
        fit = np.linalg.lstsq(rows[kept], colors[kept], rcond=None)[0]
        errors = np.sqrt(((colors - rows @ fit) ** 2).sum(1))
        kept = errors < max(6.0, 2.5 * float(np.median(errors)))
    if np.count_nonzero(errors < 6.0) < 0.82 * len(errors):
        return None
    return (terms @ fit).astype(np.float32)


def refine_with_grabcut(
    rgb: UInt8[np.ndarray, "H W 3"], *, sure: Bool[np.ndarray, "H W"], possible: Bool[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"]:
    """Return the foreground: all that is `sure`, and the `possible` pixels that look like it."""
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    labels = np.full(sure.shape, cv2.GC_BGD, np.uint8)
    labels[cv2.dilate(possible.astype(np.uint8), kernel) > 0] = cv2.GC_PR_BGD
    labels[sure | possible] = cv2.GC_PR_FGD
    labels[cv2.erode(sure.astype(np.uint8), kernel) > 0] = cv2.GC_FGD
    if (labels == cv2.GC_FGD).sum() < 20 or (labels == cv2.GC_BGD).sum() < 20:
        return sure
    cv2.setRNGSeed(0)  # GrabCut initializes its color models at random.
    cv2.grabCut(rgb, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def keep_single_object(
    mask: Bool[np.ndarray, "H W"], difference: Float32[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"] | None:
    """Return the mask without specks and false holes, or None when it is not a single free-standing object."""
    import cv2

    # Stripes in the color of the backdrop may cut an object into pieces that are close together.
    close = max(3, round(0.03 * max(mask.shape)))
    joined = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((close, close), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    # A drawing or a starry sky also differs from its background, but in many pieces.
    if not len(areas) or areas.max() < 0.5 * areas.sum() or areas.max() < 0.01 * mask.size:
        return None
    # Ink lines vanish under erosion; a body does not.
    if cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).sum() < 0.1 * mask.sum():
        return None
    mask = (mask | ((joined > 0) & (difference > 7))) & np.isin(labels, 1 + np.flatnonzero(areas >= 0.03 * areas.max()))
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    for label in range(1, count):
        hole = labels == label
        open_to_border = hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()
        # A true hole, as in a handle, shows the background; a false one shows the object.
        if not open_to_border and (float(difference[hole].mean()) > 4 or hole.sum() < 0.0005 * mask.size):
            mask |= hole
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return mask if mask.mean() < 0.85 and rim.mean() < 0.25 else None
