"""Constants of the image formation that every rasterizer shares."""

LOW_PASS = 0.3
"""Added to both variances of a projected Gaussian, in px² (Kerbl et al. 2023): about one pixel wide."""

MIN_ALPHA = 1.0 / 255.0
"""Contributions below this are skipped."""

MAX_ALPHA = 0.999
"""Alpha is clipped here, so that what is behind always keeps a gradient."""

MIN_TRANSMITTANCE = 1e-4
"""Fast rasterizers stop where no more light than this comes through: at most this error in colour."""

JACOBIAN_MARGIN = 0.15
"""Fraction of the image size beyond its edge where the projection's Jacobian is clamped (gsplat: 0.3 tan(fov / 2))."""

FAR = 1e10
"""Nothing farther away than this is drawn."""

MAX_EXTENT = 1e6
"""Gaussians whose centre or standard deviation on the screen (pixels), or whose colour, exceeds this are
not drawn: float32 cannot hold their shape, and one NaN would spoil a whole training."""

MIN_QUAT_NORM = 1e-12
"""Quaternions shorter than this have no direction; such Gaussians are not drawn."""
