"""Pictures of a scene, from given cameras as PNG files or as one video, or in place of photos."""

import shutil
from pathlib import Path

import numpy as np

from img2world.core.cameras import Cameras, save_cameras
from img2world.core.errors import ExportError
from img2world.core.progress import Progress, silent
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.mp4 import write_mp4
from img2world.export.turntable import render_frames
from img2world.formats.files import writing_folder
from img2world.formats.scene import cameras_on_all_sides
from img2world.render import render

SIZE = 512
"""Pixels on each side of the pictures around an object."""

FILES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".apng", ".mov", ".mkv", ".webm", ".avi")
"""Suffixes of files that are not written."""


def write_pictures(scene: Scene, cameras: Cameras, out: Path, *, fps: float, progress: Progress = silent) -> int:
    """Render one picture per camera into an .mp4 file or, with the cameras, into a new folder; return their number.

    Raises ExportError when the folder is not empty or cannot be written.
    """
    from PIL import Image

    is_video = out.suffix.lower() == ".mp4"
    if out.suffix.lower() in FILES:
        raise ExportError(
            f"pictures from several cameras are no {out.suffix} file: {out}",
            hint="give a folder, or the name of an .mp4 file",
        )
    if not is_video and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(
            f"there are files in the folder: {out}", hint="give a new folder, or the name of an .mp4 file"
        )
    frames = render_frames(scene, cameras, fps, progress=progress)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with writing_folder(out.parent) as folder:
            made = folder / out.name
            if is_video:
                write_mp4(frames, made, fps)
                made.replace(out)
                return len(frames)
            made.mkdir()
            for i, frame in enumerate(frames):
                Image.fromarray(frame).save(made / f"{i:04d}.png")
            save_cameras(cameras, made / "transforms.json")
            if out.exists():
                out.rmdir()
            shutil.move(made, out)
    except OSError as error:
        raise ExportError(f"the pictures cannot be written: {error}", hint="check the folder and the disk") from error
    return len(frames)


def rendered_views(scene: Scene) -> Views:
    """Return pictures of the Gaussians with their exact cameras: of an object from all sides, else from its cameras."""
    gaussians = scene.at(scene.start)
    cameras = cameras_on_all_sides(gaussians, SIZE) if scene.is_object else scene.cameras
    rendered = render(gaussians, cameras, background=scene.background)
    alpha = np.rint(255 * rendered.alpha).astype(np.uint8)
    return Views(
        rgb=np.rint(255 * rendered.rgb.clip(0, 1)).astype(np.uint8),
        cameras=cameras,
        confidence=np.ones(len(cameras), np.float32),
        points=np.zeros((0, 3), np.float32),
        point_colors=np.zeros((0, 3), np.uint8),
        solver="rendered",
        depth=np.where(alpha > 0, rendered.depth, 0).astype(np.float32),
        alpha=alpha,
    )
