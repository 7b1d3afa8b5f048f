"""The Gaussians of a splat scene."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32

from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.rotation import quat_from_matrix, quat_product
from img2world.core.sh import rotate_sh, sh_degree


@dataclass(frozen=True, kw_only=True)
class Gaussians:
    """Anisotropic Gaussians in the stored form of 3D Gaussian splatting (Kerbl et al. 2023)."""

    means: Float32[np.ndarray, "N 3"]
    quats: Float32[np.ndarray, "N 4"]
    """wxyz, of any length but zero."""
    log_scales: Float32[np.ndarray, "N 3"]
    """Natural logarithm of the standard deviations, in world units."""
    logit_opacities: Float32[np.ndarray, "N"]
    sh: Float32[np.ndarray, "N K 3"]

    def __post_init__(self) -> None:
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        check_shapes(
            means=(self.means, "N 3"),
            quats=(self.quats, "N 4"),
            log_scales=(self.log_scales, "N 3"),
            logit_opacities=(self.logit_opacities, "N"),
            sh=(self.sh, "N K 3"),
        )
        check_dtypes(**{name: (array, np.float32) for name, array in arrays.items()})
        check_finite(**arrays)
        sh_degree(self.sh.shape[1])

    def __len__(self) -> int:
        return len(self.means)

    @property
    def opacities(self) -> Float32[np.ndarray, "N"]:
        """Opacities, 0 to 1."""
        # Unlike exp, tanh does not overflow for large logits.
        return 0.5 + 0.5 * np.tanh(0.5 * self.logit_opacities)

    @property
    def scales(self) -> Float32[np.ndarray, "N 3"]:
        """Standard deviations in world units."""
        return np.exp(self.log_scales)

    def select(self, index: np.ndarray | slice) -> "Gaussians":
        """Return some of the Gaussians, by index or mask."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def transformed(self, target_from_source: Float32[np.ndarray, "4 4"]) -> "Gaussians":
        """Return the Gaussians rotated, translated and uniformly scaled, with their colours rotated accordingly.

        Raises ValueError when the matrix is anything else than a rotation, one positive scale and a translation: a
        mirrored Gaussian has no quaternion.
        """
        linear = target_from_source[:3, :3].astype(np.float64)
        scale = np.cbrt(np.linalg.det(linear))
        if scale <= 0 or not np.allclose(linear @ linear.T, scale**2 * np.eye(3), atol=1e-4 * scale**2):
            raise ValueError("the transform mirrors, shears or scales unevenly; needs a rotation and one scale")
        rotation = linear / scale
        return type(self)(
            means=(self.means @ linear.T + target_from_source[:3, 3]).astype(np.float32),
            quats=quat_product(quat_from_matrix(rotation), self.quats).astype(np.float32),
            log_scales=self.log_scales + np.float32(np.log(scale)),
            logit_opacities=self.logit_opacities,
            sh=rotate_sh(self.sh, rotation),
        )

    def flipped(self, signs: Sequence[int]) -> "Gaussians":
        """Return the Gaussians in a world whose axes point the other way where a sign is -1: exact to the last bit.

        Unlike `transformed` this also mirrors: an ellipsoid is its own mirror image along its own axes.
        """
        x, y, z = signs
        return type(self)(
            means=self.means * np.array(signs, np.float32),
            quats=self.quats * np.array([1, y * z, x * z, x * y], np.float32),
            log_scales=self.log_scales,
            logit_opacities=self.logit_opacities,
            sh=rotate_sh(self.sh, np.diag(np.array(signs, np.float64))),
        )
