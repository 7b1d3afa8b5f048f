"""Cameras by COLMAP's incremental structure from motion (Schönberger and Frahm, CVPR 2016)."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8

from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.pictures import stack_pictures
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, PositiveInt, Range
from img2world.core.threads import usable_cores
from img2world.core.views import Views
from img2world.poses.second_opinion import has_known_lenses, with_second_opinion
from img2world.poses.sparse_model import SparseModel, views_from_model
from img2world.poses.validation import validate_views

TAKE_PHOTOS = "add photos from places in between: each must show half of what the one before it shows"
"""Hint where photos have too little in common."""

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in a grey picture (ITU-R BT.709), as in COLMAP."""


@dataclass(frozen=True, kw_only=True)
class ColmapPoses:
    """Structure from motion. It needs texture, overlap and a moving camera.

    Frames that are not placed are left out. The world is aligned with the first placed view, as
    `sparse_model.normalize_world` describes.
    """

    camera_model: Literal["auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"] = "auto"
    """COLMAP's camera model; auto is RADIAL for photos and SIMPLE_PINHOLE for the frames of a video."""
    max_features: PositiveInt = 4096
    """Features per photo. A frame of a video gets half as many, since there are more frames."""
    min_views: Annotated[int, Range(2)] = 3
    """Fewer placed frames are an error."""
    time_limit: NonNegativeFloat = 0.0
    """Seconds after which the frames that are placed by then are taken; 0 to go on as long as it takes."""

    def estimate(
        self,
        frames: Frames,
        trajectory: Cameras | None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        work: Path | None = None,
    ) -> Views:
        """Return the placed frames, undistorted; the trajectory is not used.

        Frames that no points but COLMAP's own confirm are left out. The last progress report has the fraction of
        placed frames and the mean reprojection error as `placed` and `error`. Features and matches are kept in the
        folder `work`, from where another call goes on. Raises PoseError when fewer than `min_views` frames are placed.
        """
        model = self.reconstruct(frames, seed=seed, progress=progress, work=work)
        placed, total = len(model.placed), len(frames)
        if placed < self.min_views:
            raise PoseError(
                f"COLMAP placed {placed} of {total} {'frames' if frames.ordered else 'photos'}, "
                f"needs at least {self.min_views}",
                hint="try --set poses.name=flow-colmap, or more frames with --set video.num_frames"
                if frames.ordered
                else TAKE_PHOTOS,
            )
        views = views_from_model(frames, model, solver="colmap")
        views = validate_views(
            views, model.tracks, ordered=frames.ordered, total=total, placed=model.placed, progress=progress
        )
        progress(total, total, placed=placed / total, error=float(model.point_errors.mean()))
        return with_second_opinion(views, ordered=frames.ordered, known_lens=has_known_lenses(frames))

    def reconstruct(
        self, frames: Frames, *, seed: int = 0, progress: Progress = silent, work: Path | None = None
    ) -> SparseModel:
        """Return COLMAP's model of the frames, in its own world. Raises PoseError when there is none."""
        if len(frames) < self.min_views:
            raise PoseError(
                f"there are {len(frames)} {'frames' if frames.ordered else 'photos'}, COLMAP needs at least "
                f"{self.min_views}",
                hint="raise video.num_frames" if frames.ordered else TAKE_PHOTOS,
            )
        camera_model = self.camera_model
        if camera_model == "auto":
            camera_model = "SIMPLE_PINHOLE" if frames.ordered else "RADIAL"
        with _folder(work) as folder:
            np.savez(folder / "pictures.npz", allow_pickle=False, **pictures_for_colmap(frames))
            options = {
                "folder": str(folder),
                "ordered": frames.ordered,
                "camera_model": camera_model,
                "seed": seed,
                "max_features": self.max_features // 2 if frames.ordered else self.max_features,
                "time_limit": self.time_limit,
                "num_threads": usable_cores(),
            }
            run_child("img2world.poses.colmap_process", options, error=PoseError, progress=progress)
            return SparseModel.load(folder / "model.npz")


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    """Provide the given folder, or a temporary one."""
    if work is None:
        with tempfile.TemporaryDirectory(prefix="img2world-") as name:
            yield Path(name)
    else:
        work.mkdir(parents=True, exist_ok=True)
        yield work


def pictures_for_colmap(frames: Frames) -> dict[str, np.ndarray]:
    """Return what COLMAP needs of the frames, as `colmap_process` describes it.

    Pictures of one lens and size have one camera, with the median of the focal lengths that their metadata tells.
    """
    count, height, width = frames.rgb.shape[:3]
    sizes = np.tile([width, height], (count, 1)) if frames.sizes is None else frames.sizes
    names = np.zeros(count, np.int64) if frames.lenses is None else frames.lenses
    kinds, lenses = np.unique(np.column_stack([names, sizes]), axis=0, return_inverse=True)
    lenses = lenses.reshape(-1)
    known = np.zeros(count) if frames.focals is None else np.where(frames.focals > 0, frames.focals, np.nan)
    focals = [np.nanmedian(each) if np.isfinite(each := known[lenses == i]).any() else 0.0 for i in range(len(kinds))]
    arrays = {
        "gray": stack_pictures((_gray(picture) for picture in frames.rgb), count),
        "masks": feature_masks(frames),
        "sizes": kinds[:, 1:].astype(np.int64),
        "focals": np.array(focals, np.float64),
        "lenses": lenses.astype(np.int64),
        "locations": frames.locations,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def _gray(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """Return the brightness of a picture."""
    return np.round(rgb @ np.array(LUMA, np.float32)).astype(np.uint8)


def feature_masks(frames: Frames) -> UInt8[np.ndarray, "V H W"] | None:
    """Return 0 where no features may be detected: off the object, and where pictures are to be ignored."""
    if frames.alpha is None or frames.mask is None:
        return frames.mask if frames.alpha is None else frames.alpha
    return np.minimum(frames.alpha, frames.mask)
