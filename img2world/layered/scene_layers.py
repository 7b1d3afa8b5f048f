"""A scene as layers: sky, ground with backdrop, subject; each continued behind the one before it."""

import numpy as np
from jaxtyping import Bool, Float32

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.layered.inpaint import fill_smooth, with_grain
from img2world.layered.layers import CONTINUED, SEEN, Layer, LayeredWorld, layer_from_depth
from img2world.layered.layout import WORK_SIZE, Layout, layout_of
from img2world.layered.learned_layout import with_learned_depth
from img2world.layered.outpaint import outpainted

SCENE_FOV = np.radians(55.0)
"""Along the longer side when the picture does not tell: between a phone's main camera and a 35 mm lens."""

MARGIN = 0.2
"""How far the world is continued beyond the picture on each side, relative to its longer side."""


TILT = 0.25
"""Paths before a scene turn far less up and down than to the sides, so ground that rises steeply may stay sharp."""


def scene_camera(image: Image, size: int) -> Cameras:
    """The input camera of a scene: `size` pixels along the longer side, 1 unit before the origin."""
    scale = size / max(image.width, image.height)
    width, height = (max(16, 2 * round(side * scale / 2)) for side in (image.width, image.height))
    focal = 0.5 * size / np.tan(SCENE_FOV / 2) if image.focal is None else image.focal * scale
    world_from_cam = np.eye(4, dtype=np.float32)
    world_from_cam[2, 3] = -INPUT_DISTANCE
    intrinsics = intrinsics_from_fov(2 * np.arctan(0.5 * width / focal), width, height)
    return Cameras(world_from_cam=world_from_cam[None], intrinsics=intrinsics[None], width=width, height=height)


def scene_world(image: Image, size: int, *, learned: bool = True) -> LayeredWorld:
    """The layers of a scene, seen by `scene_camera(image, size)`.

    Its depths are those the embedded network guesses, or the layout's own when they are not `learned`.
    """
    import cv2

    camera = scene_camera(image, size)
    rgb = cv2.resize(image.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    layout, color = layout_of(rgb), rgb.astype(np.float32) / 255
    if learned:
        layout = with_learned_depth(layout, rgb)
    return LayeredWorld(layers=parts_of_layout(camera, color, layout, learned=learned), is_object=False)


def parts_of_layout(
    camera: Cameras, color: Float32[np.ndarray, "H W 3"], layout: Layout, *, learned: bool
) -> tuple[Layer, ...]:
    """A layer for each part of a layout, the last before the others, drawn where `learned` as `continued` says."""
    nothing = np.zeros(color.shape[:2], np.float32)
    sky = nothing if layout.sky is None else layout.sky
    subject = nothing if layout.subject is None else layout.subject
    parts = [(layout.ground, 1 - np.maximum(sky, subject), 1 - sky, 1 - subject)]
    if layout.sky is not None:
        parts.insert(0, (layout.sky_inverse_depth, sky - subject, nothing + 1, sky - subject))
    if layout.subject is not None:
        parts.append((layout.subject_inverse_depth, subject, subject, nothing + 1))
    return tuple(
        continued(camera, color, depth, shown=shown, reach=reach, given=given if learned else None)
        for depth, shown, reach, given in parts
    )


def continued(
    camera: Cameras,
    color: Float32[np.ndarray, "H W 3"],
    inverse_depth: Float32[np.ndarray, "H W"],
    *,
    shown: Float32[np.ndarray, "H W"],
    reach: Float32[np.ndarray, "H W"],
    given: Float32[np.ndarray, "H W"] | None,
) -> Layer:
    """One part of the scene: taken from the picture where it is `shown`, continued as far as its `reach`.

    Where nothing of it is shown it has the colours that the embedded network expects of what is `given`: the part
    itself and what is behind it. At its outline, and with nothing given, its own colours go on.
    """
    margin = round(MARGIN * max(color.shape[:2]))
    known = np.pad(pure(shown), margin)
    wide = np.pad(color, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    depth = 1 / np.pad(inverse_depth, margin, mode="edge")
    alpha = np.pad(reach, margin, mode="edge")
    smooth = fill_smooth(wide, known)
    if given is not None:
        unseen = (alpha * (1 - np.pad(given, margin))).clip(0, 1)[..., None]
        smooth += unseen * (outpainted(wide, np.pad(pure(given), margin)) - smooth)
    return layer_from_depth(
        camera,
        depth,
        texture=with_grain(smooth, wide, known, reach=1.5 * margin),
        seen=np.where(np.pad(shown > 0.5, margin), SEEN, CONTINUED).astype(np.uint8),
        alpha=alpha,
        tilt=TILT,
    )


def pure(shown: Float32[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Where a part is shown and not mixed at its outline with what is beside it, if it is so anywhere."""
    import cv2

    # Outlines are as exact as the small picture that they were found in.
    reach = 2 * max(1, round(max(shown.shape) / WORK_SIZE)) + 1
    inner = cv2.erode((shown > 0.5).astype(np.uint8), np.ones((reach, reach), np.uint8), borderValue=1) > 0
    return inner if inner.any() else shown > 0.5
