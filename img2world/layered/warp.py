"""Draw layers as another camera sees them: exact occlusion, soft edges, sharp texture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.core.checks import check_finite
from img2world.core.conventions import NEAR
from img2world.layered.layers import Layer, LayeredImage
from img2world.render.extension import native_module, num_threads

BLUR_STEPS = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0)
"""Standard deviations, in pixels, of the blurred copies of a texture that are prepared."""


@dataclass(frozen=True, kw_only=True)
class Warped:
    """An image of the layers from one camera."""

    rgb: Float32[np.ndarray, "H W 3"]
    """sRGB 0 to 1, not composited: the mean of the samples that hit a surface, 0 where none does."""
    alpha: Float32[np.ndarray, "H W"]
    """Fraction of the samples that hit a surface."""
    depth: Float32[np.ndarray, "H W"]
    """Depth along +Z of the nearest sample; 0 where none hits a surface."""
    seen: UInt8[np.ndarray, "H W"]
    """The lowest value of the samples, see `Frames.seen`; 0 where none hits a surface."""


class Warper:
    """Layers prepared for rendering many views: one mesh, and blurred copies of each texture."""

    def __init__(self, image: LayeredImage) -> None:
        layers = image.layers
        starts = np.cumsum([0, *(len(layer.vertices_in_world) for layer in layers)])
        self.vertices = np.concatenate([layer.vertices_in_world for layer in layers])
        self.alphas = np.concatenate([layer.alphas for layer in layers])
        self.faces = np.concatenate(
            [layer.faces + np.int32(start) for layer, start in zip(layers, starts[:-1], strict=True)]
        ).astype(np.int32)
        self.face_ends = np.cumsum([len(layer.faces) for layer in layers]).tolist()
        self.levels = [blurred_copies(layer) for layer in layers]
        self.texture_coordinates = np.concatenate(
            [texture_coordinates(layer, len(levels)) for layer, levels in zip(layers, self.levels, strict=True)]
        )
        self.seen = [np.ascontiguousarray(layer.seen) for layer in layers]
        check_finite(alphas=self.alphas, texture_coordinates=self.texture_coordinates)
        if len(self.faces) and (self.faces.min() < 0 or self.faces.max() >= len(self.vertices)):
            raise ValueError(f"faces point at vertices up to {self.faces.max()}, there are {len(self.vertices)}")

    def draw(self, camera: Cameras, *, supersample: int = 2) -> Warped:
        """Draw what one camera sees. Each pixel averages `supersample`² samples, which softens the edges."""
        if len(camera) != 1 or supersample < 1:
            raise ValueError(f"{len(camera)} cameras and {supersample} samples per axis, needs 1 and at least 1")
        shape = (camera.height, camera.width)
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        warped = Warped(
            rgb=np.empty((*shape, 3), np.float32),
            alpha=np.empty(shape, np.float32),
            depth=np.empty(shape, np.float32),
            seen=np.empty(shape, np.uint8),
        )
        native_module().draw_layers(
            num_threads(),
            *(self.vertices, self.alphas, self.faces, self.texture_coordinates, self.levels, self.seen, self.face_ends),
            *(
                np.ascontiguousarray(fine.cam_from_world[0]),
                np.ascontiguousarray(fine.intrinsics[0]),
                NEAR,
                supersample,
            ),
            *(warped.rgb, warped.alpha, warped.depth, warped.seen),
        )
        return warped


def blurred_copies(layer: Layer) -> list[Float32[np.ndarray, "_ _ 4"]]:
    """Blur the texture by each of BLUR_STEPS that the layer needs; a fourth channel makes each pixel one vector.

    The first is not blurred, and has the resolution of the layer's detail if there is any.
    """
    import cv2

    # Outside its outline a texture is filled with its own colors, so that blurring mixes in no others.
    largest = float(layer.blur.max(initial=0))
    steps = [step for i, step in enumerate(BLUR_STEPS) if i == 0 or BLUR_STEPS[i - 1] < largest]
    sharp = layer.texture if layer.detail is None else layer.detail
    copies = [sharp if step == 0 else cv2.GaussianBlur(layer.texture, (0, 0), step) for step in steps]
    return [cv2.cvtColor(copy, cv2.COLOR_RGB2RGBA) for copy in copies]


def texture_coordinates(layer: Layer, num_levels: int) -> Float32[np.ndarray, "M 4"]:
    """Return for each vertex x and y in the texture, the number of the blurred copy that it reads, and 0."""
    level = np.interp(layer.blur, BLUR_STEPS[:num_levels], np.arange(num_levels))
    return np.column_stack([layer.texture_xy, level, np.zeros(len(level))]).astype(np.float32)
