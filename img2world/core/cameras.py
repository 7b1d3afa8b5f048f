"""Pinhole cameras, and transforms.json, the file they are stored in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.conventions import OPENCV_FROM_OPENGL, Z_UP_FROM_WORLD
from img2world.core.errors import CameraError
from img2world.core.transforms import FindSize, no_size, posed_pictures, read_json


@dataclass(frozen=True, kw_only=True)
class Cameras:
    """Pinhole cameras, one per view, with pictures of one size."""

    world_from_cam: Float32[np.ndarray, "V 4 4"]
    intrinsics: Float32[np.ndarray, "V 3 3"]
    """In pixels; the centre of the first pixel is (0.5, 0.5)."""
    width: int
    height: int

    def __post_init__(self) -> None:
        poses, intrinsics = self.world_from_cam, self.intrinsics
        check_shapes(world_from_cam=(poses, "V 4 4"), intrinsics=(intrinsics, "V 3 3"))
        check_dtypes(world_from_cam=(poses, np.float32), intrinsics=(intrinsics, np.float32))
        check_finite(world_from_cam=poses, intrinsics=intrinsics)
        rotation = poses[:, :3, :3]
        if not np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-3):
            raise CameraError(
                "a camera pose is not a rotation and a translation",
                hint="remove scale, shear and mirroring from the poses",
            )
        if (np.linalg.det(rotation) < 0).any():
            raise CameraError(
                "a camera pose is mirrored (its determinant is -1), so the world would be a mirror image",
                hint="negate one axis of the cameras, as their tool's documentation describes",
            )
        if self.width < 1 or self.height < 1 or (intrinsics[:, [0, 1], [0, 1]] <= 0).any():
            raise CameraError(
                f"cameras have size {self.width}x{self.height} and focal lengths {intrinsics[:, 0, 0].tolist()[:3]}",
                hint="size and focal lengths must be positive",
            )

    def __len__(self) -> int:
        return len(self.world_from_cam)

    def project(
        self, i: int, points: Float[np.ndarray, "P 3"], border: float = 0.0
    ) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P 2"], Bool[np.ndarray, "P"]]:
        """Return the depth along +Z of points in camera i, their pixels, and whether these lie inside the picture.

        `border` in pixels counts as inside, too. The pixels of points behind the camera mean nothing.
        """
        in_cam = points @ self.cam_from_world[i, :3, :3].T + self.cam_from_world[i, :3, 3]
        depth = in_cam[:, 2]
        pixels = (in_cam @ self.intrinsics[i].T)[:, :2] / np.where(depth > 0, depth, np.inf)[:, None]
        on_picture = (pixels > -border) & (pixels < [self.width + border, self.height + border])
        return depth, pixels, (depth > 0) & on_picture.all(1)

    @property
    def cam_from_world(self) -> Float32[np.ndarray, "V 4 4"]:
        """World to camera. Inverted as rigid transforms, so that no precision is lost."""
        inverse = np.zeros_like(self.world_from_cam)
        rotation = self.world_from_cam[:, :3, :3].transpose(0, 2, 1)
        inverse[:, :3, :3] = rotation
        inverse[:, :3, 3] = -np.einsum("vij,vj->vi", rotation, self.world_from_cam[:, :3, 3])
        inverse[:, 3, 3] = 1
        return inverse

    @property
    def centers_in_world(self) -> Float32[np.ndarray, "V 3"]:
        """Positions of the cameras in the world."""
        return self.world_from_cam[:, :3, 3]

    def transformed(self, target_from_source: Float[np.ndarray, "4 4"]) -> "Cameras":
        """Return the cameras in a world that is rotated, translated and uniformly scaled."""
        poses = target_from_source.astype(np.float64) @ self.world_from_cam
        poses[:, :3, :3] /= np.cbrt(np.linalg.det(target_from_source[:3, :3]))
        return replace(self, world_from_cam=poses.astype(np.float32))

    def select(self, index: slice | np.ndarray | list[int]) -> "Cameras":
        """Return some of the cameras, in the order of the index."""
        return replace(self, world_from_cam=self.world_from_cam[index], intrinsics=self.intrinsics[index])

    def resized(self, width: int, height: int) -> "Cameras":
        """Return the cameras of the same pictures scaled to another size."""
        scale = np.array([width / self.width, height / self.height, 1.0], np.float32)
        return replace(self, intrinsics=self.intrinsics * scale[:, None], width=width, height=height)


def concatenate_cameras(parts: Sequence["Cameras"]) -> "Cameras":
    """Concatenate cameras; the pictures of all must have the size of the first."""
    return replace(
        parts[0],
        world_from_cam=np.concatenate([part.world_from_cam for part in parts]),
        intrinsics=np.concatenate([part.intrinsics for part in parts]),
    )


def intrinsics_from_fov(fov_x: float, width: int, height: int) -> Float32[np.ndarray, "3 3"]:
    """Return the intrinsics of a centred camera with square pixels and a horizontal field of view in radians."""
    focal = 0.5 * width / np.tan(0.5 * fov_x)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)


def transforms_from_cameras(cameras: Cameras, image_paths: list[str]) -> dict:
    """Return the cameras as nerfstudio's transforms.json (OpenGL camera axes, +Z up world).

    Source: docs.nerf.studio, "Data conventions".
    """
    # The axes are only swapped and negated, so writing and reading back is exact.
    poses = Z_UP_FROM_WORLD @ cameras.world_from_cam.astype(np.float64) @ OPENCV_FROM_OPENGL
    frames = [
        {
            "file_path": path,
            "fl_x": float(intrinsics[0, 0]),
            "fl_y": float(intrinsics[1, 1]),
            "cx": float(intrinsics[0, 2]),
            "cy": float(intrinsics[1, 2]),
            "transform_matrix": pose.tolist(),
        }
        for path, intrinsics, pose in zip(image_paths, cameras.intrinsics, poses, strict=True)
    ]
    return {"camera_model": "PINHOLE", "w": cameras.width, "h": cameras.height, "frames": frames}


def cameras_from_transforms(transforms: dict[str, Any], find_size: FindSize = no_size) -> Cameras:
    """Return the cameras of a transforms.json of any dialect, without the distortion of its lenses.

    They are in the natural order of the pictures' names. Raises CameraError as `posed_pictures` does, and when the
    pictures differ in size.
    """
    pictures = posed_pictures(transforms, find_size)
    sizes = {(picture.lens.width, picture.lens.height) for picture in pictures}
    if len(sizes) != 1:
        raise CameraError(
            f"the camera file has {len(sizes)} picture sizes, needs one", hint="resize the pictures to one size"
        )
    width, height = sizes.pop()
    return Cameras(
        world_from_cam=np.stack([picture.world_from_cam for picture in pictures]).astype(np.float32),
        intrinsics=np.stack([picture.lens.undistorted.pinhole_intrinsics for picture in pictures]),
        width=width,
        height=height,
    )


def save_cameras(cameras: Cameras, path: Path, image_paths: list[str] | None = None) -> None:
    """Write cameras as a transforms.json; the images are named 0000.png and so on where no paths are given."""
    names = image_paths or [f"{i:04d}.png" for i in range(len(cameras))]
    path.write_text(json.dumps(transforms_from_cameras(cameras, names), indent=1) + "\n")


def load_cameras(path: Path) -> Cameras:
    """Read a transforms.json. Raises CameraError when it is not one."""
    return cameras_from_transforms(read_json(path))
