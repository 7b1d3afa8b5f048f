"""Frames of several viewpoints in one picture or video: as models write them, and to look at."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from img2world.captures.posed_frames import even_steps
from img2world.captures.shots import FRAME_SECONDS
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image import Image
from img2world.core.image_file import load_image
from img2world.video.clips import open_video, reduced
from img2world.video.containers import container_of
from img2world.video.viewpoints import TakenFrame, ViewpointOptions, frames_at_times, spare_times

CODEC_SLACK = 2
"""Pixels by which video codecs round the sides of frames."""

MAX_PIXELS = 400_000_000
"""Of a picture of many."""

TILED_SIDE = 1280
"""Longest side in pixels of pictures of all viewpoints."""

EMPTY = 2.5
"""Cost of an empty tile in a layout, where a picture that is wider than high costs the difference in tile heights."""

MISSING = 128
"""Grey level where a viewpoint has no picture."""


def frames_from_grid(path: Path, grid: str, options: ViewpointOptions) -> Frames:
    """Return the pictures of a grid, such as "4x12": rows by columns.

    In a picture each row is a viewpoint, and each column a time. In a video each cell is a viewpoint, row by row, and
    time is that of the video. Raises VideoError when the grid does not fit.
    """
    rows, columns = parse_grid(grid)
    notes = []
    if container_of(path) is None:
        image = load_image(path, max_side=1 << 20, max_pixels=MAX_PIXELS)
        cells = cut_grid(image, rows, columns, path)
        chosen = even_steps(columns, options.num_times)
        places = [
            (row, column * FRAME_SECONDS, cells[row * columns + column]) for column in chosen for row in range(rows)
        ]
        names = [f"row {row + 1}" for row in range(rows)]
        notes.append(f"a grid of {rows} viewpoints (rows) at {columns} times (columns)")
        if len(chosen) < columns:
            notes.append(spare_times(len(chosen), columns))
    else:
        clip = open_video(path, path.stem, max_seconds=options.max_seconds, time_limit=options.time_limit)
        chosen = even_steps(len(clip), options.num_times)
        pictures = clip.read(chosen, options.size * max(rows, columns))
        places = [
            (cell, float(clip.energy.seconds[i]), tile)
            for i, picture in pictures.items()
            for cell, tile in enumerate(cut_grid(picture, rows, columns, path, slack=CODEC_SLACK))
        ]
        names = [f"cell {cell + 1}" for cell in range(rows * columns)]
        notes.append(f"a video of {rows} rows and {columns} columns of viewpoints")
        if len(chosen) < len(clip):
            notes.append(spare_times(len(chosen), len(clip)))
    taken = [
        TakenFrame(viewpoint=i, time=time, image=reduced(tile, options.size), name=f"{names[i]} at {time:.2f} s")
        for i, time, tile in places
    ]
    return frames_at_times(taken, path, names, options, left_out=[], notes=notes)


def parse_grid(grid: str) -> tuple[int, int]:
    """Return the rows and columns of a grid such as "4x12". Raises VideoError when it is none of at least 2 cells."""
    match = re.fullmatch(r"\s*(\d{1,3})\s*[x×X]\s*(\d{1,3})\s*", grid)
    rows, columns = (int(match[1]), int(match[2])) if match else (0, 0)
    if rows * columns < 2:
        raise VideoError(f"the grid is {grid!r}, needs rows x columns", hint="write --grid 4x12, as in 4 rows")
    return rows, columns


def cut_grid(image: Image, rows: int, columns: int, path: Path, *, slack: int = 0) -> list[Image]:
    """Return the cells of a picture, row by row.

    Raises VideoError when they would be smaller than 16 pixels, or when more than `slack` pixels are left over or
    missing along a side.
    """
    height, width = image.height // rows, image.width // columns
    if min(height, width) < 16:
        raise VideoError(
            f"a grid of {rows} rows and {columns} columns of a picture of {image.width}x{image.height} has cells of "
            f"{width}x{height} pixels, needs at least 16: {path}",
            hint="give rows x columns: in a picture rows are viewpoints and columns times",
        )
    for side, count, name in ((image.height, rows, "rows"), (image.width, columns, "columns")):
        if min(side % count, -side % count) > slack:
            raise VideoError(
                f"{side} pixels do not divide into {count} {name}: {path}",
                hint="give rows x columns, as in --grid 4x12: in a picture rows are viewpoints and columns times",
            )
    # A frame that is not a multiple of the cells has been rounded by a video codec.
    corners = [
        (round(row * image.height / rows), round(column * image.width / columns))
        for row in range(rows)
        for column in range(columns)
    ]
    return [
        Image(
            rgb=np.ascontiguousarray(image.rgb[y : y + height, x : x + width]),
            alpha=None if image.alpha is None else np.ascontiguousarray(image.alpha[y : y + height, x : x + width]),
        )
        for y, x in corners
    ]


def layout(count: int, aspect: float) -> tuple[int, int]:
    """Return the rows and columns of an about square picture of tiles of this width over height, few of them empty."""

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        return EMPTY * (rows * columns - count) + abs(rows - columns * aspect)

    columns = min(range(count, 0, -1), key=cost)
    return -(-count // columns), columns


def tile_frames(frames: Frames) -> UInt8[np.ndarray, "T H W 3"]:
    """Return what all fixed viewpoints saw at each time beside each other, row by row, reduced to TILED_SIDE."""
    assert frames.viewpoints is not None
    times, moment = np.unique(frames.times, return_inverse=True)
    height, width = frames.rgb.shape[1:3]
    rows, columns = layout(int(frames.viewpoints.max()) + 1, width / height)
    side = max(max(height, width) * TILED_SIDE // max(rows * height, columns * width), 1)
    tile = reduced(Image(rgb=frames.rgb[0]), side)
    tiled = np.full((len(times), rows * tile.height, columns * tile.width, 3), MISSING, np.uint8)
    for rgb, i, cell in zip(frames.rgb, moment, frames.viewpoints, strict=True):
        y, x = cell // columns * tile.height, cell % columns * tile.width
        tiled[i, y : y + tile.height, x : x + tile.width] = reduced(Image(rgb=rgb), side).rgb
    return tiled
