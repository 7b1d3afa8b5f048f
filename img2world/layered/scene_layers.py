"""A scene as layers, each extended behind those in front of it."""

import numpy as np
from jaxtyping import Bool, Float32

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import SceneGeometry, Subject
from img2world.layered.depth_slices import Part, slice_depth
from img2world.layered.inpaint import add_grain, fill_smooth
from img2world.layered.layers import CONTINUED, SEEN, Layer, layer_from_depth
from img2world.layered.layout import SEGMENTATION_SIZE, Layout, find_layout
from img2world.layered.outpaint import outpaint

SCENE_FOV = np.radians(55.0)
"""Field of view along the longer side when EXIF gives none: between a phone's main camera and a 35 mm lens."""

MARGIN = 0.2
"""Width by which layers extend beyond the picture on each side, relative to its longer side."""

TILT = 0.25
"""Vertical relative to horizontal motion of paths through a scene: little, so that rising ground may stay sharp."""


def scene_camera(image: Image, size: int) -> Cameras:
    """Return the input camera of a scene: `size` pixels along the longer side, 1 unit in front of the origin."""
    scale = size / max(image.width, image.height)
    width, height = (max(16, 2 * round(side * scale / 2)) for side in (image.width, image.height))
    focal = 0.5 * size / np.tan(SCENE_FOV / 2) if image.focal is None else image.focal * scale
    world_from_cam = np.eye(4, dtype=np.float32)
    world_from_cam[2, 3] = -INPUT_DISTANCE
    intrinsics = intrinsics_from_fov(2 * np.arctan(0.5 * width / focal), width, height)
    return Cameras(world_from_cam=world_from_cam[None], intrinsics=intrinsics[None], width=width, height=height)


def scene_layers(subject: Subject, size: int, *, textured: bool = True) -> tuple[Layer, ...]:
    """Build the layers of a scene from back to front, as seen by `scene_camera(subject.image, size)`.

    Without `textured` what the photo does not show has the smooth colors beside it, which is enough where only shapes
    count.
    """
    import cv2

    camera = scene_camera(subject.image, size)
    rgb = cv2.resize(subject.image.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    color, geometry = rgb.astype(np.float32) / 255, subject.geometry
    assert isinstance(geometry, SceneGeometry)
    if geometry.sky is None:
        parts = slice_depth(cv2.resize(geometry.inverse_depth, (camera.width, camera.height)))
    else:
        parts = parts_of_layout(find_layout(rgb, geometry))
    return tuple(extend_part(camera, color, part, textured=textured) for part in parts)


def parts_of_layout(layout: Layout) -> list[Part]:
    """Return sky, ground and subject from back to front, without those that the scene does not have."""
    nothing = np.zeros(layout.ground_inverse_depth.shape, np.float32)
    sky = nothing if layout.sky is None else layout.sky
    subject = nothing if layout.subject is None else layout.subject
    parts = [
        Part(
            inverse_depth=layout.ground_inverse_depth,
            shown=1 - np.maximum(sky, subject),
            extent=1 - sky,
            given=1 - subject,
        )
    ]
    if layout.sky is not None:
        seen = sky - subject
        parts.insert(0, Part(inverse_depth=layout.sky_inverse_depth, shown=seen, extent=nothing + 1, given=seen))
    if layout.subject is not None:
        parts.append(Part(inverse_depth=layout.subject_inverse_depth, shown=subject, extent=subject, given=nothing + 1))
    return parts


def extend_part(camera: Cameras, color: Float32[np.ndarray, "H W 3"], part: Part, *, textured: bool) -> Layer:
    """Make a layer of a part: the picture where it is shown, extended as far as its extent.

    Where nothing of it is shown it has the colors that the embedded network expects next to what is `given`. At its
    outline, and where not `textured`, its own colors continue.
    """
    margin = round(MARGIN * max(color.shape[:2]))
    known = np.pad(erode_outline(part.shown), margin)
    wide = np.pad(color, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    depth = 1 / np.pad(part.inverse_depth, margin, mode="edge")
    alpha = np.pad(part.extent, margin, mode="edge")
    smooth = fill_smooth(wide, known)
    if textured:
        unseen = (alpha * (1 - np.pad(part.given, margin))).clip(0, 1)[..., None]
        smooth += unseen * (outpaint(wide, np.pad(erode_outline(part.given), margin)) - smooth)
    return layer_from_depth(
        camera,
        depth,
        texture=add_grain(smooth, wide, known, reach=1.5 * margin) if textured else smooth,
        seen=np.where(np.pad(part.shown > 0.5, margin), SEEN, CONTINUED).astype(np.uint8),
        alpha=alpha,
        tilt=TILT,
    )


def erode_outline(shown: Float32[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the mask of a part without the outline, whose colors are blended, unless nothing else would be left."""
    import cv2

    # Outlines are as exact as the small picture that they were found in.
    reach = 2 * max(1, round(max(shown.shape) / SEGMENTATION_SIZE)) + 1
    inner = cv2.erode((shown > 0.5).astype(np.uint8), np.ones((reach, reach), np.uint8), borderValue=1) > 0
    return inner if inner.any() else shown > 0.5
