"""Real scenes: photos with known cameras and depth. The first one is given, the others are the ground truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from evaluation.assets import AssetError
from evaluation.rendering import RenderedViews
from evaluation.samples import Sample, SampleSource
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import Img2WorldError
from img2world.core.image import Image
from img2world.core.views import Views
from img2world.layered.layers import rays_in_cam

MIN_OVERLAP = 0.4
"""Least fraction of the photo's pixels that must be in the frame of another view for it to be compared."""

TRANSFORMS = "transforms.json"


def find_scene_folders(folder: Path) -> list[Path]:
    """Return the folders written by `Views.save`, such as `views/` of a run, at or below a folder.

    Raises AssetError when there are none.
    """
    found = sorted(path.parent for path in folder.rglob(TRANSFORMS))
    if not found:
        raise AssetError(
            f"no posed photos found: {folder}", hint="needs folders such as views/ of `img2world run photos/`"
        )
    return found


def scene_name(path: Path, folder: Path) -> str:
    """Return the name of a scene found at or below a folder."""
    return path.relative_to(folder.parent).as_posix().replace("/", "-")


def load_posed_photos(folder: Path) -> Views:
    """Read what `Views.save` wrote. Raises AssetError when it cannot be read."""
    try:
        return Views.load(folder)
    except (OSError, KeyError, TypeError, ValueError, Img2WorldError) as error:
        raise AssetError(
            f"posed photos cannot be read: {error} ({folder})", hint="write them again with Views.save"
        ) from error


def scene_sources(folder: Path, size: int) -> list[SampleSource]:
    """Return the scenes of `find_scene_folders`; the first view of each is the photo."""
    sources = []
    for path in find_scene_folders(folder):
        name = scene_name(path, folder)
        sources.append(
            SampleSource(
                name=name,
                is_object=False,
                file=path,
                make=lambda path=path, name=name: load_scene_sample(path, name, size),
            )
        )
    return sources


def load_scene_sample(folder: Path, name: str, size: int) -> Sample:
    """Return a scene with `size` pixels along the longer side, in the world of the photo's camera.

    The world's unit is the median depth of the photo. Raises AssetError without depth, or when no other view overlaps
    with the photo.
    """
    views = load_posed_photos(folder)
    if views.depth is None or not (views.depth[0] > 0).any():
        raise AssetError(
            f"the first view has no depth: {folder}", hint="depth determines the scale; needs views.safetensors"
        )
    truth = _downscale(views, size)
    large = _downscale(views, 2 * size)
    unit = float(np.median(truth.depth[0][truth.depth[0] > 0]))
    truth, large = (_normalize(images, unit) for images in (truth, large))
    shared = view_overlaps(truth) >= MIN_OVERLAP
    if not shared[1:].any():
        raise AssetError(f"no other view overlaps with the first: {folder}", hint="put another view first")
    truth = _select(truth, np.flatnonzero(shared | (np.arange(len(shared)) == 0)))
    return Sample(
        name=name,
        image=Image(rgb=large.rgb[0], focal=float(large.cameras.intrinsics[0, 0, 0])),
        is_object=False,
        photo=_select(truth, np.array([0])),
        paths={"views": truth},
        radius=1.0,
    )


def view_overlaps(truth: RenderedViews) -> Float32[np.ndarray, "V"]:
    """Return the fraction of the first view's pixels with depth that lie in each view's frame."""
    first = truth.cameras.select([0])
    points = (rays_in_cam(first) * truth.depth[0][..., None])[truth.depth[0] > 0]
    in_world = points @ first.world_from_cam[0, :3, :3].T + first.world_from_cam[0, :3, 3]
    fractions = []
    for pose, intrinsics in zip(truth.cameras.cam_from_world, truth.cameras.intrinsics, strict=True):
        in_cam = in_world @ pose[:3, :3].T + pose[:3, 3]
        x, y = (in_cam @ intrinsics.T)[:, :2].T / np.maximum(in_cam[:, 2], 1e-6)
        inside: Bool[np.ndarray, "P"] = (
            (in_cam[:, 2] > 0) & (x >= 0) & (x < truth.cameras.width) & (y >= 0) & (y < truth.cameras.height)
        )
        fractions.append(inside.mean())
    return np.array(fractions, np.float32)


def _downscale(views: Views, size: int) -> RenderedViews:
    """Return the views with at most `size` pixels along the longer side."""
    import cv2

    assert views.depth is not None
    height, width = views.rgb.shape[1:3]
    scale = min(1.0, size / max(height, width))
    target = (max(16, round(width * scale)), max(16, round(height * scale)))
    return RenderedViews(
        cameras=views.cameras.resized(*target),
        rgb=np.stack([cv2.resize(rgb, target, interpolation=cv2.INTER_AREA) for rgb in views.rgb]),
        alpha=np.full((len(views), target[1], target[0]), 255, np.uint8),
        # Depths of different surfaces must not be interpolated.
        depth=np.stack([cv2.resize(depth, target, interpolation=cv2.INTER_NEAREST_EXACT) for depth in views.depth]),
    )


def _normalize(truth: RenderedViews, unit: float) -> RenderedViews:
    """Return the views in the world of the first camera, one unit before the origin, with lengths divided by `unit`."""
    poses = truth.cameras.cam_from_world[0].astype(np.float64) @ truth.cameras.world_from_cam
    poses[:, :3, 3] /= unit
    poses[:, 2, 3] -= INPUT_DISTANCE
    cameras = replace(truth.cameras, world_from_cam=poses.astype(np.float32))
    return replace(truth, cameras=cameras, depth=(truth.depth / np.float32(unit)).astype(np.float32))


def _select(truth: RenderedViews, index: np.ndarray) -> RenderedViews:
    """Return some of the views."""
    cameras: Cameras = truth.cameras.select(index)
    return replace(truth, cameras=cameras, rgb=truth.rgb[index], alpha=truth.alpha[index], depth=truth.depth[index])
