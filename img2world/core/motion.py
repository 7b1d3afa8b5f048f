"""Motion of Gaussians by a few shared bones and linear-blend skinning."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from img2world.core.checks import check_finite, check_shapes
from img2world.core.rotation import matrix_from_quat, quat_from_matrix, quat_product, slerp


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Bones that move rigidly between keyframes, and the weights of each Gaussian's bones."""

    key_times: Float64[np.ndarray, "T"]
    """Seconds, strictly ascending."""
    bone_quats: Float32[np.ndarray, "B T 4"]
    """wxyz, the rotation of each bone from its rest pose about the origin of the world."""
    bone_translations: Float32[np.ndarray, "B T 3"]
    bone_indices: Int32[np.ndarray, "N 4"]
    bone_weights: Float32[np.ndarray, "N 4"]
    """Weights of those bones; they sum to one for each Gaussian."""

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
            raise ValueError("key_times must be strictly ascending")

    def bones_at(self, time: float) -> Float64[np.ndarray, "B 4 4"]:
        """Return the rigid transform of each bone at a time in seconds, clamped to the first and last key."""
        place = float(np.interp(time, self.key_times, np.arange(len(self.key_times))))
        low = min(int(place), max(len(self.key_times) - 2, 0))
        high, fraction = min(low + 1, len(self.key_times) - 1), place - low
        start, end = matrix_from_quat(self.bone_quats[:, low]), matrix_from_quat(self.bone_quats[:, high])
        transforms = np.tile(np.eye(4), (len(start), 1, 1))
        transforms[:, :3, :3] = slerp(start, end, np.full(len(start), fraction))
        moves = self.bone_translations
        transforms[:, :3, 3] = (1 - fraction) * moves[:, low] + fraction * moves[:, high]
        return transforms

    def move(
        self, means: Float32[np.ndarray, "N 3"], quats: Float32[np.ndarray, "N 4"], time: float
    ) -> tuple[Float32[np.ndarray, "N 3"], Float32[np.ndarray, "N 4"]]:
        """Return the means and quaternions at a time in seconds, by linear-blend skinning.

        The rotation of a Gaussian is the normalized mean of those of its bones, which shaders can evaluate, too.
        """
        bones = self.bones_at(time)
        weights = self.bone_weights.astype(np.float64)
        blended = np.einsum("nk,nkij->nij", weights, bones[self.bone_indices])  # [N, 4, 4]
        moved = np.einsum("nij,nj->ni", blended[:, :3, :3], means) + blended[:, :3, 3]
        turns = quat_from_matrix(bones[:, :3, :3])[self.bone_indices]  # [N, 4, 4]
        # A quaternion and its negative are the same rotation; summed up, they must not cancel out.
        signs = np.where(np.einsum("nkq,nq->nk", turns, turns[:, 0]) < 0, -1.0, 1.0)
        turned = quat_product(np.einsum("nk,nkq->nq", weights * signs, turns), quats)
        turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        return moved.astype(np.float32), turned.astype(np.float32)
