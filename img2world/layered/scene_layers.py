"""A scene as layers, each extended behind those in front of it."""

from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.image import Image
from img2world.core.subject import Foreground, SceneGeometry, Subject
from img2world.layered.depth_slices import Part, slice_depth
from img2world.layered.foreground_layers import TILT, layers_of_thing, place, push_behind
from img2world.layered.inpaint import add_texture, fill_smooth
from img2world.layered.layers import (
    CONTINUED,
    DETAIL,
    HORIZONTAL_MARGIN,
    SEEN,
    VERTICAL_MARGIN,
    Layer,
    layer_from_depth,
)
from img2world.layered.layout import SEGMENTATION_SIZE, Layout, find_layout
from img2world.layered.mirror import Margins, Mirror, mirror_along_lines
from img2world.layered.outpaint import outpaint

SCENE_FOV = np.radians(55.0)
"""Field of view along the longer side when EXIF gives none: between a phone's main camera and a 35 mm lens."""


CONTACT_WIDTH = 0.015
"""Width of the rim around things in front whose colors are not continued behind them, relative to the longer side."""

TEXTURE_REACH = 0.1
"""`reach` of `add_texture`, relative to the longer side."""


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
    fine_size = (DETAIL * camera.width, DETAIL * camera.height)
    extend = partial(
        extend_part,
        camera,
        color,
        mirror_along_lines(color, margins_of(color)),
        fine=resized(subject.image.rgb, fine_size) if textured else None,
    )
    if geometry.sky is None:
        parts = slice_depth(cv2.resize(geometry.inverse_depth, (camera.width, camera.height)))
        return tuple(extend(part) for part in parts)
    if not subject.foreground:
        parts = parts_of_layout(find_layout(rgb, geometry, is_close_up=subject.is_close_up))
        return tuple(extend(part) for part in parts)
    in_front = np.max([resized_alpha(thing, camera) for thing in subject.foreground], axis=0)
    *parts, _ = parts_of_layout(find_layout(rgb, geometry, in_front, is_close_up=subject.is_close_up))
    ground = 1 / parts[-1].inverse_depth
    things = [place(camera, subject.image, thing, ground) for thing in subject.foreground]
    parts[-1] = replace(parts[-1], inverse_depth=1 / push_behind(ground, things))
    behind = [extend(part, in_front=in_front) for part in parts]
    return (*behind, *(layer for thing in things for layer in layers_of_thing(camera, thing)))


def margins_of(color: Float32[np.ndarray, "H W 3"]) -> Margins:
    """Return the margins of a scene's layers beyond its picture."""
    side = max(color.shape)
    return round(VERTICAL_MARGIN * side), round(HORIZONTAL_MARGIN * side)


def resized(rgb: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture at a width and height, averaged where it shrinks and interpolated where it grows."""
    import cv2

    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if size[0] < rgb.shape[1] else cv2.INTER_CUBIC)


def resized_alpha(thing: Foreground, camera: Cameras) -> Float32[np.ndarray, "H W"]:
    """Return the alpha of a thing, 0 to 1, at the size of the camera's frame."""
    import cv2

    size = (camera.width, camera.height)
    return cv2.resize(thing.alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


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


def extend_part(
    camera: Cameras,
    color: Float32[np.ndarray, "H W 3"],
    mirror: Mirror,
    part: Part,
    *,
    fine: UInt8[np.ndarray, "_ _ 3"] | None,
    in_front: Float32[np.ndarray, "H W"] | None = None,
) -> Layer:
    """Make a layer of a part: the picture where it is shown, extended as far as its extent.

    Where nothing of it is shown it has the colors that the embedded network expects next to what is `given`. At its
    outline, and without `fine`, the picture at DETAIL times its resolution, its own colors continue. Next to the things
    `in_front`, whose alpha that is, the picture is shown but not continued: there are their shadows, hairs and
    reflections.
    """
    known, given = erode_outline(part.shown), erode_outline(part.given)
    source, weight = known, known.astype(np.float32)
    if in_front is not None:
        distance = distance_from(in_front > 0.05) / (CONTACT_WIDTH * max(color.shape))
        clear = distance > 1
        if (source & clear).any():
            source, given, weight = source & clear, given & clear, weight * (2 * distance).clip(0, 1)
    texture = fill_smooth(color, source)
    if fine is not None:
        unseen = (part.extent * (1 - part.given)).clip(0, 1)[..., None]
        texture += unseen * (outpaint(color, given) - texture)
        texture = add_texture(texture, color, source, reach=TEXTURE_REACH * max(color.shape))
    texture += weight[..., None] * (color - texture)
    margins = [(margin, margin) for margin in mirror.margins]
    # A mirror image goes on without a seam, and is as sharp as the picture; few frames show much of it.
    layer = layer_from_depth(
        camera,
        1 / np.pad(part.inverse_depth, margins, mode="edge"),
        texture=mirror.extend(texture),
        seen=np.pad(
            np.where(part.shown > (0.5 if in_front is None else 0), SEEN, CONTINUED).astype(np.uint8),
            margins,
            constant_values=CONTINUED,
        ),
        alpha=mirror.extend(part.extent),
        tilt=TILT,
    )
    if fine is None:
        return layer
    return replace(layer, detail=mirror.extend(add_detail(texture, fine, weight), DETAIL))


def add_detail(
    texture: Float32[np.ndarray, "h w 3"], fine: UInt8[np.ndarray, "H W 3"], weight: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "H W 3"]:
    """Return a texture at DETAIL times its resolution, with the fine picture by its weight."""
    import cv2

    size = (DETAIL * texture.shape[1], DETAIL * texture.shape[0])
    detail = cv2.resize(texture, size, interpolation=cv2.INTER_CUBIC)
    fine_weight = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)[..., None]
    detail += fine_weight * (fine.astype(np.float32) / 255 - detail)
    return detail.clip(0, 1)


def distance_from(mask: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return the distance in pixels from the nearest pixel of a mask."""
    import cv2

    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def erode_outline(shown: Float32[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the mask of a part without the outline, whose colors are blended, unless nothing else would be left."""
    import cv2

    # Outlines are as exact as the small picture that they were found in.
    reach = 2 * max(1, round(max(shown.shape) / SEGMENTATION_SIZE)) + 1
    inner = cv2.erode((shown > 0.5).astype(np.uint8), np.ones((reach, reach), np.uint8), borderValue=1) > 0
    return inner if inner.any() else shown > 0.5
