"""The result of the video stage: pictures in time, with cameras and depth where they are known."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int, Int64, UInt8

from img2world.core.cameras import Cameras, load_cameras, save_cameras
from img2world.core.checks import check_dtypes, check_finite, check_shapes
from img2world.core.inventory import Inventory
from img2world.core.pictures import load_arrays, load_pictures, save_arrays, save_pictures, select_pictures

ARRAYS = (
    "times", "depth", "alpha", "seen", "mask", "sizes", "lenses", "focals", "locations", "points", "point_colors",
    "viewpoints",
)  # fmt: skip
"""Fields that are stored in frames.safetensors where they are known."""

FLAGS = ("ordered", "is_rendered", "is_timed")
MAPS = ("rgb", "depth", "alpha", "seen", "mask")
PER_FRAME = ("times", "sizes", "lenses", "focals", "locations", "viewpoints")
"""Fields with a value for each pixel, and those with one for each frame, where they are known."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Pictures in time order."""

    rgb: UInt8[np.ndarray, "V H W 3"]
    times: Float64[np.ndarray, "V"]
    """Seconds, in ascending order; equal times are allowed."""
    ordered: bool = True
    """False for a folder of photos, whose neighbours need not show the same part of the scene."""
    cameras: Cameras | None = None
    """The true cameras, if the backend knows them."""
    depth: Float32[np.ndarray, "V H W"] | None = None
    """Distance along +Z in world units, 0 where it is unknown."""
    alpha: UInt8[np.ndarray, "V H W"] | None = None
    """255 where the object is; None when the frames show a whole scene."""
    seen: UInt8[np.ndarray, "V H W"] | None = None
    """Origin of each pixel: 0 invented, 1 continued from its surroundings, 2 seen in the photo."""
    mask: UInt8[np.ndarray, "V H W"] | None = None
    """0 where a picture is to be ignored, as for a passer-by, else 255; None when all of it counts."""
    sizes: Int64[np.ndarray, "V 2"] | None = None
    """Width and height of each picture, which lies in the upper left corner of its frame and is masked elsewhere; None
    when each fills its frame."""
    lenses: Int64[np.ndarray, "V"] | None = None
    """Index of the lens that took each picture; None when one lens took all."""
    focals: Float64[np.ndarray, "V"] | None = None
    """Focal length of each picture by its metadata, in pixels, 0 where it is unknown."""
    locations: Float64[np.ndarray, "V 3"] | None = None
    """Place of each picture by its metadata, in metres east, north and up of the first; NaN where it is unknown."""
    points: Float32[np.ndarray, "P 3"] | None = None
    """Points of the scene in the world of the cameras, if they are known."""
    point_colors: UInt8[np.ndarray, "P 3"] | None = None
    inventory: Inventory | None = None
    """The files that became frames and those that did not, of frames that were just read from a folder."""
    selection: str = ""
    """Why only some frames of a video were taken, of frames that were just read from one; empty if all were."""
    is_rendered: bool = False
    """Rendered from known geometry, so that cameras and depth are exact by construction."""
    viewpoints: Int64[np.ndarray, "V"] | None = None
    """Index of the fixed camera that took each picture; None where one camera, which may move, took all."""
    is_timed: bool = False
    """True if the times are those of something that moves between the pictures, which may be in any order otherwise."""

    def __post_init__(self) -> None:
        check_shapes(rgb=(self.rgb, "V H W 3"), times=(self.times, "V"))
        check_dtypes(rgb=(self.rgb, np.uint8), times=(self.times, np.float64))
        check_finite(times=self.times)
        for name in ("depth", "alpha", "seen", "mask"):
            if (array := getattr(self, name)) is not None:
                check_shapes(rgb=(self.rgb, "V H W 3"), **{name: (array, "V H W")})
        for name, shape in {
            "sizes": "V 2",
            "lenses": "V",
            "focals": "V",
            "locations": "V 3",
            "viewpoints": "V",
        }.items():
            if (array := getattr(self, name)) is not None:
                check_shapes(rgb=(self.rgb, "V H W 3"), **{name: (array, shape)})
        if (self.points is None) != (self.point_colors is None):
            raise ValueError("points and their colours need each other")
        if self.points is not None and self.point_colors is not None:
            check_shapes(points=(self.points, "P 3"), point_colors=(self.point_colors, "P 3"))
            check_finite(points=self.points)
        if self.depth is not None:
            check_finite(depth=self.depth)
        if (
            self.cameras is not None
            and (len(self.cameras), self.cameras.height, self.cameras.width) != self.rgb.shape[:3]
        ):
            raise ValueError(f"{len(self.cameras)} cameras do not fit frames of shape {self.rgb.shape}")

    def __len__(self) -> int:
        return len(self.rgb)

    def select(self, index: Int[np.ndarray, "K"]) -> "Frames":
        """Return some of the frames, in the order of the index, with all points."""
        chosen = {name: array[index] for name in PER_FRAME if (array := getattr(self, name)) is not None}
        maps = {name: select_pictures(array, index) for name in MAPS if (array := getattr(self, name)) is not None}
        cameras = None if self.cameras is None else self.cameras.select(index)
        return replace(self, cameras=cameras, inventory=None, selection="", **chosen, **maps)

    def save(self, folder: Path) -> None:
        """Write PNGs, frames.safetensors and, where the cameras are known, cameras.json."""
        names = save_pictures(self.rgb, folder)
        maps = {name: getattr(self, name) for name in ARRAYS}
        flags = {name: np.array([getattr(self, name)]) for name in FLAGS}
        save_arrays({**maps, **flags}, folder / "frames.safetensors")
        if self.cameras is not None:
            save_cameras(self.cameras, folder / "cameras.json", names)

    @classmethod
    def load(cls, folder: Path) -> "Frames":
        """Read frames that `save` wrote, equal to the last bit."""
        arrays: dict[str, Any] = load_arrays(folder / "frames.safetensors")
        flags = {name: bool(arrays.pop(name)[0]) for name in FLAGS}
        rgb, _ = load_pictures(folder, [f"{i:04d}.png" for i in range(len(arrays["times"]))])
        path = folder / "cameras.json"
        cameras = load_cameras(path) if path.exists() else None
        return cls(rgb=rgb, cameras=cameras, **flags, **arrays)
