"""The picture from which a world is made."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from img2world.core.checks import check_dtypes, check_shapes


@dataclass(frozen=True, kw_only=True)
class Image:
    """One picture, upright, in sRGB."""

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"] | None = None
    """The transparency of the file, 255 is opaque; None when it has none or is opaque everywhere."""
    focal: float | None = None
    """Focal length in pixels of this picture, if its EXIF data have it."""

    def __post_init__(self) -> None:
        check_shapes(rgb=(self.rgb, "H W 3"), **({} if self.alpha is None else {"alpha": (self.alpha, "H W")}))
        check_dtypes(rgb=(self.rgb, np.uint8))

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.rgb.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.rgb.shape[1]
