"""Read frames from a video made elsewhere or several, a folder of frames or photos, or a posed dataset."""

import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from img2world.captures.dataset import find_layout
from img2world.captures.photos import frames_from_folder
from img2world.captures.posed_frames import frames_from_dataset
from img2world.captures.viewpoints import find_viewpoints
from img2world.core.cameras import Cameras
from img2world.core.child_process import run_child
from img2world.core.errors import VideoError
from img2world.core.frames import Frames
from img2world.core.image_file import load_image
from img2world.core.progress import Progress, silent
from img2world.core.ranges import NonNegativeFloat, PositiveInt, Range
from img2world.core.subject import Subject
from img2world.video.containers import needed_container
from img2world.video.grid import frames_from_grid
from img2world.video.reference_image import insert_reference_image
from img2world.video.viewpoints import ViewpointOptions, frames_from_viewpoints


@dataclass(frozen=True, kw_only=True)
class FileVideo:
    """Any video (mp4, mov, webm, mkv, avi, ogv, ts, mpg, wmv, flv), animated picture, folder or posed dataset.

    Videos are turned upright, HDR becomes sRGB, and transparent videos are composited on white. Frames are selected at
    equal steps of camera motion, the sharpest of neighbours. A folder counts as the frames of a video when it holds at
    least 20 pictures of one size with consecutive numbers, and as unordered photos otherwise. Posed datasets, whose
    cameras are read with their pictures, are those of COLMAP, nerfstudio, instant-ngp, NeRF-synthetic, Polycam and
    Record3D. A folder with two or more videos, or folders of like frames, is what several fixed cameras saw at the same
    times.
    """

    path: Path | None = None
    """The video file, the folder, or the camera file of a dataset."""
    num_frames: Annotated[int, Range(2)] = 120
    """Maximum number of frames from a video, of which as many are used as its motion needs, or from a folder of frames;
    of photos all are used."""
    size: Annotated[int, Range(16)] = 640
    """Longest side of a video's frames in pixels; smaller ones are not enlarged."""
    photo_size: Annotated[int, Range(16)] = 960
    """The same for photos, which are taken further apart and need finer detail to be matched."""
    max_seconds: NonNegativeFloat = 300.0
    """Duration of the longest video that is accepted."""
    still: Path | None = None
    """The picture that the clip was made from; it replaces the first or the last frame, whichever shows the same."""
    max_photos: PositiveInt = 400
    """Number of photos in the largest folder that is accepted. Of a larger dataset so many are used, in even steps."""
    even: bool = False
    """Select frames evenly in time, repeated ones too: for what moves, and to examine the video itself."""
    grid: str = ""
    """Rows x columns of a picture or video that shows several viewpoints, such as 4x12. In a picture each row is a
    viewpoint and each column a time; in a video each cell is a viewpoint."""
    cameras: Path | None = None
    """Cameras of fixed viewpoints, one each: a transforms.json, or a path as of `trajectory.name=file`."""
    offsets: tuple[float, ...] = ()
    """Seconds at which each of several videos began; without, they are aligned by the motion that they show."""
    time_limit: NonNegativeFloat = 1800.0
    """Seconds after which decoding is stopped."""

    def generate(
        self, subject: Subject | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """Read the frames; the picture, the trajectory and the seed are ignored.

        Raises VideoError when the file is missing, broken, too long, too large or too short.
        """
        if self.path is None:
            raise VideoError(
                "no video was given, video.path is empty", hint="set video.path to a video file or a folder"
            )
        if self.num_frames < 2 or min(self.size, self.photo_size) < 16:
            raise VideoError(
                f"video.num_frames is {self.num_frames}, size {self.size}, photo_size {self.photo_size}; "
                "need at least 2, 16 and 16",
                hint="raise them",
            )
        frames = self._frames(self.path, progress)
        if self.still is None:
            return frames
        if not frames.ordered:
            raise VideoError("photos have no first or last frame that --image could replace", hint="leave --image out")
        return insert_reference_image(frames, load_image(self.still))

    def _frames(self, path: Path, progress: Progress) -> Frames:
        """Return the frames of a file, a folder or a posed dataset."""
        several = ViewpointOptions(
            num_times=self.num_frames,
            size=self.size,
            max_seconds=self.max_seconds,
            time_limit=self.time_limit,
            offsets=self.offsets,
            cameras=self.cameras,
        )
        if self.grid:
            return frames_from_grid(path, self.grid, several)
        if (listing := find_viewpoints(path)) is not None:
            return frames_from_viewpoints(listing, several, progress)
        if find_layout(path) is not None:
            return frames_from_dataset(path, size=self.photo_size, max_photos=self.max_photos, progress=progress)
        if path.is_dir():
            return frames_from_folder(
                path,
                num_frames=self.num_frames,
                sizes=(self.size, self.photo_size),
                max_photos=self.max_photos,
                progress=progress,
            )
        return self._from_video(path, progress)

    def _from_video(self, path: Path, progress: Progress) -> Frames:
        """Decode a video file in a child process and return its frames."""
        with tempfile.TemporaryDirectory(prefix="img2world-") as folder:
            options = {
                "path": str(path.resolve()),
                "format": needed_container(path),
                "folder": folder,
                "num_frames": self.num_frames,
                "size": self.size,
                "max_seconds": self.max_seconds,
                "even": self.even,
            }
            run_child(
                "img2world.video.decode", options, time_limit=self.time_limit, error=VideoError, progress=progress
            )
            told = json.loads((Path(folder) / "notes.json").read_text())
            for note in told["notes"]:
                warnings.warn(note, stacklevel=2)
            alpha = Path(folder) / "alpha.npy"
            return Frames(
                rgb=np.load(Path(folder) / "rgb.npy"),
                times=np.load(Path(folder) / "times.npy"),
                alpha=np.load(alpha) if alpha.exists() else None,
                selection=told["selection"],
            )
