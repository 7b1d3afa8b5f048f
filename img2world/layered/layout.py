"""Divide a scene into sky, one subject in front of the rest, and everything else, each with its depth.

The outlines of the parts come from the picture and are sharper than the predicted depth. Inside of a part, depth is one
continuous surface: a wrong cut shows more than a stretched depth edge. What is neither sky nor subject is folded to
ground, ceiling and uprights, see `popup`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.subject import SceneGeometry
from img2world.depth.guided_filter import guided, upsampled
from img2world.layered.foreground import flood_smooth
from img2world.layered.inpaint import extend_nearest
from img2world.layered.popup import straighten
from img2world.layered.sky import keep_likely

SEGMENTATION_SIZE = 256
"""Longer side, in pixels, at which a picture is segmented; outlines are then refined at full size."""

MIN_DEPTH, MAX_DEPTH = 0.5, 4.0
"""Bounds of depths; the median of a picture's depths is 1."""

SEPARATION = 1.03
"""A part is at least this many times nearer than what is behind it."""

SOFT_BOUND = 0.6
"""Log depths within this fraction of a bound are kept; beyond it they approach the bound without a crease."""

SMOOTHNESS = 0.02
"""Standard deviation of the smoothing of a ground that is not straight, relative to the longer side."""

SKY_BAND = 0.03
"""Width of the band at the outline of a predicted sky in which colors decide, relative to the longer side."""

MAX_HOLE = 0.02
"""Maximum fraction of the picture that a hole in the sky covers, which becomes sky."""

MIN_SKY = 0.06
"""Minimum fraction of the picture that a sky covers; a smaller one is not cut out."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The parts of a scene. Inverse depths are known everywhere, also where other parts hide them."""

    ground_inverse_depth: Float32[np.ndarray, "H W"]
    """Inverse depth of everything that is neither sky nor subject."""
    sky: Float32[np.ndarray, "H W"] | None
    """Alpha of the sky; None where there is none."""
    sky_inverse_depth: Float32[np.ndarray, "H W"]
    """Inverse depth of the sky, behind all other parts."""
    subject: Float32[np.ndarray, "H W"] | None
    """Alpha of the one object in front of the rest; None where there is none."""
    subject_inverse_depth: Float32[np.ndarray, "H W"]


def find_layout(
    rgb: UInt8[np.ndarray, "H W 3"],
    geometry: SceneGeometry,
    foreground: Float32[np.ndarray, "H W"] | None = None,
    *,
    is_close_up: bool = False,
) -> Layout:
    """Divide a picture into sky, subject and the rest, at the depths of its predicted geometry.

    The alpha of a foreground that is already cut out takes the place of the subject. A close-up has no ground and no
    uprights: its depth stays smooth.
    """
    sky, subject = segment(rgb, foreground)
    return place_parts(rgb, geometry, sky, subject, is_smooth=is_close_up)


def segment(
    rgb: UInt8[np.ndarray, "H W 3"], foreground: Float32[np.ndarray, "H W"] | None = None
) -> tuple[Float32[np.ndarray, "H W"] | None, Float32[np.ndarray, "H W"] | None]:
    """Return the alphas of sky and subject by the picture's colors, or of the given foreground; None where none is."""
    import cv2

    height, width = rgb.shape[:2]
    scale = SEGMENTATION_SIZE / max(height, width)
    size = (max(round(width * scale), 16), max(round(height * scale), 16))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    sky = sky_mask(small)
    subject = subject_mask(small) if foreground is None else cv2.resize(foreground, size) > 0.5
    if sky is not None and subject is not None:
        sky &= ~subject
    alpha = None if sky is None else refine_mask(sky, rgb)
    if foreground is not None:
        return alpha, foreground
    return alpha, None if subject is None else refine_mask(subject, rgb)


