"""What lies beside a picture, as far as it can be told: the embedded network's mean of what may be there."""

import numpy as np
from jaxtyping import Float32

from img2world.geometry.fill import fill_smooth
from img2world.geometry.guess import run_network, working_size

WEIGHTS = "nano/nano_outpaint.safetensors"
"""Of the network that guesses depth, trained for this alone; of its maps only the colours are used."""

TRUST = 0.6
"""Share of what the network draws in what is used: it is too sure of itself about places unlike the made ones."""

SOFT = 3.0
"""Pixels of the network's picture over which what it draws sets in."""


def outpainted(rgb: Float32[np.ndarray, "H W 3"], margin: int) -> Float32[np.ndarray, "h w 3"]:
    """The picture, 0 to 1, with `margin` pixels beside it on all sides; smooth, without grain.

    Raises MissingPackageError when the weights are not there.
    """
    import cv2

    from img2world.geometry.nano_geo import Channel

    known = np.pad(np.ones(rgb.shape[:2], bool), margin)
    smooth = fill_smooth(np.pad(rgb, ((margin, margin), (margin, margin), (0, 0))), known)
    height, width = known.shape
    size = working_size(width, height)
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA)
    cover = soft_cover(cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5)
    maps, _, _ = run_network(WEIGHTS, small, cover, is_object=False)
    change = TRUST * maps[Channel.RGB].transpose(1, 2, 0) / 2 * (1 - cover[..., None])
    wide = smooth + cv2.resize(change, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(known[..., None], smooth, wide.clip(0, 1)).astype(np.float32)


def soft_cover(known: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """1 within the picture, falling to 0 over SOFT pixels beside it."""
    import cv2

    beside = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.maximum(0, 1 - beside / SOFT).astype(np.float32)
