"""Lenses of real cameras, with distortion, in COLMAP's camera models."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from img2world.core.errors import CameraError

MAX_SIDE = 1_000_000
"""Pixels. No picture is as wide or as high."""

PINHOLE, SIMPLE_PINHOLE = "PINHOLE", "SIMPLE_PINHOLE"


@dataclass(frozen=True, kw_only=True)
class Lens:
    """A lens and the size of the pictures that it takes, in pixels; the centre of the first is (0.5, 0.5)."""

    model: str
    """COLMAP's name of its camera model."""
    params: tuple[float, ...]
    """Parameters in COLMAP's order."""
    width: int
    height: int

    def __post_init__(self) -> None:
        if (
            not (0 < self.width < MAX_SIDE and 0 < self.height < MAX_SIDE)
            or not np.isfinite(self.params).all()
            or self.params[0] <= 0
        ):
            raise CameraError(
                f"a camera has size {self.width:g}x{self.height:g} and parameters {list(self.params)}",
                hint="size and focal length must be positive, and all numbers finite",
            )

    @property
    def is_pinhole(self) -> bool:
        """Tell whether the lens does not distort."""
        return self.model in (PINHOLE, SIMPLE_PINHOLE)

    @property
    def pinhole_intrinsics(self) -> Float32[np.ndarray, "3 3"]:
        """Intrinsics of a lens that does not distort."""
        assert self.is_pinhole, self.model
        focal_x, focal_y, x, y = self.params if self.model == PINHOLE else (self.params[0], *self.params)
        return np.array([[focal_x, 0, x], [0, focal_y, y], [0, 0, 1]], np.float32)

    @property
    def undistorted(self) -> "Lens":
        """A pinhole lens with the same focal lengths and principal point."""
        if self.is_pinhole:
            return self
        return replace(self, model=PINHOLE, params=self.params[:4])