def place_parts(
    rgb: UInt8[np.ndarray, "H W 3"],
    geometry: SceneGeometry,
    sky: Float32[np.ndarray, "H W"] | None,
    subject: Float32[np.ndarray, "H W"] | None,
    *,
    is_smooth: bool = False,
) -> Layout:
    """Assign depths to segmented parts. The network decides where sky is, and colors where it ends.

    `is_smooth` keeps the predicted depth, which is not folded to ground and uprights.
    """
    import cv2

    assert geometry.sky is not None
    probability = predicted_sky = upsampled(geometry.sky, rgb).clip(0, 1)
    if sky is not None:
        # A smooth wall looks like sky, too: colors count only near what the network takes for sky.
        reach = 2 * round(SKY_BAND * max(sky.shape)) + 1
        near = cv2.dilate(predicted_sky, np.ones((reach, reach), np.uint8))
        predicted_sky = np.maximum(predicted_sky, np.minimum(sky, near))
    if subject is not None and (outside := ~widen(subject > 0.2)).any():
        # Sky goes on behind the subject; a rim of it that stayed with the ground would stand out when the camera moves.
        predicted_sky, probability = (extend_nearest(values, outside) for values in (predicted_sky, probability))
    sky = sky_from_prediction(predicted_sky, rgb)
    if sky is not None:
        sky = keep_likely(sky, probability, rgb)
        sky = sky if (sky > 0.5).mean() > MIN_SKY else None
    far = np.float32(1 / MAX_DEPTH)
    inverse_depth = upsampled(bounded(geometry.inverse_depth), rgb).clip(far, 1 / MIN_DEPTH)
    if sky is not None:
        # The network was not trained on the depth of the sky. Where no sky is cut out, a petal or a wall that it takes
        # for sky with little certainty would be torn from its surroundings.
        inverse_depth = inverse_depth * (1 - predicted_sky) + far * predicted_sky
    nothing = np.zeros(inverse_depth.shape, np.float32)
    behind = nothing if sky is None else sky
    in_front = nothing if subject is None else subject
    ground_shown = ~widen((behind > 0.2) | (in_front > 0.2))
    ground = None if is_smooth else straighten(geometry.inverse_depth, ground_shown, has_ceiling=sky is None)
    ground = smoothed(extrapolate(inverse_depth, ground_shown)) if ground is None else compressed(ground)
    backdrop = extrapolate(inverse_depth, ~widen(behind < 0.8))
    backdrop = np.minimum(backdrop, ground / np.float32(SEPARATION))
    standing = inverse_depth
    if subject is not None:
        inner = ~widen(in_front < 0.8)
        if inner.any():
            standing = extend_nearest(inverse_depth, inner)
        standing = np.maximum(standing, np.float32(SEPARATION) * ground)
    return Layout(
        ground_inverse_depth=ground,
        sky=sky,
        sky_inverse_depth=backdrop,
        subject=subject,
        subject_inverse_depth=standing,
    )


