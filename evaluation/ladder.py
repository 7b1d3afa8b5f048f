"""The oracle ladder: from a true video with true poses down to one photo, to see which stage loses quality.

All rungs are judged on the same views, which no rung has seen: between the cameras of the video, and above
and below them.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evaluation.assets import load_asset
from evaluation.samples import Case
from evaluation.video_backends import generate
from evaluation.placement import dynamic_poses, elevation_of, object_cameras
from evaluation.rendering import UNLIT, RenderedAsset, render_asset
from img2world.core.camera_paths import on_sphere, tilted
from img2world.core.cameras import Cameras
from img2world.core.errors import PoseError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.poses.commanded import CommandedPoses
from img2world.render import render
from img2world.runs.recipe import Exporter, PoseBackend, SplatBackend, VideoBackend

VIDEO_VIEWS = 32
"""Of the video that the ladder starts from: a dynamic orbit."""

JUDGED_VIEWS = 12
"""Where the rungs are compared; one more stands before them, as the photo does in a video."""

RUNGS = ("true depth", "true poses", "true video", "photo")
"""What each rung is given that the next is not; the last is the whole chain."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What comes after the video."""

    poses: PoseBackend
    splat: SplatBackend
    mesh: Exporter | None
    """None leaves the mesh out."""


def video_cameras(case: Case, size: int) -> Cameras:
    """The path of the video."""
    return object_cameras(dynamic_poses(VIDEO_VIEWS, elevation_of(case.name)), size)


def judged_cameras(case: Case, size: int) -> Cameras:
    """The photo's view, then views between those of the video, at three heights."""
    elevation = elevation_of(case.name)
    azimuths = (np.arange(JUDGED_VIEWS) + 0.37) * (2 * np.pi / JUDGED_VIEWS)
    heights = elevation + np.radians(np.array([0.0, 15.0, -15.0])[np.arange(JUDGED_VIEWS) % 3])
    poses = on_sphere(np.append(0.0, azimuths), np.append(elevation, heights))
    return object_cameras(tilted(poses, elevation), size)


def climb(
    case: Case, rung: str, model: VideoBackend | None, stages: Stages, *, size: int, seed: int, progress: Progress
) -> Iterator[tuple[str, Frames]]:
    """What a rung shows from `judged_cameras`, as a splat and, where wanted, as a mesh.

    The model makes the video of the last rung. Raises what the stages raise.
    """
    assert case.draw is not None
    truth = case.draw(video_cameras(case, size))
    views, world_from_found = _views(case, rung, truth, model, stages, seed)
    scene = stages.splat.optimize(views, seed=seed, progress=progress)
    if world_from_found is not None:
        gaussians = scene.gaussians.transformed(world_from_found.astype(np.float32))
        cameras = scene.cameras.transformed(world_from_found)
        scene = replace(scene, gaussians=gaussians, cameras=cameras)
        views = replace(views, cameras=cameras)
    judged = judged_cameras(case, size)
    yield "splat", splat_frames(scene, judged)
    if stages.mesh is not None:
        yield "mesh", mesh_frames(scene, views, stages.mesh, judged)


def _views(
    case: Case, rung: str, truth: RenderedAsset, model: VideoBackend | None, stages: Stages, seed: int
) -> tuple[Views, Float[np.ndarray, "4 4"] | None]:
    """What the splat is made from, and how the found world lies in the true one where it was found."""
    if rung == "photo":
        assert model is not None
        frames = generate(model, case.subject, truth, is_object=True, seed=seed)
        return CommandedPoses().estimate(frames, truth.cameras, seed=seed), None
    depth = truth.depth if rung == "true depth" else None
    frames = Frames(rgb=truth.rgb, times=np.arange(len(truth.rgb)) / 12.0, alpha=truth.alpha, depth=depth)
    if rung != "true video":
        return CommandedPoses().estimate(frames, truth.cameras, seed=seed), None
    views = stages.poses.estimate(frames, None, seed=seed, progress=silent)
    return views, world_from_found_cameras(views, truth)


def world_from_found_cameras(views: Views, truth: RenderedAsset) -> Float[np.ndarray, "4 4"]:
    """The similarity that brings found cameras onto the true ones with the least square error.

    Source: Umeyama 1991, equations 40 to 42. Frames that were not placed are missing in the views; the
    others are known by what they show. Raises PoseError with fewer than three.
    """
    if len(views) < 3:
        raise PoseError(f"{len(views)} cameras were found, needs at least 3", hint="use another pose backend")
    found = views.cameras.centers_in_world.astype(np.float64)
    true = truth.cameras.centers_in_world[_frames_of(views, truth)].astype(np.float64)
    found_mean, true_mean = found.mean(0), true.mean(0)
    u, spread, vt = np.linalg.svd((true - true_mean).T @ (found - found_mean) / len(found))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (spread * signs).sum() / max(np.square(found - found_mean).sum() / len(found), 1e-12)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = true_mean - scale * rotation @ found_mean
    return matrix


def _frames_of(views: Views, truth: RenderedAsset) -> list[int]:
    """The frame that each view shows."""
    import cv2

    size = (32, 32)
    small = np.stack([cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) for rgb in truth.rgb]).astype(np.float32)
    index = []
    for rgb in views.rgb:
        one = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        index.append(int(np.abs(small - one).mean((1, 2, 3)).argmin()))
    return index


def splat_frames(scene: Scene, cameras: Cameras) -> Frames:
    """Pictures of the Gaussians on white."""
    drawn = render(scene.gaussians, cameras, background=(1.0, 1.0, 1.0))
    return Frames(
        rgb=np.round(255 * drawn.rgb).astype(np.uint8),
        times=np.arange(len(cameras)) / 12.0,
        alpha=np.round(255 * np.clip(drawn.alpha, 0, 1)).astype(np.uint8),
        depth=np.where(drawn.alpha > 0.5, drawn.depth, 0).astype(np.float32),
    )


def mesh_frames(scene: Scene, views: Views, exporter: Exporter, cameras: Cameras) -> Frames:
    """Pictures of the file that the exporter writes, read back by someone else's reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / exporter.filename
        exporter.write(scene, views, path, progress=silent)
        mesh = load_asset(path)
    drawn = render_asset(mesh, cameras, light=UNLIT)
    return Frames(rgb=drawn.rgb, times=np.arange(len(cameras)) / 12.0, alpha=drawn.alpha, depth=drawn.depth)
