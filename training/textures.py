"""Random textures with the statistics of photographs, and their mipmaps."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

SIZE = 256
LEVELS = 7
"""Mipmap levels, each half as large as the one before."""


@dataclass(frozen=True, kw_only=True)
class TextureBank:
    """Textures with their mipmaps in one array."""

    atlas: UInt8[np.ndarray, "T 256 384 3"]
    """Level 0 on the left, the smaller levels below one another on the right."""

    def __len__(self) -> int:
        return len(self.atlas)


def make_texture_bank(seed: int, count: int = 256, extra: list[np.ndarray] | None = None) -> TextureBank:
    """Return `count` random textures followed by the `extra` images, resized to SIZE."""
    rng = np.random.default_rng(seed)
    images = [random_texture(rng) for _ in range(count)]
    images += [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for image in extra or []]
    return TextureBank(atlas=np.stack([add_mipmaps(image) for image in images]))


def add_mipmaps(image: UInt8[np.ndarray, "256 256 3"]) -> UInt8[np.ndarray, "256 384 3"]:
    """Return a texture with its mipmap levels beside it."""
    atlas = np.zeros((SIZE, SIZE + SIZE // 2, 3), np.uint8)
    atlas[:, :SIZE] = image
    row = 0
    for level in range(1, LEVELS):
        side = SIZE >> level
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        atlas[row : row + side, SIZE : SIZE + side] = image
        row += side
    return atlas


def clouds(
    rng: np.random.Generator, *, octaves: int = 6, persistence: float = 0.58, channels: int = 1, size: int = SIZE
) -> Float[np.ndarray, "S S C"]:
    """Return fractal noise normalized to 0 to 1."""
    total = np.zeros((size, size, channels), np.float32)
    for octave in range(octaves):
        side = 2 ** (octave + 1)
        grid = rng.standard_normal((side, side, channels)).astype(np.float32)
        total += (
            cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC).reshape(total.shape) * persistence**octave
        )
    total -= total.min((0, 1))
    return total / (total.max((0, 1)) + 1e-6)


def random_palette(rng: np.random.Generator, count: int) -> Float[np.ndarray, "C 3"]:
    """Return colours that go together, most of them muted."""
    base = rng.uniform(0.05, 0.95, 3)
    base = base.mean() + (base - base.mean()) * rng.choice([0.15, 0.4, 0.8, 1.2])
    spread = rng.uniform(0.05, 0.35)
    values = base + rng.standard_normal((count, 1)) * spread + rng.standard_normal((count, 3)) * spread * 0.35
    return values.clip(0.02, 0.98).astype(np.float32)


def random_texture(rng: np.random.Generator) -> UInt8[np.ndarray, "256 256 3"]:
    """Return a texture of a random kind."""
    makers = (plain, mottled, dead_leaves, dead_leaves, bricks, planks, stripes, checks, grain, facade, printed, weave)
    image = makers[int(rng.integers(len(makers)))](rng)
    dirt = 1 + rng.uniform(0, 0.4) * (clouds(rng, persistence=rng.uniform(0.4, 0.7)) - 0.5)
    image = image * dirt + rng.standard_normal(image.shape).astype(np.float32) * rng.uniform(0, 0.03)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def plain(rng: np.random.Generator) -> np.ndarray:
    """Return a uniform colour."""
    return np.broadcast_to(random_palette(rng, 1)[0], (SIZE, SIZE, 3)).copy()


def mottled(rng: np.random.Generator) -> np.ndarray:
    """Return colour noise along a ramp: stone, plaster, skin or soil."""
    ramp = random_palette(rng, 4)
    noise = clouds(rng, octaves=int(rng.integers(4, 8)), persistence=rng.uniform(0.4, 0.85))[..., 0]
    position = np.linspace(0, 1, 4)
    return np.stack([np.interp(noise, position, ramp[:, channel]) for channel in range(3)], -1).astype(np.float32)


def dead_leaves(rng: np.random.Generator) -> np.ndarray:
    """Return overlapping shapes with power-law sizes, which have the statistics of photographs.

    Source: Lee, Mumford and Huang 2001, "Occlusion models for natural images".
    """
    palette = random_palette(rng, 12)
    image = np.broadcast_to(palette[0], (SIZE, SIZE, 3)).copy()
    smallest, shape = rng.uniform(1.5, 6), int(rng.integers(3))
    for _ in range(int(rng.integers(200, 900))):
        radius = min(smallest / rng.uniform(0.02, 1) ** 0.7, 90)
        x, y = rng.integers(0, SIZE, 2).tolist()
        color = (palette[rng.integers(12)] * rng.uniform(0.7, 1.2)).tolist()
        if shape == 0:
            cv2.circle(image, (x, y), int(radius), color, -1)
        elif shape == 1:
            cv2.ellipse(
                image,
                (x, y),
                (int(radius), int(radius * rng.uniform(0.1, 0.6)) + 1),
                rng.uniform(0, 360),
                0,
                360,
                color,
                -1,
            )
        else:
            corners = (rng.uniform(-1, 1, (4, 2)) * radius + (x, y)).astype(np.int32)
            cv2.fillConvexPoly(image, corners, color)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Return the texture coordinates x and y of all texels."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    return x, y


def bricks(rng: np.random.Generator) -> np.ndarray:
    """Return bricks or tiles with joints, each of a slightly different shade."""
    x, y = _grid()
    across, down = int(rng.integers(2, 9)), int(rng.integers(2, 16))
    row = np.floor(y * down)
    shifted = x * across + rng.choice([0, 0.5]) * (row % 2)
    joint = rng.uniform(0.02, 0.1)
    edge = (shifted % 1 < joint) | (y * down % 1 < joint * down / across)
    tones = rng.uniform(1 - rng.uniform(0, 0.4), 1, (down + 1, across + 2)).astype(np.float32)
    tone = tones[row.astype(int), np.floor(shifted).astype(int)]
    pair = random_palette(rng, 2)
    return np.where(edge[..., None], pair[1], pair[0] * tone[..., None]).astype(np.float32)


def planks(rng: np.random.Generator) -> np.ndarray:
    """Return boards with wood grain."""
    x, y = _grid()
    count = int(rng.integers(2, 10))
    plank = np.floor(x * count).astype(int)
    offset = rng.uniform(0, 9, count + 1)[plank]
    wave = clouds(rng, octaves=4)[..., 0]
    rings = 0.5 + 0.5 * np.sin((x * rng.uniform(20, 70) + offset + 5 * wave * (0.3 + 0.2 * y)) * 2 * np.pi)
    pair = random_palette(rng, 2)
    tone = rng.uniform(0.75, 1.1, count + 1)[plank]
    gap = (x * count % 1 < 0.03)[..., None]
    wood = (pair[0] + (pair[1] - pair[0]) * 0.5 * rings[..., None]) * tone[..., None]
    return np.where(gap, 0.4 * wood, wood).astype(np.float32)


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Return straight or wavy stripes."""
    x, y = _grid()
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    along = x * np.cos(angle) + y * np.sin(angle) + rng.choice([0, 0.1]) * clouds(rng)[..., 0]
    pair = random_palette(rng, 2)
    return np.where((along * rng.integers(2, 30) % 1 < rng.uniform(0.1, 0.9))[..., None], pair[0], pair[1]).astype(
        np.float32
    )


