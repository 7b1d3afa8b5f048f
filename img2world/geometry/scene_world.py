"""A scene as layers: sky, ground with backdrop, subject; each continued behind the one before it."""

import numpy as np
from jaxtyping import Float32

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.geometry.fill import fill_mirrored, fill_smooth
from img2world.geometry.layers import CONTINUED, SEEN, Layer, LayeredWorld, layer_from_depth
from img2world.geometry.layout import Layout, layout_of
from img2world.geometry.learned_layout import with_learned_depth
from img2world.geometry.outpaint import outpainted

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
    layout, color, beside = layout_of(rgb), rgb.astype(np.float32) / 255, None
    if learned:
        layout, beside = with_learned_depth(layout, rgb), outpainted(color, margin_of(color))
    return LayeredWorld(layers=parts_of_layout(camera, color, layout, beside), is_object=False)


def margin_of(color: Float32[np.ndarray, "H W 3"]) -> int:
    """Pixels by which a picture is continued on each side."""
    return round(MARGIN * max(color.shape[:2]))


def parts_of_layout(
    camera: Cameras,
    color: Float32[np.ndarray, "H W 3"],
    layout: Layout,
    beside: Float32[np.ndarray, "h w 3"] | None,
) -> tuple[Layer, ...]:
    """A layer for each part of a layout, the last before the others; `beside` as in `continued`."""
    nothing = np.zeros(color.shape[:2], np.float32)
    sky = nothing if layout.sky is None else layout.sky
    subject = nothing if layout.subject is None else layout.subject
    layers = []
    if layout.sky is not None:
        depth, shown = layout.sky_inverse_depth, sky - subject
        layers.append(continued(camera, color, depth, shown=shown, reach=nothing + 1, beside=beside))
    shown = 1 - np.maximum(sky, subject)
    layers.append(continued(camera, color, layout.ground, shown=shown, reach=1 - sky, beside=beside))
    if layout.subject is not None:
        depth = layout.subject_inverse_depth
        layers.append(continued(camera, color, depth, shown=subject, reach=subject, beside=beside))
    return tuple(layers)


def continued(
    camera: Cameras,
    color: Float32[np.ndarray, "H W 3"],
    inverse_depth: Float32[np.ndarray, "H W"],
    *,
    shown: Float32[np.ndarray, "H W"],
    reach: Float32[np.ndarray, "H W"],
    beside: Float32[np.ndarray, "h w 3"] | None,
) -> Layer:
    """One part of the scene: taken from the picture where it is `shown`, continued as far as its `reach`.

    Beyond the picture it has the colours that are `beside` it, where the picture shows it at its border.
    """
    import cv2

    margin = margin_of(color)
    # Pixels at an outline are mixed with what is beside it; those a little inside are pure.
    pure = cv2.erode((shown > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    known = np.pad(pure if pure.any() else shown > 0.5, margin)
    wide = np.pad(color, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    depth = 1 / np.pad(inverse_depth, margin, mode="edge")
    smooth = fill_smooth(wide, known)
    if beside is not None:
        outside = np.pad(np.zeros_like(shown), margin, constant_values=1)
        share = (outside * np.pad(shown, margin, mode="edge").clip(0, 1))[..., None]
        smooth = smooth + share * (beside - smooth)
    return layer_from_depth(
        camera,
        depth,
        texture=fill_mirrored(wide, known, reach=1.5 * margin, smooth=smooth),
        seen=np.where(np.pad(shown > 0.5, margin), SEEN, CONTINUED).astype(np.uint8),
        alpha=np.pad(reach, margin, mode="edge"),
        tilt=TILT,
    )
