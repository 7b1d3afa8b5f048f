"""The oracle ladder: ablation of the pipeline from a true video with true poses down to one photo.

Each rung replaces one more ground-truth input by the pipeline's own estimate, which shows where quality is lost. All
rungs are compared on the same held-out views: between the cameras of the video, and above and below them.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8

from evaluation.assets import load_asset
from evaluation.placement import dynamic_poses, elevation_from_name, object_cameras
from evaluation.rendering import UNLIT, RenderedViews, render_asset
from evaluation.samples import Sample
from evaluation.video_backends import generate_video
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
"""Frames of the video, a dynamic orbit."""

HELD_OUT_VIEWS = 12
"""Held-out views after the photo's, which comes first as in a video."""

RUNGS = ("true depth", "true poses", "true video", "photo")
"""The ground truth that each rung is given beyond the next one; the last is the whole pipeline."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Stages after the video."""

    poses: PoseBackend
    splat: SplatBackend
    mesh: Exporter | None
    """None skips the mesh."""


def video_cameras(sample: Sample, size: int) -> Cameras:
    """Return the path of the video."""
    return object_cameras(dynamic_poses(VIDEO_VIEWS, elevation_from_name(sample.name)), size)


def held_out_cameras(sample: Sample, size: int) -> Cameras:
    """Return the photo's camera, then cameras between those of the video at three elevations."""
    elevation = elevation_from_name(sample.name)
    azimuths = (np.arange(HELD_OUT_VIEWS) + 0.37) * (2 * np.pi / HELD_OUT_VIEWS)
    heights = elevation + np.radians(np.array([0.0, 15.0, -15.0])[np.arange(HELD_OUT_VIEWS) % 3])
    poses = on_sphere(np.append(0.0, azimuths), np.append(elevation, heights))
    return object_cameras(tilted(poses, elevation), size)


def run_rung(
    sample: Sample, rung: str, backend: VideoBackend | None, stages: Stages, *, size: int, seed: int, progress: Progress
) -> Iterator[tuple[str, Frames]]:
    """Yield the renders of a rung's splat and, where wanted, of its mesh, from `held_out_cameras`.

    The backend generates the video of the last rung. Raises the errors of the stages.
    """
    assert sample.render is not None
    truth = sample.render(video_cameras(sample, size))
    views, world_from_estimated = _make_views(sample, rung, truth, backend, stages, seed)
    scene = stages.splat.optimize(views, seed=seed, progress=progress)
    if world_from_estimated is not None:
        cameras = scene.cameras.transformed(world_from_estimated)
        scene = replace(
            scene, gaussians=scene.gaussians.transformed(world_from_estimated.astype(np.float32)), cameras=cameras
        )
        views = replace(views, cameras=cameras)
    cameras = held_out_cameras(sample, size)
    yield "splat", render_splat(scene, cameras)
    if stages.mesh is not None:
        yield "mesh", render_mesh(scene, views, stages.mesh, cameras)


def _make_views(
    sample: Sample, rung: str, truth: RenderedViews, backend: VideoBackend | None, stages: Stages, seed: int
) -> tuple[Views, Float[np.ndarray, "4 4"] | None]:
    """Return the input of the splat stage and, where poses are estimated, the alignment of their world."""
    if rung == "photo":
        assert backend is not None
        frames = generate_video(backend, sample.subject, truth, is_object=True, seed=seed)
        return CommandedPoses().estimate(frames, truth.cameras, seed=seed), None
    depth = truth.depth if rung == "true depth" else None
    frames = Frames(rgb=truth.rgb, times=np.arange(len(truth.rgb)) / 12.0, alpha=truth.alpha, depth=depth)
    if rung != "true video":
        return CommandedPoses().estimate(frames, truth.cameras, seed=seed), None
    views = stages.poses.estimate(frames, None, seed=seed, progress=silent, work=None)
    return views, world_from_estimate(views, truth)


def world_from_estimate(views: Views, truth: RenderedViews) -> Float[np.ndarray, "4 4"]:
    """Return the similarity transform that aligns the centres of estimated cameras with the true ones.

    Least squares (Umeyama 1991, equations 40 to 42). Frames that were not placed are missing in the views; the others
    are recognized by their content. Raises PoseError with fewer than three.
    """
    if len(views) < 3:
        raise PoseError(f"{len(views)} cameras were placed, needs at least 3", hint="use another pose backend")
    source = views.cameras.centers_in_world.astype(np.float64)
    target = truth.cameras.centers_in_world[_match_frames(views, truth)].astype(np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    u, singular_values, vt = np.linalg.svd((target - target_mean).T @ (source - source_mean) / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (singular_values * signs).sum() / max(np.square(source - source_mean).sum() / len(source), 1e-12)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = target_mean - scale * rotation @ source_mean
    return matrix


def _match_frames(views: Views, truth: RenderedViews) -> list[int]:
    """Return the index of the true frame that each view shows."""
    true_thumbnails, thumbnails = _thumbnails(truth.rgb), _thumbnails(views.rgb)
    return [int(np.abs(true_thumbnails - thumbnail).mean((1, 2, 3)).argmin()) for thumbnail in thumbnails]


def _thumbnails(rgb: UInt8[np.ndarray, "V H W 3"]) -> Float32[np.ndarray, "V 32 32 3"]:
    """Return images at 32 × 32 pixels."""
    import cv2

    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in rgb]).astype(np.float32)


def render_splat(scene: Scene, cameras: Cameras) -> Frames:
    """Return renders of the Gaussians on white."""
    rendered = render(scene.gaussians, cameras, background=(1.0, 1.0, 1.0))
    return Frames(
        rgb=np.round(255 * rendered.rgb).astype(np.uint8),
        times=np.arange(len(cameras)) / 12.0,
        alpha=np.round(255 * np.clip(rendered.alpha, 0, 1)).astype(np.uint8),
        depth=np.where(rendered.alpha > 0.5, rendered.depth, 0).astype(np.float32),
    )


def render_mesh(scene: Scene, views: Views, exporter: Exporter, cameras: Cameras) -> Frames:
    """Return renders of the file that the exporter writes, read by an independent reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / exporter.filename
        exporter.write(scene, views, path, progress=silent)
        mesh = load_asset(path)
    rendered = render_asset(mesh, cameras, lighting=UNLIT)
    return Frames(rgb=rendered.rgb, times=np.arange(len(cameras)) / 12.0, alpha=rendered.alpha, depth=rendered.depth)