def checks(rng: np.random.Generator) -> np.ndarray:
    """Return a chequerboard or dots."""
    x, y = _grid()
    count = int(rng.integers(2, 14))
    pair = random_palette(rng, 2)
    if rng.random() < 0.5:
        mask = (np.floor(x * count) + np.floor(y * count)) % 2 > 0
    else:
        mask = np.hypot(x * count % 1 - 0.5, y * count % 1 - 0.5) < rng.uniform(0.15, 0.45)
    return np.where(mask[..., None], pair[0], pair[1]).astype(np.float32)


def grain(rng: np.random.Generator) -> np.ndarray:
    """Return fine, high-contrast grain: grass, fur, gravel or foliage."""
    stretch = rng.uniform(1, 8)
    noise = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=rng.uniform(0.6, 2), sigmaY=rng.uniform(0.6, 2) * stretch)
    noise = noise / (noise.std() + 1e-6) * rng.uniform(0.1, 0.35)
    base = mottled(rng)
    return base * (1 + noise[..., None])


def facade(rng: np.random.Generator) -> np.ndarray:
    """Return a wall with rows of windows."""
    x, y = _grid()
    across, down = int(rng.integers(2, 8)), int(rng.integers(2, 10))
    cell_x, cell_y = x * across % 1, y * down % 1
    left, top = rng.uniform(0.1, 0.3, 2)
    window = (cell_x > left) & (cell_x < 1 - left) & (cell_y > top) & (cell_y < 0.9)
    wall = bricks(rng) if rng.random() < 0.3 else mottled(rng)
    panes = rng.uniform(0.05, 0.7, (down + 1, across + 1)).astype(np.float32)
    glass = (
        panes[np.floor(y * down).astype(int), np.floor(x * across).astype(int)][..., None] * random_palette(rng, 1)[0]
    )
    frame = window & ((np.abs(cell_x - 0.5) < 0.02) | (cell_y < top + 0.04))
    return np.where(frame[..., None], random_palette(rng, 1)[0], np.where(window[..., None], glass, wall)).astype(
        np.float32
    )


def printed(rng: np.random.Generator) -> np.ndarray:
    """Return words on a plain or patterned background: a label, sign or poster."""
    image = (255 * (plain(rng) if rng.random() < 0.6 else dead_leaves(rng)).clip(0, 1)).astype(np.uint8)
    for _ in range(int(rng.integers(1, 9))):
        word = "".join(chr(letter) for letter in rng.integers(65, 91, int(rng.integers(1, 8))))
        position = (int(rng.integers(-30, SIZE - 30)), int(rng.integers(20, SIZE)))
        cv2.putText(
            image,
            word,
            position,
            int(rng.integers(0, 5)),
            rng.uniform(0.5, 4),
            (255 * random_palette(rng, 1)[0]).tolist(),
            int(rng.integers(1, 8)),
            cv2.LINE_AA,
        )
    return image.astype(np.float32) / 255


def weave(rng: np.random.Generator) -> np.ndarray:
    """Return woven cloth."""
    x, y = _grid()
    pair = random_palette(rng, 2)
    across, down = rng.integers(10, 50, 2)
    threads = 0.5 + 0.25 * np.sin(2 * np.pi * x * across) + 0.25 * np.sin(2 * np.pi * y * down)
    return (pair[0] + (pair[1] - pair[0]) * threads[..., None]).astype(np.float32)
