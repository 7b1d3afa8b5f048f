"""Motion of Gaussians by a few shared bones and linear-blend skinning."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32

from img2world.core.checks import check_finite, check_shapes
from img2world.core.rotation import matrix_from_quat, quat_from_matrix, quat_product, slerp


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Bones that move rigidly between keyframes, the weights of each Gaussian's bones, and when each is to be seen.

    What stands still belongs to a bone that does.
    """

    key_times: Float64[np.ndarray, "T"]
    """Seconds, strictly ascending."""
    bone_pivots: Float32[np.ndarray, "B 3"]
    """Where each bone is at rest; it turns about this point."""
    bone_quats: Float32[np.ndarray, "B T 4"]
    """wxyz, the rotation of each bone from rest."""
    bone_translations: Float32[np.ndarray, "B T 3"]
    """Way of each pivot from rest."""
    bone_indices: Int32[np.ndarray, "N 4"]
    bone_weights: Float32[np.ndarray, "N 4"]
    """Weights of those bones; they sum to one for each Gaussian."""
    windows: Float32[np.ndarray, "N 2"] | None = None
    """Seconds at which each Gaussian is half there and half gone; None when all are there all the time."""

    def __post_init__(self) -> None:
        check_shapes(
            key_times=(self.key_times, "T"),
            bone_pivots=(self.bone_pivots, "B 3"),
            bone_quats=(self.bone_quats, "B T 4"),
            bone_translations=(self.bone_translations, "B T 3"),
            bone_indices=(self.bone_indices, "N 4"),
            bone_weights=(self.bone_weights, "N 4"),
        )
        check_finite(times=self.key_times, pivots=self.bone_pivots, weights=self.bone_weights)
        check_finite(quats=self.bone_quats, translations=self.bone_translations)
        if (np.diff(self.key_times) <= 0).any():
            raise ValueError("key_times must be strictly ascending")
        if self.windows is not None:
            check_shapes(bone_weights=(self.bone_weights, "N 4"), windows=(self.windows, "N 2"))
            check_finite(windows=self.windows)

    @property
    def fade(self) -> float:
        """Seconds in which a Gaussian appears or disappears: the median time between two keys, one if there is one."""
        return float(np.median(np.diff(self.key_times))) if len(self.key_times) > 1 else 1.0

    def select(self, index: np.ndarray | slice) -> "Motion":
        """Return the motion of some of the Gaussians, by index or mask."""
        return replace(
            self,
            bone_indices=self.bone_indices[index],
            bone_weights=self.bone_weights[index],
            windows=None if self.windows is None else self.windows[index],
        )

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "Motion":
        """Return the motion of the Gaussians in another frame, which a similarity leads to."""
        matrix = target_from_source.astype(np.float64)
        turn = quat_from_matrix(matrix[:3, :3] / np.cbrt(np.linalg.det(matrix[:3, :3])))
        inverse = turn * np.array([1, -1, -1, -1])
        return replace(
            self,
            bone_pivots=(self.bone_pivots @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32),
            bone_quats=quat_product(quat_product(turn, self.bone_quats), inverse).astype(np.float32),
            bone_translations=(self.bone_translations @ matrix[:3, :3].T).astype(np.float32),
        )

    def bones_at(self, time: float) -> Float64[np.ndarray, "B 4 4"]:
        """Return the rigid transform of each bone at a time in seconds, clamped to the first and last key."""
        place = float(np.interp(time, self.key_times, np.arange(len(self.key_times))))
        low = min(int(place), max(len(self.key_times) - 2, 0))
        high, fraction = min(low + 1, len(self.key_times) - 1), place - low
        start, end = matrix_from_quat(self.bone_quats[:, low]), matrix_from_quat(self.bone_quats[:, high])
        transforms = np.tile(np.eye(4), (len(start), 1, 1))
        transforms[:, :3, :3] = slerp(start, end, np.full(len(start), fraction))
        shifts = (1 - fraction) * self.bone_translations[:, low] + fraction * self.bone_translations[:, high]
        pivots = self.bone_pivots.astype(np.float64)
        transforms[:, :3, 3] = pivots + shifts - np.einsum("bij,bj->bi", transforms[:, :3, :3], pivots)
        return transforms

    def presence(self, time: float) -> Float32[np.ndarray, "N"]:
        """Return the factor of each Gaussian's opacity at a time in seconds, 0 to 1; a change takes a `fade`."""
        if self.windows is None:
            return np.ones(len(self.bone_weights), np.float32)
        begin, end = self.windows.T.astype(np.float64)
        appeared, left = (((time - begin) / self.fade + 0.5).clip(0, 1), ((end - time) / self.fade + 0.5).clip(0, 1))
        return (appeared * left).astype(np.float32)

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
