"""The hidden shape of an object, guessed from its outline: thick where the outline is wide.

Version 0, beside which the embedded network is measured: it knows nothing of what it sees, but its
shapes are closed, smooth and never torn.
"""

import numpy as np
from jaxtyping import Bool, Float32

THICKNESS = 0.8
"""Depth of the shape relative to a solid of revolution; most things are less deep than wide."""

ROUNDNESS_LIMIT = 0.33
"""Half thickness at most this share of the shorter side of the outline's box."""


def inflate(mask: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Half thickness in pixels, zero outside the mask.

    The square root of the solution of Poisson's equation with zero at the outline, which is exact for
    a ball and close for rods (Baran and Lehtinen, "Notes on inflating curves", 2009).
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    padded = np.pad(mask, 1)
    index = np.full(padded.shape, -1)
    count = int(padded.sum())
    index[padded] = np.arange(count)
    here = index[padded]
    rows, columns, values = [here], [here], [np.full(count, 4.0)]
    for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        beside = np.roll(index, step, axis)[padded]
        rows.append(here[beside >= 0])
        columns.append(beside[beside >= 0])
        values.append(np.full(int((beside >= 0).sum()), -1.0))
    laplacian = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))).tocsc()
    solution = np.asarray(spsolve(laplacian, np.full(count, 4.0), permc_spec="MMD_AT_PLUS_A")).reshape(count)
    half = np.zeros(mask.shape, np.float32)
    half[mask] = THICKNESS * np.sqrt(np.maximum(solution, 0))
    height, width = np.ptp(np.argwhere(mask), axis=0) + 1
    limit = ROUNDNESS_LIMIT * min(height, width)
    # A soft limit, so that a wide body gets a flat front and not a cut-off one.
    return (limit * np.tanh(half / limit)).astype(np.float32)
