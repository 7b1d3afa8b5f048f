"""How Gaussians move: a few shared bones, and weights that say which Gaussian follows which."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from img2world.core.checks import check_finite, check_shapes
from img2world.core.rotation import matrix_from_quat, multiply_quats, quat_from_matrix, slerp


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Bones moving rigidly between keyframes, and linear-blend skinning of the Gaussians."""

    key_times: Float64[np.ndarray, "T"]
    """Seconds, rising."""
    bone_quats: Float32[np.ndarray, "B T 4"]
    """wxyz, the turn of each bone from the rest pose, about the world's origin."""
    bone_translations: Float32[np.ndarray, "B T 3"]
    bone_indices: Int32[np.ndarray, "N 4"]
    bone_weights: Float32[np.ndarray, "N 4"]
    """Sum to one for each Gaussian."""

    def __post_init__(self) -> None:
        check_shapes(
            key_times=(self.key_times, "T"),
            bone_quats=(self.bone_quats, "B T 4"),
            bone_translations=(self.bone_translations, "B T 3"),
            bone_indices=(self.bone_indices, "N 4"),
            bone_weights=(self.bone_weights, "N 4"),
        )
        check_finite(times=self.key_times, quats=self.bone_quats, weights=self.bone_weights)
        if (np.diff(self.key_times) <= 0).any():
            raise ValueError("key_times must rise")

    def bones_at(self, time: float) -> Float64[np.ndarray, "B 4 4"]:
        """Rigid transform of each bone at a time in seconds; held before the first and after the last key."""
        place = float(np.interp(time, self.key_times, np.arange(len(self.key_times))))
        low = min(int(place), max(len(self.key_times) - 2, 0))
        high, share = min(low + 1, len(self.key_times) - 1), place - low
        transforms = np.tile(np.eye(4), (len(self.bone_quats), 1, 1))
        for bone, (quats, moves) in enumerate(zip(self.bone_quats, self.bone_translations, strict=True)):
            quat = slerp(quats[low].astype(np.float64), quats[high].astype(np.float64), share)
            transforms[bone, :3, :3] = matrix_from_quat(quat)
            transforms[bone, :3, 3] = (1 - share) * moves[low] + share * moves[high]
        return transforms

    def move(
        self, means: Float32[np.ndarray, "N 3"], quats: Float32[np.ndarray, "N 4"], time: float
    ) -> tuple[Float32[np.ndarray, "N 3"], Float32[np.ndarray, "N 4"]]:
        """Where the Gaussians are at a time, by linear-blend skinning of positions and turns."""
        bones = self.bones_at(time)
        blended = np.einsum("nk,nkij->nij", self.bone_weights, bones[self.bone_indices])  # [N, 4, 4]
        moved = np.einsum("nij,nj->ni", blended[:, :3, :3], means) + blended[:, :3, 3]
        # A blend of rotations is not one; the nearest rotation is its polar factor.
        u, _, vt = np.linalg.svd(blended[:, :3, :3])
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        unit = quats / np.linalg.norm(quats, axis=1, keepdims=True)
        turned = multiply_quats(quat_from_matrix(u @ vt), unit)
        return moved.astype(np.float32), turned.astype(np.float32)