def bounded(inverse_depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return inverse depths between the bounds, without the creases that clipping makes."""
    log_depth = -np.log(inverse_depth)
    bound = np.where(log_depth < 0, -np.log(MIN_DEPTH), np.log(MAX_DEPTH))
    rest = (1 - SOFT_BOUND) * bound
    beyond = np.maximum(np.abs(log_depth) - SOFT_BOUND * bound, 0)
    size = np.minimum(np.abs(log_depth), SOFT_BOUND * bound) + rest * -np.expm1(-beyond / rest)
    return np.exp(-np.sign(log_depth) * size).astype(np.float32)


def compressed(inverse_depth: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return inverse depths between the bounds such that planes stay planes.

    A linear function of the inverse depth is a projective map of space, which keeps straight lines.
    """
    nearest = max(float(inverse_depth.max()), 1 / MIN_DEPTH)
    return (1 + (inverse_depth - 1) * ((1 / MIN_DEPTH - 1) / (nearest - 1))).clip(1 / MAX_DEPTH).astype(np.float32)


def smoothed(inverse_depth: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return inverse depths smoothed by SMOOTHNESS."""
    import cv2

    blur = SMOOTHNESS * max(inverse_depth.shape)
    return np.exp(cv2.GaussianBlur(np.log(inverse_depth), (0, 0), blur, borderType=cv2.BORDER_REFLECT))


def sky_from_prediction(
    predicted_sky: Float32[np.ndarray, "H W"], rgb: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"] | None:
    """Return the alpha of the sky that the network predicts, or None when it covers little.

    In a band at its outline, which is predicted coarsely, GrabCut decides by colors.
    """
    import cv2

    scale = SEGMENTATION_SIZE / max(rgb.shape)
    small = cv2.resize(predicted_sky, None, fx=scale, fy=scale)
    mask = cv2.morphologyEx((small > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    if mask.mean() <= MIN_SKY:
        return None
    mask = filled(mask)
    band = np.ones((2 * round(SKY_BAND * SEGMENTATION_SIZE) + 1,) * 2, np.uint8)
    labels = np.where(mask > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.erode(mask, band) > 0] = cv2.GC_FGD
    labels[cv2.dilate(mask, band) == 0] = cv2.GC_BGD
    if np.isin((cv2.GC_FGD, cv2.GC_BGD), labels).all():
        colors = cv2.resize(rgb, mask.shape[::-1], interpolation=cv2.INTER_AREA)
        cv2.setRNGSeed(0)  # GrabCut initializes its color models at random.
        cv2.grabCut(colors, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
        mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return refine_mask(filled(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))) > 0, rgb)


def filled(mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return a mask of sky with its small holes filled: clouds and birds are sky, too."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    x, y, width, height, area = stats.T
    inside = (x > 0) & (y > 0) & (x + width < mask.shape[1]) & (y + height < mask.shape[0])
    holes = inside & (area < MAX_HOLE * mask.size) & (np.arange(count) > 0)
    return mask | holes[labels].astype(np.uint8)


def widen(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Dilate a mask by the width of the band at its outline in which predicted depths are blended."""
    import cv2

    reach = 2 * round(max(mask.shape) / 128) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0


def extrapolate(
    inverse_depth: Float32[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W"]:
    """Keep known inverse depths and replace others by those of the nearest known pixels, smoothed."""
    import cv2

    if known.all() or not known.any():
        return inverse_depth
    filled = cv2.GaussianBlur(extend_nearest(inverse_depth, known), (0, 0), max(known.shape) / 40)
    return np.where(known, inverse_depth, filled).astype(np.float32)


def sky_mask(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """Return the smooth region that touches the upper border: sky, or a plain wall."""
    import cv2

    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness = cv2.GaussianBlur(lab[..., 0], (0, 0), 1.0)
    top = np.zeros(lightness.shape, bool)
    top[0] = True
    region = flood_smooth(lightness, top)
    region = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    region = cv2.morphologyEx(region, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)) > 0
    touches_top_only = region[0].mean() > 0.6 and region[-1].mean() < 0.05
    # Ground may be smooth, too, but sky does not start again farther down: each column ends once.
    fraction = region.mean()
    columns_end = region.argmin(0)[region[0]]
    if not touches_top_only or not 0.08 < fraction < 0.75 or np.median(columns_end) < 0.08 * len(region):
        return None
    texture = cv2.Laplacian(lab[..., 0], cv2.CV_32F)
    if float(np.abs(texture[region]).mean()) > 0.7 * float(np.abs(texture[~region]).mean()):
        return None
    return region


def subject_mask(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """Segment the subject by two differently initialized GrabCuts; None when they disagree or it does not stand out."""
    import cv2

    height, width = rgb.shape[:2]
    masks = []
    for margin in (0.08, 0.16):
        labels = np.full((height, width), cv2.GC_BGD, np.uint8)
        x, y = round(margin * width), round(margin * height)
        labels[y:, x : width - x] = cv2.GC_PR_FGD
        cv2.setRNGSeed(0)  # GrabCut initializes its color models at random.
        cv2.grabCut(rgb, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
        mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
        masks.append(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0)
    narrow, wide = masks[1], masks[0]
    union = float((narrow | wide).sum())
    if union == 0 or float((narrow & wide).sum()) < 0.85 * union:
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wide.astype(np.uint8), connectivity=4)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    if not 0.06 * wide.size < areas.max() < 0.55 * wide.size or areas.max() < 0.85 * areas.sum():
        return None
    mask = labels == 1 + int(areas.argmax())
    return mask if stands_out(rgb, mask) else None


def stands_out(rgb: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> bool:
    """Return True if the outline is compact, lies on edges nearly everywhere and separates two colors."""
    import cv2

    kernel = np.ones((9, 9), np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0]
    solid = mask.sum() / max(cv2.contourArea(cv2.convexHull(outline)), 1.0)
    free = (outline > 1).all(1) & (outline[:, 0] < mask.shape[1] - 2) & (outline[:, 1] < mask.shape[0] - 2)
    if solid < 0.6 or free.mean() < 0.5:
        return False
    edges = cv2.dilate(cv2.Canny(rgb, 60, 160), np.ones((5, 5), np.uint8)) > 0
    outside = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    inside = mask & (cv2.erode(mask.astype(np.uint8), kernel) == 0)
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    contrast = np.linalg.norm(lab[outside].mean(0) - lab[inside].mean(0))
    return bool(edges[outline[free, 1], outline[free, 0]].mean() > 0.95 and contrast > 15)


def refine_mask(mask: Bool[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """Upsample a mask to a soft alpha at full size, with its outline snapped to the picture's edges."""
    import cv2

    height, width = rgb.shape[:2]
    alpha = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    alpha = guided(alpha, gray, radius=max(2, round(max(height, width) / SEGMENTATION_SIZE * 2)), eps=1e-3)
    return cv2.GaussianBlur(np.clip(1.6 * (alpha - 0.5) + 0.5, 0, 1), (0, 0), 0.7)
