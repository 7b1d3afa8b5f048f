"""Build the layered image of a subject."""

from collections.abc import Callable

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.subject import Subject
from img2world.layered.layers import SEEN, LayeredImage
from img2world.layered.object_layers import object_camera, object_layers
from img2world.layered.scene_layers import scene_camera, scene_layers


def input_camera(subject: Subject, size: int) -> Cameras:
    """Return the camera of the picture itself; `size` is the longer side of its frame in pixels."""
    return object_camera(size) if subject.is_object else scene_camera(subject.image, size)


def build_layers(subject: Subject, size: int, *, textured: bool = True) -> LayeredImage:
    """Build the layered image as `input_camera` sees it.

    Without `textured` a scene has plain colors where the photo does not show it; shapes are the same. Raises
    MissingPackageError when the weights of the embedded networks are not there.
    """
    layers = object_layers(subject, size) if subject.is_object else scene_layers(subject, size, textured=textured)
    return LayeredImage(layers=layers, is_object=subject.is_object)


def make_gap_measure(subject: Subject, *, size: int = 128) -> Callable[[np.ndarray], tuple[float, float]]:
    """Return a function of poses [V, 4, 4] (world from camera) that measures how much of the view is missing.

    It returns the largest fraction of any frame that shows no surface, and the largest that the photo does not show.
    """
    from img2world.layered.warp import Warper

    warper = Warper(build_layers(subject, size, textured=False))
    camera = input_camera(subject, size)

    def measure(poses: np.ndarray) -> tuple[float, float]:
        empty, unseen = 0.0, 0.0
        for pose in poses:
            here = Cameras(
                world_from_cam=pose[None], intrinsics=camera.intrinsics, width=camera.width, height=camera.height
            )
            warped = warper.draw(here, supersample=1)
            empty = max(empty, float((warped.alpha == 0).mean()))
            unseen = max(unseen, float((warped.seen < SEEN).mean()))
        return empty, unseen

    return measure
