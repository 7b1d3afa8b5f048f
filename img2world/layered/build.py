"""Build the layered image of a subject."""

from img2world.core.cameras import Cameras
from img2world.core.subject import Subject
from img2world.layered.layers import LayeredImage
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
