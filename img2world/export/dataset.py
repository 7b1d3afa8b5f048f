"""The views as a dataset for other programs: nerfstudio's transforms.json next to a COLMAP model.

    transforms.json  images/0000.png …  points.ply      nerfstudio (+Z up)
    sparse/0/cameras.txt, images.txt, points3D.txt      COLMAP, 3DGS, gsplat (our +Y down)

Sources: docs.nerf.studio, "Data conventions"; colmap.github.io, "Output Format", text form.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, UInt8

from img2world.core.cameras import cameras_from_transforms
from img2world.core.errors import ExportError
from img2world.core.gaussians import Gaussians
from img2world.core.metric import transformed_views
from img2world.core.packages import name_with_version
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeInt
from img2world.core.rotation import matrix_from_quat, quat_from_matrix
from img2world.core.scene import Scene
from img2world.core.sh import rgb_from_dc
from img2world.core.views import Views
from img2world.export.moving import gaussians_to_show


@dataclass(frozen=True, kw_only=True)
class DatasetExport:
    """dataset/: images, cameras and points for nerfstudio, COLMAP and Gaussian-splatting trainers."""

    max_points: NonNegativeInt = 50_000
    """Maximum number of points taken from the scene's Gaussians when the pose stage found none."""

    filename: ClassVar[str] = "dataset"

    def write(self, scene: Scene, views: Views, path: Path, *, progress: Progress = silent) -> dict[str, float | str]:
        """Write the folder, in metres where the scene's scale is known, and read it back.

        Returns the numbers of images, points and bytes. Raises ExportError when the folder is not empty or reads back
        wrong.
        """
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ExportError("the dataset's folder is not empty", hint=f"empty or move it ({path})")
        # Depth is left out: no reader of this layout uses it, and it is larger than all images together.
        views = replace(views, depth=None)
        if len(views.points) == 0:
            points, colors = points_from_gaussians(gaussians_to_show(scene), self.max_points)
            views = replace(views, points=points, point_colors=colors)
        views = transformed_views(views, scene.asset_from_world)
        views.save(path)
        progress(1, 3)
        write_colmap_model(views, path / "sparse" / "0")
        progress(2, 3)
        check_dataset(views, path)
        progress(3, 3)
        counts = {"images": float(len(views)), "points": float(len(views.points)), "bytes": float(_total_bytes(path))}
        return {**counts, "reader": name_with_version("img2world")}


def points_from_gaussians(
    gaussians: Gaussians, max_points: int
) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Return centres and colours of at most `max_points` evenly picked opaque Gaussians."""
    opaque = np.flatnonzero(gaussians.logit_opacities > 0)
    index = opaque[np.unique(np.linspace(0, len(opaque) - 1, min(max_points, len(opaque))).astype(int))]
    colors = np.round(255 * rgb_from_dc(gaussians.sh[index, 0]).clip(0, 1)).astype(np.uint8)
    return gaussians.means[index], colors


def write_colmap_model(views: Views, folder: Path) -> None:
    """Write cameras.txt, images.txt and points3D.txt, whose points have no tracks."""
    folder.mkdir(parents=True)
    cameras = views.cameras
    distinct, camera_ids = np.unique(cameras.intrinsics.reshape(-1, 9), axis=0, return_inverse=True)
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, fx, fy, cx, cy"]
    for i, intrinsics in enumerate(distinct.reshape(-1, 3, 3), start=1):
        values = intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].astype(float)
        lines.append(f"{i} PINHOLE {cameras.width} {cameras.height} {_text(values)}")
    _write_lines(lines, folder / "cameras.txt")
    cam_from_world = cameras.cam_from_world.astype(np.float64)
    quats = quat_from_matrix(cam_from_world[:, :3, :3])
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME; then its 2D points, here none"]
    for i, (quat, pose) in enumerate(zip(quats, cam_from_world, strict=True)):
        camera = int(camera_ids.reshape(-1)[i]) + 1
        lines += [f"{i + 1} {_text(quat)} {_text(pose[:3, 3])} {camera} {i:04d}.png", ""]
    _write_lines(lines, folder / "images.txt")
    lines = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK"]
    for i, (point, color) in enumerate(zip(views.points, views.point_colors, strict=True), start=1):
        lines.append(f"{i} {_text(point)} {color[0]} {color[1]} {color[2]} 0")
    _write_lines(lines, folder / "points3D.txt")


def _text(values: np.ndarray) -> str:
    """Return the numbers as text that reads back as the same bits."""
    return " ".join(repr(value) for value in values.tolist())


def _write_lines(lines: list[str], path: Path) -> None:
    """Write lines of text to a file."""
    path.write_text("\n".join(lines) + "\n")


def check_dataset(views: Views, folder: Path) -> None:
    """Compare the sizes of the images and both camera files with the views. Raises ExportError when they differ."""
    from PIL import Image as PillowImage

    transforms = json.loads((folder / "transforms.json").read_text())
    sizes = set()
    for frame in transforms["frames"]:
        with PillowImage.open(folder / frame["file_path"]) as image:
            sizes.add(image.size)
    nerfstudio = cameras_from_transforms(transforms)
    exact = np.array_equal(nerfstudio.world_from_cam, views.cameras.world_from_cam)
    poses, names = read_colmap_images(folder / "sparse" / "0" / "images.txt")
    error = np.abs(poses - views.cameras.cam_from_world).max() if len(poses) == len(views) else np.inf
    scale = max(1.0, float(np.abs(views.cameras.centers_in_world).max()))
    named = [f"images/{name}" for name in names] == [frame["file_path"] for frame in transforms["frames"]]
    if sizes != {(views.cameras.width, views.cameras.height)} or not exact or not error < 1e-4 * scale or not named:
        raise ExportError(
            f"the dataset reads back with images of size {sorted(sizes)}, {len(poses)} COLMAP cameras "
            f"that are off by {error:.1e}, and {'correct' if exact else 'wrong'} transforms",
            hint=f"check the disk and write it again ({folder})",
        )


def read_colmap_images(path: Path) -> tuple[Float[np.ndarray, "V 4 4"], list[str]]:
    """Return `cam_from_world` and the names of an images.txt whose images have no 2D points."""
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    numbers = np.array([row[1:8] for row in rows], np.float64).reshape(-1, 7)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = matrix_from_quat(numbers[:, :4]), numbers[:, 4:]
    return poses, [row[9] for row in rows]


def _total_bytes(folder: Path) -> int:
    """Return the total size of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
