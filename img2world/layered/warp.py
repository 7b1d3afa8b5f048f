"""Draw layers as another camera sees them: exact occlusion, soft edges, sharp texture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.cameras import Cameras
from img2world.layered.layers import Layer, LayeredWorld

BLUR_STEPS = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0)
"""Standard deviations, in pixels, of the texture's ready-made blurred copies."""


@dataclass(frozen=True, kw_only=True)
class Warped:
    """One camera's picture of the layers."""

    rgb: Float32[np.ndarray, "H W 3"]
    """Not composited: the colour of what is there, zero where nothing is."""
    alpha: Float32[np.ndarray, "H W"]
    depth: Float32[np.ndarray, "H W"]
    """Along +Z; 0 where nothing is. Near surfaces win where a pixel sees two."""
    seen: UInt8[np.ndarray, "H W"]


class Warper:
    """Layers made ready to be drawn many times: one mesh and the blurred copies of each texture."""

    def __init__(self, world: LayeredWorld) -> None:
        starts = np.cumsum([0, *(len(layer.vertices_in_world) for layer in world.layers)])
        self.vertices = np.concatenate([layer.vertices_in_world for layer in world.layers])
        self.alphas = np.concatenate([layer.alphas for layer in world.layers])
        self.faces = np.concatenate(
            [layer.faces + np.int32(start) for layer, start in zip(world.layers, starts[:-1], strict=True)]
        ).astype(np.int32)
        self.texture_xy = np.concatenate([layer.texture_xy for layer in world.layers])
        self.blur = np.concatenate([layer.blur for layer in world.layers])
        self.layer_ends = np.cumsum([len(layer.faces) for layer in world.layers])
        self.seen = [layer.seen for layer in world.layers]
        self.pyramids = [blurred_copies(layer) for layer in world.layers]

    def draw(self, camera: Cameras, *, supersample: int = 2) -> Warped:
        """What one camera sees. Each pixel averages `supersample`² samples, which softens the edges."""
        from img2world.render.triangles import rasterize_triangles

        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        cam_from_world = fine.cam_from_world[0]
        vertices_in_cam = self.vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        hits = rasterize_triangles(np.ascontiguousarray(vertices_in_cam), self.faces, self.alphas, fine)
        covered = hits.face >= 0
        corners = self.faces[hits.face[covered]]  # [P, 3]
        second, third = hits.barycentric[covered].T
        weights = np.stack([1 - second - third, second, third], -1).astype(np.float32)
        texture_xy = np.einsum("pk,pkc->pc", weights, self.texture_xy[corners])
        blur = np.einsum("pk,pk->p", weights, self.blur[corners])
        layer = np.searchsorted(self.layer_ends, hits.face[covered], side="right")
        colors = np.zeros((len(layer), 3), np.float32)
        known = np.zeros(len(layer), np.uint8)
        for i in np.unique(layer):
            of_layer = layer == i
            colors[of_layer] = sample(self.pyramids[i], texture_xy[of_layer], blur[of_layer])
            known[of_layer] = nearest(self.seen[i], texture_xy[of_layer])
        return average(covered, colors, known, hits.depth, supersample)


def average(covered: np.ndarray, colors: np.ndarray, known: np.ndarray, depth: np.ndarray, supersample: int) -> Warped:
    """Bring the samples together to pixels."""
    height, width = (size // supersample for size in covered.shape)
    blocks = (height, supersample, width, supersample)
    rgb = np.zeros((*covered.shape, 3), np.float32)
    rgb[covered] = colors
    seen = np.full(covered.shape, 255, np.uint8)
    seen[covered] = known
    count = covered.reshape(blocks).sum((1, 3), dtype=np.float32)
    nearest_depth = np.where(covered, depth, np.inf).reshape(blocks).min((1, 3))
    some = count > 0
    return Warped(
        rgb=rgb.reshape(*blocks, 3).sum((1, 3)) / np.maximum(count, 1)[..., None],
        alpha=count / np.float32(supersample**2),
        depth=np.where(some, nearest_depth, 0).astype(np.float32),
        seen=np.where(some, seen.reshape(blocks).min((1, 3)), 0).astype(np.uint8),
    )


def blurred_copies(layer: Layer) -> list[Float32[np.ndarray, "h w 3"]]:
    """The texture at each of BLUR_STEPS, as far as the layer needs them."""
    import cv2

    # What lies outside of the layer was filled with its own colours, so blurring mixes nothing foreign in.
    most = float(layer.blur.max(initial=0))
    steps = [step for i, step in enumerate(BLUR_STEPS) if i == 0 or BLUR_STEPS[i - 1] < most]
    return [layer.texture if step == 0 else cv2.GaussianBlur(layer.texture, (0, 0), step) for step in steps]


def sample(
    pyramid: list[Float32[np.ndarray, "h w 3"]], xy: Float32[np.ndarray, "P 2"], blur: Float32[np.ndarray, "P"]
) -> Float32[np.ndarray, "P 3"]:
    """Bilinear in each copy, linear between the two copies beside the wanted blur."""
    place = np.interp(blur, BLUR_STEPS[: len(pyramid)], np.arange(len(pyramid))).astype(np.float32)
    colors = np.zeros((len(xy), 3), np.float32)
    for i, texture in enumerate(pyramid):
        weight = np.maximum(0, 1 - np.abs(place - i))
        used = weight > 0
        colors[used] += weight[used, None] * bilinear(texture, xy[used])
    return colors


def bilinear(texture: Float32[np.ndarray, "h w C"], xy: Float32[np.ndarray, "P 2"]) -> Float32[np.ndarray, "P C"]:
    """Colours between the texture's pixel centres, held at its border."""
    import cv2

    # remap takes at most 32767 rows or columns, so the list of points is folded into lines.
    line = 8192
    count = len(xy)
    if not count:
        return np.zeros((0, texture.shape[2]), np.float32)
    padded = np.zeros((-(-count // line) * line, 2), np.float32)
    padded[:count] = xy - 0.5
    grid = padded.reshape(-1, line, 2)
    folds = [
        cv2.remap(texture, rows[..., 0], rows[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for rows in np.array_split(grid, max(1, -(-len(grid) // 16384)))
    ]
    return np.concatenate(folds).reshape(-1, texture.shape[2])[:count]


def nearest(values: UInt8[np.ndarray, "h w"], xy: Float32[np.ndarray, "P 2"]) -> UInt8[np.ndarray, "P"]:
    """The value of the pixel that each point falls in."""
    columns = xy[:, 0].astype(np.int64).clip(0, values.shape[1] - 1)
    return values[xy[:, 1].astype(np.int64).clip(0, values.shape[0] - 1), columns]
