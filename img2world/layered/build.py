"""From a picture to the layered world that a wanted camera path is drawn from."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.image import Image
from img2world.layered.foreground import Foreground, find_foreground
from img2world.layered.layers import SEEN, LayeredWorld
from img2world.layered.object_layers import object_camera, object_world
from img2world.layered.scene_layers import scene_camera, scene_world

Depth = Literal["builtin", "heuristic", "transformers"]
"""How depth is found: by the embedded network, by outline and layout alone (version 0), or scenes by a big model."""


def as_asked(image: Image, kind: str) -> Foreground:
    """The foreground of the picture; `kind` is "auto", or "object" or "scene" to overrule what is found."""
    whole = np.ones((image.height, image.width), np.float32)
    if kind == "scene":
        return Foreground(alpha=whole, is_object=False, reason="taken as a scene because the options say so")
    found = find_foreground(image)
    if kind == "object" and not found.is_object:
        return Foreground(alpha=whole, is_object=True, reason="taken as an object because the options say so")
    return found


def input_camera(image: Image, foreground: Foreground, size: int) -> Cameras:
    """The camera of the picture itself; `size` is the longer side of its frame in pixels."""
    return object_camera(size) if foreground.is_object else scene_camera(image, size)


def world_from_picture(
    image: Image, foreground: Foreground, size: int, *, depth: Depth = "builtin", depth_model: str = ""
) -> LayeredWorld:
    """The layered world as `input_camera` sees it; `depth` says how its depth is found.

    Raises what `depth_model.inverse_depth` and `guess.guess_scene` raise.
    """
    if foreground.is_object:
        return object_world(image, foreground, size, learned=depth != "heuristic")
    if depth != "transformers":
        return scene_world(image, size, learned=depth == "builtin")
    import cv2

    from img2world.depth.hub_models import inverse_depth
    from img2world.layered.depth_slices import sliced_world

    camera = scene_camera(image, size)
    rgb = cv2.resize(image.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return sliced_world(camera, rgb.astype(np.float32) / 255, inverse_depth(rgb, depth_model))


def support(image: Image, foreground: Foreground, *, size: int = 128) -> Callable[[np.ndarray], tuple[float, float]]:
    """Tells, for poses [V, 4, 4], the worst share of a frame that is empty, and that the photo does not show."""
    from img2world.layered.warp import Warper

    warper = Warper(world_from_picture(image, foreground, size))
    camera = input_camera(image, foreground, size)

    def of(poses: np.ndarray) -> tuple[float, float]:
        empty, unseen = 0.0, 0.0
        for pose in poses:
            here = Cameras(
                world_from_cam=pose[None], intrinsics=camera.intrinsics, width=camera.width, height=camera.height
            )
            warped = warper.draw(here, supersample=1)
            empty = max(empty, float((warped.alpha == 0).mean()))
            unseen = max(unseen, float((warped.seen < SEEN).mean()))
        return empty, unseen

    return of
