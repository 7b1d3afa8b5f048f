"""Decomposition of a surface into convex pieces, for physics engines.

Source: Wei et al. 2022, "Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity and Tree Search"
(CoACD).
"""

import numpy as np

from img2world.core.errors import MissingPackageError
from img2world.meshing.surface import Surface

MAX_PIECES = 32
MAX_VERTICES = 64
"""Vertices of a piece; PhysX, which Unity and Unreal use, has a limit of 255, and GPUs one of 64."""

MAX_CONCAVITY = 0.05
"""Distance between a piece and the surface up to which it is not cut again, relative to the size."""


def convex_pieces(surface: Surface) -> list[Surface]:
    """Return convex closed surfaces that together are close to a closed one; the time grows with its faces.

    Raises MissingPackageError without coacd.
    """
    try:
        import coacd
    except ImportError as error:
        raise MissingPackageError("a collider needs the package coacd", hint="pip install coacd") from error
    coacd.set_log_level("error")
    pieces = coacd.run_coacd(
        coacd.Mesh(surface.vertices.astype(np.float64), surface.faces),
        threshold=MAX_CONCAVITY,
        max_convex_hull=MAX_PIECES,
        decimate=True,
        max_ch_vertex=MAX_VERTICES,
        seed=0,
    )
    return [Surface(np.asarray(piece[0]), np.asarray(piece[1]).astype(np.int32)) for piece in pieces]
