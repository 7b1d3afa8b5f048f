"""What a picture does not show, as far as it can be told: the embedded network's mean of what may be there."""

import numpy as np
from jaxtyping import Bool, Float32

from img2world.depth.predict import run_network, working_size
from img2world.layered.inpaint import fill_smooth

WEIGHTS = "nano/nano_outpaint.safetensors"
"""Of the network that guesses depth, trained for this alone; of its maps only the colours are used."""

TRUST = 0.6
"""Share of what the network draws in what is used: it is too sure of itself about places unlike the made ones."""

SOFT = 3.0
"""Pixels of the network's picture over which what it draws sets in."""


def outpainted(rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """The picture, 0 to 1, where it is known, and what may be beside that and within; smooth, without grain.

    Raises MissingPackageError when the weights are not there.
    """
    import cv2

    from img2world.depth.network import Channel

    smooth = fill_smooth(rgb, known)
    height, width = known.shape
    size = working_size(width, height)
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA)
    cover = soft_cover(cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5)
    maps, _, _ = run_network(WEIGHTS, small, cover, is_object=False)
    change = TRUST * maps[Channel.RGB].transpose(1, 2, 0) / 2 * (1 - cover[..., None])
    whole = smooth + cv2.resize(change, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(known[..., None], rgb, whole.clip(0, 1)).astype(np.float32)


def soft_cover(known: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """1 where the picture is known, falling to 0 over SOFT pixels beside that."""
    import cv2

    beside = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.maximum(0, 1 - beside / SOFT).astype(np.float32)
