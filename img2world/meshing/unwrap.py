"""Texture coordinates of a surface."""

import ctypes
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64

MAX_COST = 4.0
"""Cost of growing a chart above which a new one begins (xatlas: 2); fewer charts have fewer seams."""

PADDING = 3
"""Texels between charts."""


class Charts(NamedTuple):
    """Faces whose vertices occur once for each chart they are in."""

    vertices: Int64[np.ndarray, "M"]
    """Indices of the original vertices."""
    faces: Int32[np.ndarray, "F 3"]
    uvs: Float32[np.ndarray, "M 2"]
    """0 to 1 from the texture's upper left corner."""


def unwrap(points: Float[np.ndarray, "N 3"], faces: Int32[np.ndarray, "F 3"], size: int) -> Charts:
    """Cut a surface into charts and pack them into a square texture of `size` pixels.

    The area of a face in the texture follows its area in the space of the points.
    """
    import xatlas

    low, extent = points.min(0), float(np.ptp(points, axis=0).max())
    atlas = xatlas.Atlas()
    # An atlas is never freed: on its end xatlas wakes its thread without holding the lock, so that one that is about
    # to sleep misses the call, and waits for it forever. That costs 7 MB for a mesh of 20,000 faces.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(atlas))
    atlas.add_mesh(((points - low) / max(extent, 1e-12)).astype(np.float32), faces.astype(np.uint32))
    chart_options, pack_options = xatlas.ChartOptions(), xatlas.PackOptions()
    chart_options.max_cost = MAX_COST
    pack_options.resolution, pack_options.padding, pack_options.bilinear = size, PADDING, True
    atlas.generate(chart_options, pack_options)
    vertices, charted, uvs = atlas[0]
    # Both axes are scaled alike, since the atlas is rarely a square.
    sides = np.array([atlas.width, atlas.height])
    return Charts(vertices.astype(np.int64), charted.astype(np.int32), (uvs * sides / sides.max()).astype(np.float32))
