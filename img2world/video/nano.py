"""The embedded generator, which renders a photo with predicted geometry, as textured layers, along a camera path.

Every frame records which of its pixels were seen in the photo, continued from their surroundings, or invented.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from img2world.core.cameras import Cameras
from img2world.core.errors import CameraError, VideoError
from img2world.core.frames import Frames
from img2world.core.progress import Progress, silent
from img2world.core.ranges import Range
from img2world.core.subject import Subject
from img2world.layered.diffusion_fill import Fill

FPS = 12.0
"""Frame rate of the video."""


@dataclass(frozen=True, kw_only=True)
class NanoVideo:
    """The built-in generator for any CPU. Objects are closed all around; scenes extend as far as the photo allows."""

    supersample: Annotated[int, Range(1, 16)] = 2
    """Samples per pixel along each axis."""
    fill: Fill = "off"
    """builtin: the embedded diffusion network generates what the photo does not show; off: colours are continued."""

    def generate(
        self, subject: Subject | None, trajectory: Cameras | None, *, seed: int = 0, progress: Progress = silent
    ) -> Frames:
        """Render the photo's layers from each camera. The result depends on the seed only with `fill`.

        Raises VideoError without a picture or a path, CameraError when a camera sees nothing.
        """
        from img2world.layered.build import build_layers, input_camera
        from img2world.layered.diffusion_fill import fill_unseen
        from img2world.layered.warp import Warper

        if subject is None or trajectory is None:
            raise VideoError(
                "nano needs one picture and a camera path", hint="give a picture, or use the photos or video recipe"
            )
        size = max(trajectory.width, trajectory.height)
        layers = build_layers(subject, size)
        if self.fill == "builtin":
            layers = fill_unseen(layers, input_camera(subject, size), trajectory, seed=seed)
        warper = Warper(layers)
        shape = (len(trajectory), trajectory.height, trajectory.width)
        rgb, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
        alpha, seen = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        for i in range(len(trajectory)):
            warped = warper.draw(trajectory.select([i]), supersample=self.supersample)
            if not warped.alpha.any():
                raise CameraError(
                    f"camera {i} of {len(trajectory)} sees nothing that the picture shows",
                    hint="keep the cameras about 1 unit from the origin and looking at it",
                )
            cover = warped.alpha[..., None]
            empty = 1.0 if layers.is_object else warped.rgb[warped.alpha > 0].mean(0)
            rgb[i] = np.round(255 * (warped.rgb * cover + empty * (1 - cover)))
            depth[i], seen[i], alpha[i] = warped.depth, warped.seen, np.round(255 * warped.alpha)
            progress(i + 1, len(trajectory))
        return Frames(
            rgb=rgb,
            times=np.arange(len(trajectory)) / FPS,
            cameras=trajectory,
            depth=depth,
            alpha=alpha if layers.is_object else None,
            seen=seen,
            is_rendered=True,
        )
