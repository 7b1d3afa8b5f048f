"""Pictures on surfaces, ready to be read at any sharpness: all textures of a mesh and their smaller copies."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

MAX_SIZE = 1024
"""Longer side of a texture in pixels; larger ones are shrunk, since no view here shows more."""


def linear(values: Float[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Light from sRGB values, both 0 to 1 (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _srgb_from_linear(values: Float[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """The inverse of `linear`."""
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055).astype(np.float32)


LINEAR_OF_BYTE = linear(np.arange(256) / 255)

FINE = 8192
"""Steps of light in the table below: its sRGB values are right to a third of a byte's step."""

SRGB_OF_STEP = _srgb_from_linear(np.arange(FINE + 1) / FINE)


def srgb(light: Float32[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Light as sRGB values, both 0 to 1; more light than 1 is white."""
    return SRGB_OF_STEP.take((light * np.float32(FINE) + np.float32(0.5)).astype(np.int32), mode="clip")


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """Textures one after the other, each followed by copies of half the size down to one pixel."""

    texels: UInt8[np.ndarray, "T 3"]
    """sRGB, row by row."""
    starts: Int[np.ndarray, "G"]
    """Where each copy begins."""
    widths: Int[np.ndarray, "G"]
    heights: Int[np.ndarray, "G"]
    firsts: Int[np.ndarray, "P"]
    """The copy of full size of each texture."""
    depths: Int[np.ndarray, "P"]
    """How many copies each texture has."""

    def copy_at(self, texture: Int[np.ndarray, "N"], level: Float[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
        """The copies that are 2^level times smaller than their textures, or the nearest there is."""
        steps = np.round(np.maximum(level, 0)).astype(np.int64)
        return self.firsts[texture] + np.minimum(steps, self.depths[texture] - 1)

    def light_at(self, copy: Int[np.ndarray, "N"], uv: Float32[np.ndarray, "N 2"]) -> Float32[np.ndarray, "N 3"]:
        """Linear colours between the texels; (0, 0) is the first texel's upper left corner, and 1 wraps around."""
        width, height = self.widths[copy], self.heights[copy]
        x = uv[:, 0] * width.astype(np.float32) - np.float32(0.5)
        y = uv[:, 1] * height.astype(np.float32) - np.float32(0.5)
        left, top = np.floor(x), np.floor(y)
        share_x, share_y = (x - left)[:, None], (y - top)[:, None]
        column, row = left.astype(np.int32) % width, top.astype(np.int32) % height
        right, below = (column + 1) % width, (row + 1) % height
        upper, lower = self.starts[copy] + row * width, self.starts[copy] + below * width

        def texel(index: Int[np.ndarray, "N"]) -> Float32[np.ndarray, "N 3"]:
            return LINEAR_OF_BYTE.take(self.texels.take(index, 0, mode="clip"), mode="clip")

        above = texel(upper + column) * (1 - share_x) + texel(upper + right) * share_x
        under = texel(lower + column) * (1 - share_x) + texel(lower + right) * share_x
        return above * (1 - share_y) + under * share_y


def build_atlas(textures: list[UInt8[np.ndarray, "_ _ 3"]]) -> Atlas:
    """All copies of the textures. A white texel stands where there is no texture at all."""
    import cv2

    rows, starts, widths, heights, firsts, depths = [], [], [], [], [], []
    place = 0
    for texture in textures or [np.full((1, 1, 3), 255, np.uint8)]:
        firsts.append(len(starts))
        shrink = min(1.0, MAX_SIZE / max(texture.shape[:2]))
        width, height = (max(1, round(side * shrink)) for side in (texture.shape[1], texture.shape[0]))
        copy = texture
        while True:
            # cv2 writes no pictures that own no memory of their own, as those that Pillow lends.
            copy = cv2.resize(np.ascontiguousarray(copy), (width, height), interpolation=cv2.INTER_AREA)
            rows.append(copy.reshape(-1, 3))
            starts.append(place)
            widths.append(width)
            heights.append(height)
            place += width * height
            if width == height == 1:
                break
            width, height = max(1, width // 2), max(1, height // 2)
        depths.append(len(starts) - firsts[-1])
    return Atlas(
        texels=np.concatenate(rows),
        starts=np.array(starts, np.int32),
        widths=np.array(widths, np.int32),
        heights=np.array(heights, np.int32),
        firsts=np.array(firsts),
        depths=np.array(depths),
    )
