"""Textures of a mesh with their mipmaps, and conversion between sRGB and linear light."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

MAX_SIZE = 1024
"""Longest side of a texture in pixels; larger ones are downscaled, since no view shows more."""


def linear_from_srgb(values: Float[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Return linear light from sRGB values, both 0 to 1 (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _exact_srgb(values: Float[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Return sRGB values from linear light, the inverse of `linear_from_srgb`."""
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055).astype(np.float32)


LINEAR_FROM_BYTE = linear_from_srgb(np.arange(256) / 255)

SRGB_STEPS = 8192
"""Steps of linear light in the table below; its sRGB values are exact to a third of 1/255."""

SRGB_TABLE = _exact_srgb(np.arange(SRGB_STEPS + 1) / SRGB_STEPS)


def srgb_from_linear(linear: Float32[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Return sRGB values from linear light, both 0 to 1; light above 1 is clipped."""
    return SRGB_TABLE.take((linear * np.float32(SRGB_STEPS) + np.float32(0.5)).astype(np.int32), mode="clip")


@dataclass(frozen=True, kw_only=True)
class TextureAtlas:
    """Textures one after the other, each followed by its mipmap levels down to one pixel."""

    texels: UInt8[np.ndarray, "T 3"]
    """sRGB, row by row."""
    starts: Int[np.ndarray, "G"]
    """Index of the first texel of each level."""
    widths: Int[np.ndarray, "G"]
    heights: Int[np.ndarray, "G"]
    first_levels: Int[np.ndarray, "P"]
    """Index of the full-size level of each texture."""
    level_counts: Int[np.ndarray, "P"]
    """Number of levels of each texture."""

    def images(self) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        """Return the textures at full size."""
        images = []
        for mip in self.first_levels:
            start, width, height = int(self.starts[mip]), int(self.widths[mip]), int(self.heights[mip])
            images.append(self.texels[start : start + height * width].reshape(height, width, 3))
        return images

    def mip_index(self, texture: Int[np.ndarray, "N"], level: Float[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
        """Return the index of a texture's mipmap level, rounded and clamped to those it has."""
        steps = np.round(np.maximum(level, 0)).astype(np.int64)
        return self.first_levels[texture] + np.minimum(steps, self.level_counts[texture] - 1)

    def sample_linear(self, mip: Int[np.ndarray, "N"], uv: Float32[np.ndarray, "N 2"]) -> Float32[np.ndarray, "N 3"]:
        """Return bilinearly interpolated linear colours; (0, 0) is the upper left corner, and 1 wraps around."""
        width, height = self.widths[mip], self.heights[mip]
        x = uv[:, 0] * width.astype(np.float32) - np.float32(0.5)
        y = uv[:, 1] * height.astype(np.float32) - np.float32(0.5)
        left, top = np.floor(x), np.floor(y)
        weight_x, weight_y = (x - left)[:, None], (y - top)[:, None]
        column, row = left.astype(np.int32) % width, top.astype(np.int32) % height
        right, below = (column + 1) % width, (row + 1) % height
        upper, lower = self.starts[mip] + row * width, self.starts[mip] + below * width

        def texel(index: Int[np.ndarray, "N"]) -> Float32[np.ndarray, "N 3"]:
            return LINEAR_FROM_BYTE.take(self.texels.take(index, 0, mode="clip"), mode="clip")

        above = texel(upper + column) * (1 - weight_x) + texel(upper + right) * weight_x
        under = texel(lower + column) * (1 - weight_x) + texel(lower + right) * weight_x
        return above * (1 - weight_y) + under * weight_y


def build_atlas(textures: list[UInt8[np.ndarray, "_ _ 3"]]) -> TextureAtlas:
    """Return the textures with all mipmap levels; a white texel if there are no textures."""
    import cv2

    rows, starts, widths, heights, first_levels, level_counts = [], [], [], [], [], []
    offset = 0
    for texture in textures or [np.full((1, 1, 3), 255, np.uint8)]:
        first_levels.append(len(starts))
        shrink = min(1.0, MAX_SIZE / max(texture.shape[:2]))
        width, height = (max(1, round(side * shrink)) for side in (texture.shape[1], texture.shape[0]))
        mip = texture
        while True:
            # OpenCV does not accept arrays that borrow Pillow's memory.
            mip = cv2.resize(np.ascontiguousarray(mip), (width, height), interpolation=cv2.INTER_AREA)
            rows.append(mip.reshape(-1, 3))
            starts.append(offset)
            widths.append(width)
            heights.append(height)
            offset += width * height
            if width == height == 1:
                break
            width, height = max(1, width // 2), max(1, height // 2)
        level_counts.append(len(starts) - first_levels[-1])
    return TextureAtlas(
        texels=np.concatenate(rows),
        starts=np.array(starts, np.int32),
        widths=np.array(widths, np.int32),
        heights=np.array(heights, np.int32),
        first_levels=np.array(first_levels),
        level_counts=np.array(level_counts),
    )


def box_projection(points: Float[np.ndarray, "N 3"], axes: Int[np.ndarray, "N"]) -> Float[np.ndarray, "N 2"]:
    """Return the texture coordinates of points, each projected along one of the axes 0, 1 or 2."""
    others = np.array([[2, 1], [0, 2], [0, 1]])[axes]
    return np.take_along_axis(points, others, 1)
