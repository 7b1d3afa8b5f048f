"""The result of the pose stage: pictures with their cameras."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from img2world.core.cameras import Cameras, cameras_from_transforms, transforms_from_cameras
from img2world.core.checks import check_finite, check_shapes
from img2world.core.conventions import Z_UP_FROM_WORLD
from img2world.core.pictures import load_arrays, load_masks, load_pictures, save_arrays, save_pictures, select_pictures
from img2world.core.ply import read_ply, write_ply
from img2world.core.pose_report import PoseReport

MAPS = ("depth", "alpha", "mask", "moving")
"""Fields with a value for each pixel, where they are known."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """Pictures with cameras, and sparse points of the scene."""

    rgb: UInt8[np.ndarray, "V H W 3"]
    cameras: Cameras
    confidence: Float32[np.ndarray, "V"]
    """Confidence in each camera, 0 to 1."""
    points: Float32[np.ndarray, "P 3"]
    """Sparse points in the world; may be empty if there is depth."""
    point_colors: UInt8[np.ndarray, "P 3"]
    solver: str
    """Name of the pose backend that found the cameras."""
    depth: Float32[np.ndarray, "V H W"] | None = None
    """Distance along +Z in world units, 0 where it is unknown."""
    alpha: UInt8[np.ndarray, "V H W"] | None = None
    """255 where the object is; None when the views show a whole scene."""
    mask: UInt8[np.ndarray, "V H W"] | None = None
    """0 where a picture is to be ignored, as for a passer-by, else 255; None when all of it counts."""
    moving: UInt8[np.ndarray, "V H W"] | None = None
    """255 where a picture shows something that moves by itself, which may be masked; None where that is not known."""
    times: Float64[np.ndarray, "V"] | None = None
    """Seconds at which the views were taken, where something moves between them; None where all show the same."""
    report: PoseReport | None = None
    """Reliability of the cameras; None if they are known exactly, or the solver does not grade them."""

    def __post_init__(self) -> None:
        check_shapes(rgb=(self.rgb, "V H W 3"), confidence=(self.confidence, "V"))
        check_shapes(points=(self.points, "P 3"), point_colors=(self.point_colors, "P 3"))
        check_finite(confidence=self.confidence, points=self.points)
        for name in MAPS:
            if (array := getattr(self, name)) is not None:
                check_shapes(rgb=(self.rgb, "V H W 3"), **{name: (array, "V H W")})
        if self.times is not None:
            check_shapes(rgb=(self.rgb, "V H W 3"), times=(self.times, "V"))
            check_finite(times=self.times)
        if (len(self.cameras), self.cameras.height, self.cameras.width) != self.rgb.shape[:3]:
            raise ValueError(f"{len(self.cameras)} cameras do not fit views of shape {self.rgb.shape}")

    def __len__(self) -> int:
        return len(self.rgb)

    def select(self, index: Int[np.ndarray, "K"]) -> "Views":
        """Return some of the views, in the order of the index, with all points, without the report on all views."""
        maps = {name: getattr(self, name) for name in MAPS}
        return replace(
            self,
            rgb=select_pictures(self.rgb, index),
            cameras=self.cameras.select(index),
            confidence=self.confidence[index],
            times=None if self.times is None else self.times[index],
            report=None,
            **{name: None if array is None else select_pictures(array, index) for name, array in maps.items()},
        )

    def with_moving_part(self) -> "Views":
        """Return the views for a reconstruction of what moves, in which that counts although it was masked."""
        if self.mask is None or self.moving is None:
            return self
        return replace(self, mask=np.maximum(self.mask, self.moving))

    def save(self, folder: Path) -> None:
        """Write a nerfstudio dataset (transforms.json, images/, masks/, points.ply) and views.safetensors."""
        names = save_pictures(self.rgb, folder / "images", self.alpha)
        transforms = transforms_from_cameras(self.cameras, [f"images/{name}" for name in names])
        transforms["ply_file_path"] = "points.ply"
        if self.mask is not None:
            masks = save_pictures(self.mask, folder / "masks")
            for frame, mask in zip(transforms["frames"], masks, strict=True):
                frame["mask_path"] = f"masks/{mask}"
        if self.moving is not None:
            moving = save_pictures(self.moving, folder / "moving")
            for frame, name in zip(transforms["frames"], moving, strict=True):
                frame["moving_path"] = f"moving/{name}"
        if self.times is not None:
            for frame, time in zip(transforms["frames"], self.times.tolist(), strict=True):
                frame["time"] = time
        transforms["solver"] = self.solver
        if self.report is not None:
            transforms["pose_report"] = self.report.as_json()
        (folder / "transforms.json").write_text(json.dumps(transforms, indent=1) + "\n")
        save_arrays(
            {"confidence": self.confidence, "depth": self.depth, "times": self.times}, folder / "views.safetensors"
        )
        # nerfstudio expects the points in the axes of transforms.json.
        points = (self.points @ Z_UP_FROM_WORLD[:3, :3].T).astype(np.float32)
        columns = {axis: points[:, i] for i, axis in enumerate("xyz")}
        colors = {name: self.point_colors[:, i] for i, name in enumerate(["red", "green", "blue"])}
        write_ply({**columns, **colors}, folder / "points.ply")

    @classmethod
    def load(cls, folder: Path) -> "Views":
        """Read views that `save` wrote, equal to the last bit."""
        transforms = json.loads((folder / "transforms.json").read_text())
        rgb, alpha = load_pictures(folder, [frame["file_path"] for frame in transforms["frames"]])
        masks, moving = (
            [frame[key] for frame in transforms["frames"] if key in frame] for key in ("mask_path", "moving_path")
        )
        columns = read_ply(folder / "points.ply")
        return cls(
            rgb=rgb,
            alpha=alpha,
            mask=load_masks(folder, masks) if masks else None,
            moving=load_masks(folder, moving) if moving else None,
            cameras=cameras_from_transforms(transforms),
            points=(np.stack([columns[axis] for axis in "xyz"], -1) @ Z_UP_FROM_WORLD[:3, :3]).astype(np.float32),
            point_colors=np.stack([columns[name] for name in ("red", "green", "blue")], -1),
            solver=transforms["solver"],
            report=PoseReport.from_json(transforms["pose_report"]) if "pose_report" in transforms else None,
            **load_arrays(folder / "views.safetensors"),
        )
