"""Decide what a picture shows, once for all stages: cut out an object, and predict the geometry of object or scene."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from img2world.core.errors import ImageError
from img2world.core.image import Image
from img2world.core.subject import Foreground, ObjectGeometry, SceneGeometry, Subject
from img2world.core.weights import NO_WEIGHTS, Weights
from img2world.layered.foreground import find_foreground, find_object, has_clear_outline
from img2world.layered.object_layers import SOLID_SIDE, cut_out
from img2world.layered.saliency import CutoutModel

OBJECT_SIDE = 256
"""Side, in pixels, of the square frame in which the geometry of an object is kept; the network's input is smaller."""

OPTIONS = "the options say so"

CLOSE_UP = 0.25
"""Fraction of the picture above which something without a clear outline makes it a close-up."""

MAX_DEPTH_SIDE = 1024
"""Maximum longer side, in pixels, of the picture that a depth model of transformers is given."""


@dataclass(frozen=True, kw_only=True)
class AutoSubject:
    """Treats a picture with transparency or a plain background as an object, any other as a scene."""

    kind: Literal["auto", "object", "scene"] = "auto"
    """"object" or "scene" overrules what the picture looks like."""
    model: CutoutModel = "builtin"
    """Network that cuts out what stands out; those of rembg need its weights on this machine and the extra `cutout`."""
    depth: Literal["builtin", "transformers"] = "builtin"
    """Predictor of a scene's depth; transformers takes Depth Anything V2, DPT or Depth Pro."""
    depth_model: Weights = NO_WEIGHTS
    """A folder of its weights or its name on the hub; empty takes Depth Anything V2 Small."""

    def find(self, image: Image) -> Subject:
        """Cut the object out and predict the geometry of the object or the scene.

        Raises ImageError when the picture is transparent everywhere, the object too thin or the depth model unusable,
        and MissingPackageError without the weights or transformers.
        """
        alpha, reason = (None, OPTIONS) if self.kind == "scene" else find_object(image, self.model)
        if alpha is not None:
            return object_subject(image, alpha, reason)
        # Depth models of the hub see for themselves what stands in front.
        cuts = self.cut_out_foreground(image) if self.depth == "builtin" or self.kind == "object" else []
        if self.kind == "object":
            alpha = cuts[0] if cuts else np.full(image.rgb.shape[:2], 255, np.uint8)
            return object_subject(image, alpha, OPTIONS)
        is_clear = [has_clear_outline(cut, image.rgb) for cut in cuts]
        foreground = tuple(
            Foreground(alpha=cut, geometry=object_geometry(image, cut))
            for cut, clear in zip(cuts, is_clear, strict=True)
            if clear
        )
        is_close_up = any((cut > 127).mean() > CLOSE_UP for cut, clear in zip(cuts, is_clear, strict=True) if not clear)
        geometry = self.scene_geometry(image)
        return Subject(
            image=image, alpha=None, reason=reason, geometry=geometry, is_close_up=is_close_up, foreground=foreground
        )

    def cut_out_foreground(self, image: Image) -> list[UInt8[np.ndarray, "H W"]]:
        """Return the alphas of what stands out in front of a natural background, the largest first."""
        cuts = [] if self.model == "none" else find_foreground(image, self.model)
        return [cut for cut in cuts if has_body(image, cut)]

    def scene_geometry(self, image: Image) -> SceneGeometry:
        """Predict depth and sky of a scene."""
        if self.depth == "builtin":
            from img2world.depth.predict import predict_scene

            return predict_scene(image.rgb)
        import cv2

        from img2world.depth.hub_models import inverse_depth

        scale = min(1.0, MAX_DEPTH_SIDE / max(image.width, image.height))
        size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
        rgb = cv2.resize(image.rgb, size, interpolation=cv2.INTER_AREA)
        return SceneGeometry(inverse_depth=inverse_depth(rgb, str(self.depth_model)), sky=None)


def object_subject(image: Image, alpha: UInt8[np.ndarray, "H W"], reason: str) -> Subject:
    """Return an object with its geometry. Raises ImageError when it is too thin to have one."""
    if not has_body(image, alpha):
        raise ImageError(
            f"the object is too thin: nothing of it is left when it is {SOLID_SIDE} pixels large",
            hint="use a picture that shows it larger or thicker, or --recipe scene",
        )
    return Subject(image=image, alpha=alpha, reason=reason, geometry=object_geometry(image, alpha))


def has_body(image: Image, alpha: UInt8[np.ndarray, "H W"]) -> bool:
    """Return whether a cut-out is more than a hair, whose shape cannot be told."""
    return bool((cut_out(image, alpha, SOLID_SIDE).alpha >= 0.5).any())


def object_geometry(image: Image, alpha: UInt8[np.ndarray, "H W"]) -> ObjectGeometry:
    """Predict the geometry of an object in the frame that `cut_out` makes."""
    from img2world.depth.predict import predict_object

    cut = cut_out(image, alpha, OBJECT_SIDE)
    return predict_object(cut.rgb, cut.alpha)
