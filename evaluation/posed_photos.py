"""Real scenes: photos with known cameras and depth, one of which is given and the others are the truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from evaluation.assets import AssetError
from evaluation.samples import Case, CaseSource
from evaluation.rendering import RenderedAsset
from img2world.core.cameras import Cameras
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.errors import Img2WorldError
from img2world.core.image import Image
from img2world.core.views import Views
from img2world.layered.layers import rays_in_cam

MIN_OVERLAP = 0.4
"""Of the photo's pixels that another view must have in its frame to be judged."""

NAME = "transforms.json"


def scene_folders(folder: Path) -> list[Path]:
    """Each `views/` of a run, or folder that `Views.save` wrote, at or below a folder.

    Raises AssetError when there is none.
    """
    found = sorted(path.parent for path in folder.rglob(NAME))
    if not found:
        raise AssetError(
            f"no posed photos are there: {folder}", hint="needs folders such as views/ of `img2world run photos/`"
        )
    return found


def scene_name(path: Path, folder: Path) -> str:
    """What a scene found at or below a folder is called."""
    return path.relative_to(folder.parent).as_posix().replace("/", "-")


def posed_photos(folder: Path) -> Views:
    """What `Views.save` wrote. Raises AssetError when it cannot be read."""
    try:
        return Views.load(folder)
    except (OSError, KeyError, TypeError, ValueError, Img2WorldError) as error:
        raise AssetError(f"posed photos cannot be read: {error} ({folder})", hint="make them again") from error


def scene_sources(folder: Path, size: int) -> list[CaseSource]:
    """The scenes of `scene_folders`; the first view of each is the photo."""
    sources = []
    for path in scene_folders(folder):
        name = scene_name(path, folder)
        sources.append(
            CaseSource(
                name=name, is_object=False, file=path, make=lambda path=path, name=name: scene_case(path, name, size)
            )
        )
    return sources


def scene_case(folder: Path, name: str, size: int) -> Case:
    """The photos of a folder, `size` pixels along the longer side, in the world of the first one's camera.

    The world's unit is the median depth of the first. Raises AssetError without depth, or when no other view
    sees what the first one does.
    """
    views = posed_photos(folder)
    if views.depth is None or not (views.depth[0] > 0).any():
        raise AssetError(f"the first view has no depth: {folder}", hint="depth tells the scale; give views.safetensors")
    truth = _shrunk(views, size)
    picture = _shrunk(views, 2 * size)
    unit = float(np.median(truth.depth[0][truth.depth[0] > 0]))
    truth, picture = (_placed(part, unit) for part in (truth, picture))
    shared = overlaps(truth) >= MIN_OVERLAP
    if not shared[1:].any():
        raise AssetError(f"no other view sees what the first does: {folder}", hint="begin with another view")
    truth = _selected(truth, np.flatnonzero(shared | (np.arange(len(shared)) == 0)))
    return Case(
        name=name,
        image=Image(rgb=picture.rgb[0], focal=float(picture.cameras.intrinsics[0, 0, 0])),
        is_object=False,
        photo=_selected(truth, np.array([0])),
        paths={"views": truth},
        radius=1.0,
    )


def overlaps(truth: RenderedAsset) -> Float32[np.ndarray, "V"]:
    """The share of the first view's pixels with depth that lie in each view's frame."""
    first = truth.cameras.select([0])
    points = (rays_in_cam(first) * truth.depth[0][..., None])[truth.depth[0] > 0]
    in_world = points @ first.world_from_cam[0, :3, :3].T + first.world_from_cam[0, :3, 3]
    shares = []
    for pose, intrinsics in zip(truth.cameras.cam_from_world, truth.cameras.intrinsics, strict=True):
        in_cam = in_world @ pose[:3, :3].T + pose[:3, 3]
        x, y = (in_cam @ intrinsics.T)[:, :2].T / np.maximum(in_cam[:, 2], 1e-6)
        inside: Bool[np.ndarray, "P"] = (
            (in_cam[:, 2] > 0) & (x >= 0) & (x < truth.cameras.width) & (y >= 0) & (y < truth.cameras.height)
        )
        shares.append(inside.mean())
    return np.array(shares, np.float32)


def _shrunk(views: Views, size: int) -> RenderedAsset:
    """The views with `size` pixels along the longer side, or their own where that is less."""
    import cv2

    assert views.depth is not None
    height, width = views.rgb.shape[1:3]
    scale = min(1.0, size / max(height, width))
    target = (max(16, round(width * scale)), max(16, round(height * scale)))
    return RenderedAsset(
        cameras=views.cameras.resized(*target),
        rgb=np.stack([cv2.resize(rgb, target, interpolation=cv2.INTER_AREA) for rgb in views.rgb]),
        alpha=np.full((len(views), target[1], target[0]), 255, np.uint8),
        # Between depths of two surfaces there is none.
        depth=np.stack([cv2.resize(depth, target, interpolation=cv2.INTER_NEAREST_EXACT) for depth in views.depth]),
    )


def _placed(truth: RenderedAsset, unit: float) -> RenderedAsset:
    """In the world of the first camera, which stands 1 unit before the origin, with `unit` as the new unit."""
    poses = truth.cameras.cam_from_world[0].astype(np.float64) @ truth.cameras.world_from_cam
    poses[:, :3, 3] /= unit
    poses[:, 2, 3] -= INPUT_DISTANCE
    cameras = replace(truth.cameras, world_from_cam=poses.astype(np.float32))
    return replace(truth, cameras=cameras, depth=(truth.depth / np.float32(unit)).astype(np.float32))


def _selected(truth: RenderedAsset, index: np.ndarray) -> RenderedAsset:
    """Some of the views."""
    cameras: Cameras = truth.cameras.select(index)
    return replace(truth, cameras=cameras, rgb=truth.rgb[index], alpha=truth.alpha[index], depth=truth.depth[index])
