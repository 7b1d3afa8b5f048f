"""Cameras by COLMAP's incremental structure from motion (Schönberger and Frahm, CVPR 2016)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8

from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.pictures import save_pictures
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, PositiveInt, Range
from img2world.core.threads import usable_cores
from img2world.core.views import Views
from img2world.poses.sparse_model import SparseModel, views_from_model
from img2world.poses.validation import validate_views


@dataclass(frozen=True, kw_only=True)
class ColmapPoses:
    """Structure from motion. It needs texture, overlap, a moving camera and the same lens for all frames.

    Frames that are not placed are left out. The world is aligned with the first placed view, as
    `sparse_model.normalize_world` describes.
    """

    camera_model: Literal["auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"] = "auto"
    """COLMAP's camera model; auto is RADIAL for photos and SIMPLE_PINHOLE for the frames of a video."""
    max_features: PositiveInt = 4096
    """Features per photo. A frame of a video gets half as many, since there are more frames."""
    min_views: Annotated[int, Range(2)] = 3
    """Fewer placed frames are an error."""
    time_limit: NonNegativeFloat = 3600.0
    """Seconds after which COLMAP is stopped."""

    def estimate(
        self, frames: Frames, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Views:
        """Return the placed frames, undistorted; the trajectory is not used.

        Frames that no points but COLMAP's own confirm are left out. The last progress report has the fraction of
        placed frames and the mean reprojection error as `placed` and `error`. Raises PoseError when fewer than
        `min_views` frames are placed.
        """
        model = self.reconstruct(frames, seed=seed, progress=progress)
        placed, total = len(model.placed), len(frames)
        if placed < self.min_views:
            raise PoseError(
                f"COLMAP placed {placed} of {total} frames, needs at least {self.min_views}",
                hint="try --set poses.name=flow-colmap, or more frames with --set video.num_frames",
            )
        progress(total, total, placed=placed / total, error=float(model.point_errors.mean()))
        views = views_from_model(frames, model, solver="colmap")
        return validate_views(views, model.tracks, ordered=frames.ordered, total=total, placed=model.placed)

    def reconstruct(self, frames: Frames, *, seed: int = 0, progress: Progress = silent) -> SparseModel:
        """Return COLMAP's model of the frames, in its own world. Raises PoseError when there is none."""
        if len(frames) < self.min_views:
            raise PoseError(
                f"there are {len(frames)} frames, COLMAP needs at least {self.min_views}", hint="raise video.num_frames"
            )
        camera_model = self.camera_model
        if camera_model == "auto":
            camera_model = "SIMPLE_PINHOLE" if frames.ordered else "RADIAL"
        height, width = frames.rgb.shape[1:3]
        with tempfile.TemporaryDirectory(prefix="img2world-") as name:
            folder = Path(name)
            save_pictures(frames.rgb, folder / "images")
            if (masks := feature_masks(frames)) is not None:
                for mask in save_pictures(masks, folder / "masks"):
                    # COLMAP appends the suffix to the whole name of the image.
                    (folder / "masks" / mask).rename(folder / "masks" / f"{mask}.png")
            options = {
                "folder": name,
                "num_frames": len(frames),
                "ordered": frames.ordered,
                "camera_model": camera_model,
                "seed": seed,
                "width": width,
                "height": height,
                "max_features": self.max_features // 2 if frames.ordered else self.max_features,
                "num_threads": usable_cores(),
            }
            run_child(
                "img2world.poses.colmap_process",
                options,
                time_limit=self.time_limit,
                error=PoseError,
                progress=progress,
            )
            return SparseModel.load(folder / "model.npz")


def feature_masks(frames: Frames) -> UInt8[np.ndarray, "V H W"] | None:
    """Return 0 where no features may be detected: off the object, and where pictures are to be ignored."""
    if frames.alpha is None or frames.mask is None:
        return frames.mask if frames.alpha is None else frames.alpha
    return np.minimum(frames.alpha, frames.mask)
