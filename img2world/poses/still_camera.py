"""One camera that stands still before something that moves: 2.5D, with the depth that a network predicts.

Nothing in such a video tells depth or what is behind. The network sees the first picture alone; the result can be
looked at from a few degrees to the side.
"""

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.core.conventions import INPUT_DISTANCE
from img2world.core.frames import Frames
from img2world.core.pose_report import PoseReport
from img2world.core.views import Views
from img2world.depth.guided_filter import upsampled
from img2world.depth.predict import predict_scene
from img2world.tracking.flow import prepare_gray_frames, track_by_flow
from img2world.tracking.object_masks import object_masks
from img2world.tracking.stillness import MAX_STILL, still_share

FOV = np.radians(55.0)
"""Horizontal field of view of a lens that nothing tells, as for photos."""

MIN_MOTION = 0.012
"""Diagonals of the picture that half of the points move by if the camera does."""

MAX_POINTS = 30_000

DEPTHS = (0.2, 8.0)
"""Least and largest depth, relative to the median."""

SOLVER = "still camera, 2.5D"

REASON = (
    "2.5D: the camera stands still, so that one side alone was seen, and the depth is what a network expects of the "
    "first picture"
)


def camera_stands_still(frames: Frames) -> bool:
    """Tell whether the camera of a video of a scene stands still, whatever moves; an object alone tells nothing."""
    if object_masks(frames) is not None:
        return False
    height, width = frames.rgb.shape[1:3]
    tracks = track_by_flow(prepare_gray_frames(frames.rgb, None, frames.mask), closed=False)
    if still_share(tracks, width) > MAX_STILL:
        return True
    if not len(tracks):
        return False
    last = tracks.starts + tracks.lengths - 1
    moved = np.linalg.norm(tracks.xy[last] - tracks.xy[tracks.starts], axis=1)
    return bool(np.median(moved) < MIN_MOTION * np.hypot(height, width))


def still_camera_views(frames: Frames) -> Views:
    """Return the frames with one camera for all, their times and points by the depth of the first, graded D.

    Raises MissingPackageError when the weights of the network are missing.
    """
    count, height, width = frames.rgb.shape[:3]
    pose = np.eye(4, dtype=np.float32)
    pose[2, 3] = -INPUT_DISTANCE
    focal = None if frames.focals is None or not frames.focals[0] else float(frames.focals[0])
    fov = FOV if focal is None else 2 * np.arctan(0.5 * width / focal)
    cameras = Cameras(
        world_from_cam=np.repeat(pose[None], count, 0),
        intrinsics=np.repeat(intrinsics_from_fov(float(fov), width, height)[None], count, 0),
        width=width,
        height=height,
    )
    depth = predicted_depth(frames.rgb[0])
    step = max(1, round(np.sqrt(height * width / MAX_POINTS)))
    row, column = (axis.ravel() for axis in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    rays = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1) @ np.linalg.inv(cameras.intrinsics[0]).T
    points = rays * depth[row, column, None] + pose[:3, 3]
    return Views(
        rgb=frames.rgb,
        mask=frames.mask,
        cameras=cameras,
        confidence=np.full(count, 0.1, np.float32),
        points=points.astype(np.float32),
        point_colors=frames.rgb[0, row, column],
        solver=SOLVER,
        times=frames.times,
        report=PoseReport(
            solver=SOLVER,
            grade="D",
            reasons=(REASON,),
            frames=tuple(range(count)),
            total=count,
            tracks=0,
            heldout_px=0.0,
            inlier_share=0.0,
            parallax_deg=0.0,
            focal_at_limit=False,
        ),
    )


def predicted_depth(rgb: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """Return the depth that the embedded network expects of a picture, with a median of INPUT_DISTANCE."""
    depth = upsampled(1 / np.maximum(predict_scene(rgb).inverse_depth, 1e-3), rgb)
    return (INPUT_DISTANCE * np.clip(depth / np.median(depth), *DEPTHS)).astype(np.float32)
