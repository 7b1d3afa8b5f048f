"""How far things are in a picture of a scene, guessed from where they stand in it.

Ground below the horizon, an upright backdrop above it, the sky far behind, and one subject before it
where one can be told from the rest with some certainty. It never tears what it is not sure of. These
depths are version 0; the embedded network's take their place in the same parts (`learned_layout`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.depth.guided_filter import guided
from img2world.layered.foreground import reached_smoothly

NEAR_DEPTH, FAR_DEPTH, SKY_DEPTH = 0.8, 1.5, 2.2
"""Depths of the lower border, of the backdrop and of the sky, with the turning point of the path at 1."""

WORK_SIZE = 256
"""Long side at which a picture is divided; an outline is then refined on the full picture."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Inverse depth of each part of a scene, and which pixels show it."""

    ground: Float32[np.ndarray, "H W"]
    """Inverse depth of ground and backdrop, known also behind the other parts."""
    sky: Float32[np.ndarray, "H W"] | None
    """Alpha of the sky, or None when there is none to be told."""
    subject: Float32[np.ndarray, "H W"] | None
    """Alpha of the one thing that stands before the rest, or None."""
    subject_inverse_depth: Float32[np.ndarray, "H W"]
    sky_inverse_depth: Float32[np.ndarray, "H W"]
    """Known everywhere: it is behind all other parts."""


def layout_of(rgb: UInt8[np.ndarray, "H W 3"]) -> Layout:
    """Divide a picture into sky, ground with backdrop, and subject."""
    import cv2

    height, width = rgb.shape[:2]
    scale = WORK_SIZE / max(height, width)
    small = cv2.resize(
        rgb, (max(round(width * scale), 16), max(round(height * scale), 16)), interpolation=cv2.INTER_AREA
    )
    sky, subject = sky_mask(small), subject_mask(small)
    if sky is not None and subject is not None:
        sky &= ~subject
    ground = ground_inverse_depth(small, sky)
    standing = standing_inverse_depth(ground, subject)

    def full(mask: Bool[np.ndarray, "h w"] | None) -> Float32[np.ndarray, "H W"] | None:
        return None if mask is None else refined(mask, rgb)

    def enlarged(values: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "H W"]:
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)

    return Layout(
        ground=enlarged(ground),
        sky=full(sky),
        subject=full(subject),
        subject_inverse_depth=enlarged(standing),
        sky_inverse_depth=np.full((height, width), 1 / SKY_DEPTH, np.float32),
    )


def sky_mask(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """The smooth region that hangs from the upper border: sky, or a plain wall, which is as good."""
    import cv2

    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness = cv2.GaussianBlur(lab[..., 0], (0, 0), 1.0)
    top = np.zeros(lightness.shape, bool)
    top[0] = True
    region = reached_smoothly(lightness, top)
    region = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    region = cv2.morphologyEx(region, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)) > 0
    hangs = region[0].mean() > 0.6 and region[-1].mean() < 0.05
    # Ground may be smooth, too, but sky has nothing of it below: each column ends once and for all.
    share = region.mean()
    columns_end = region.argmin(0)[region[0]]
    if not hangs or not 0.08 < share < 0.75 or np.median(columns_end) < 0.08 * len(region):
        return None
    texture = cv2.Laplacian(lab[..., 0], cv2.CV_32F)
    if float(np.abs(texture[region]).mean()) > 0.7 * float(np.abs(texture[~region]).mean()):
        return None
    return region


def subject_mask(rgb: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """The one thing that two differently started GrabCuts agree on, or None when they do not."""
    import cv2

    height, width = rgb.shape[:2]
    masks = []
    for margin in (0.08, 0.16):
        labels = np.full((height, width), cv2.GC_BGD, np.uint8)
        x, y = round(margin * width), round(margin * height)
        labels[y:, x : width - x] = cv2.GC_PR_FGD
        cv2.setRNGSeed(0)  # GrabCut starts its colour models at random
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
    """Whether the outline is compact, lies on edges nearly everywhere and parts two colours."""
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


def ground_inverse_depth(
    rgb: UInt8[np.ndarray, "h w 3"], sky: Bool[np.ndarray, "h w"] | None
) -> Float32[np.ndarray, "h w"]:
    """Ground rising to the horizon and a backdrop above it, with a slight relief that follows the picture."""
    import cv2

    height, width = rgb.shape[:2]
    horizon = 0.4 * height
    if sky is not None:
        horizon = float(np.clip(np.median(sky.sum(0)), 0.15 * height, 0.7 * height))
    below = np.clip((np.arange(height) + 0.5 - horizon) / (height - horizon), 0, 1)
    rows = 1 / FAR_DEPTH + (1 / NEAR_DEPTH - 1 / FAR_DEPTH) * below**0.8
    layout = np.repeat(rows[:, None], width, 1).astype(np.float32)
    # Bright and colourful things tend to be nearer than dull ones; smoothed along the picture's edges.
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    pop = 0.5 * hsv[..., 1] + 0.5 * hsv[..., 2]
    pop = guided(
        pop, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255, radius=round(height / 16), eps=0.02
    )
    pop = cv2.GaussianBlur(pop, (0, 0), height / 40)
    return (layout * (1 + 0.25 * (pop - pop.mean()))).astype(np.float32)


def standing_inverse_depth(
    ground: Float32[np.ndarray, "h w"], subject: Bool[np.ndarray, "h w"] | None
) -> Float32[np.ndarray, "h w"]:
    """Upright where the subject meets the ground, and a little rounded."""
    import cv2

    if subject is None:
        return ground
    rows = np.flatnonzero(subject.any(1))
    foot = float(np.median(ground[rows[-1]][subject[rows[-1]]]))
    inside = cv2.distanceTransform(np.pad(subject.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    round_off = cv2.GaussianBlur(np.sqrt(inside / max(float(inside.max()), 1.0)), (0, 0), 2.0)
    return (0.95 * foot * (1 + 0.12 * round_off)).astype(np.float32)


def refined(mask: Bool[np.ndarray, "h w"], rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """A small mask as soft alpha of the full picture, its outline drawn to the picture's edges."""
    import cv2

    height, width = rgb.shape[:2]
    alpha = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    alpha = guided(alpha, gray, radius=max(2, round(max(height, width) / WORK_SIZE * 2)), eps=1e-3)
    return cv2.GaussianBlur(np.clip(1.6 * (alpha - 0.5) + 0.5, 0, 1), (0, 0), 0.7)
