"""Outpaint and inpaint a picture with an embedded network, which predicts the mean of the plausible colors."""

import numpy as np
from jaxtyping import Bool, Float32

from img2world.depth.predict import run_network, working_size
from img2world.layered.inpaint import fill_smooth

WEIGHTS = "nano/nano_outpaint.safetensors"
"""The architecture of the depth network, trained for this alone; of its output maps only the colors are used."""

CHANGE_WEIGHT = 0.6
"""Weight of the network's change to the smooth fill: it is overconfident about scenes unlike the synthetic ones."""

FEATHER_WIDTH = 3.0
"""Pixels, in the network's resolution, over which its change fades in."""


def outpaint(rgb: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Fill the unknown pixels of a picture, 0 to 1, around and inside of the known ones; smooth, without grain.

    Known pixels keep their bits. Raises MissingPackageError when the weights are missing.
    """
    import cv2

    from img2world.depth.network import Channel

    smooth = fill_smooth(rgb, known)
    height, width = known.shape
    size = working_size(width, height)
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA)
    cover = feather(cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5)
    maps, _, _ = run_network(WEIGHTS, small, cover, is_object=False)
    change = CHANGE_WEIGHT * maps[Channel.RGB].transpose(1, 2, 0) / 2 * (1 - cover[..., None])
    filled = smooth + cv2.resize(change, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(known[..., None], rgb, filled.clip(0, 1)).astype(np.float32)


def feather(known: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """Return an alpha of 1 at known pixels that falls to 0 over FEATHER_WIDTH pixels outside of them."""
    import cv2

    distance = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.maximum(0, 1 - distance / FEATHER_WIDTH).astype(np.float32)
