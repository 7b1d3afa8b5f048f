"""Camera parameters in the form that the solvers optimise."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from img2world.core.cameras import Cameras


@dataclass(frozen=True, kw_only=True)
class CameraParameters:
    """Pinhole cameras in float64, with poses from world to camera."""

    cam_from_world: Float64[np.ndarray, "V 3 4"]
    focal: Float64[np.ndarray, "V 2"]
    """Focal lengths along x and y, in pixels."""
    principal_point: Float64[np.ndarray, "V 2"]
    """In pixels; the centre of the first pixel is (0.5, 0.5)."""

    def __len__(self) -> int:
        return len(self.cam_from_world)

    @classmethod
    def from_cameras(cls, cameras: Cameras) -> "CameraParameters":
        """Convert cameras of the package's own form."""
        return cls(
            cam_from_world=cameras.cam_from_world[:, :3].astype(np.float64),
            focal=cameras.intrinsics[:, [0, 1], [0, 1]].astype(np.float64),
            principal_point=cameras.intrinsics[:, :2, 2].astype(np.float64),
        )

    @property
    def rotations(self) -> Float64[np.ndarray, "V 3 3"]:
        """Rotations from world to camera."""
        return self.cam_from_world[:, :, :3]

    @property
    def centers(self) -> Float64[np.ndarray, "V 3"]:
        """Camera centres in the world."""
        return -np.einsum("vji,vj->vi", self.rotations, self.cam_from_world[:, :, 3])

    @property
    def world_from_cam(self) -> Float64[np.ndarray, "V 4 4"]:
        """Poses from camera to world."""
        poses = np.tile(np.eye(4), (len(self), 1, 1))
        poses[:, :3, :3] = self.rotations.transpose(0, 2, 1)
        poses[:, :3, 3] = self.centers
        return poses

    def to_cameras(self, width: int, height: int) -> Cameras:
        """Convert to the package's own form, for pictures of the given size in pixels."""
        intrinsics = np.tile(np.eye(3), (len(self), 1, 1))
        intrinsics[:, [0, 1], [0, 1]] = self.focal
        intrinsics[:, :2, 2] = self.principal_point
        return Cameras(
            world_from_cam=self.world_from_cam.astype(np.float32),
            intrinsics=intrinsics.astype(np.float32),
            width=width,
            height=height,
        )
