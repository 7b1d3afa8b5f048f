"""A picture and a path brought to the frames that a model makes: their size, their count, and the lens that fits."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped, UInt8

from img2world.core.cameras import Cameras


@dataclass(frozen=True, kw_only=True)
class Framing:
    """A picture scaled, then cut off or filled up on all sides alike, to a frame."""

    picture: tuple[int, int]
    """Width and height of the picture before."""
    scaled: tuple[int, int]
    """Width and height of the picture in the frame."""
    frame: tuple[int, int]
    """Width and height of the frame."""

    @property
    def corner(self) -> tuple[int, int]:
        """Where the scaled picture's upper left corner lies in the frame; below zero where it is cut off."""
        return (self.frame[0] - self.scaled[0]) // 2, (self.frame[1] - self.scaled[1]) // 2

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that show the picture."""
        (left, top), (width, height) = self.corner, self.scaled
        rows = slice(max(top, 0), min(top + height, self.frame[1]))
        return rows, slice(max(left, 0), min(left + width, self.frame[0]))

    def framed(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The picture in the frame; white where the frame is larger."""
        from PIL import Image as PillowImage

        scaled = PillowImage.fromarray(rgb)
        if scaled.size != self.scaled:
            scaled = scaled.resize(self.scaled, PillowImage.Resampling.LANCZOS)
        frame = PillowImage.new("RGB", self.frame, (255, 255, 255))
        frame.paste(scaled, self.corner)
        return np.array(frame)

    def cameras(self, cameras: Cameras) -> Cameras:
        """Cameras of the picture as cameras of the frame."""
        if (cameras.width, cameras.height) != self.picture:
            raise ValueError(f"cameras of {cameras.width}x{cameras.height} do not fit a picture of {self.picture}")
        cameras = cameras.resized(*self.scaled)
        return _shifted(cameras, self.corner, self.frame)

    def windowed(self, maps: Shaped[np.ndarray, "V H W *C"]) -> Shaped[np.ndarray, "V h w *C"]:
        """Frames without what was filled up."""
        rows, columns = self.window
        return np.ascontiguousarray(maps[:, rows, columns])

    def windowed_cameras(self, cameras: Cameras) -> Cameras:
        """Cameras of the frame as cameras of `windowed` frames."""
        rows, columns = self.window
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return _shifted(cameras, (-columns.start, -rows.start), size)


def framing(picture: tuple[int, int], frame: tuple[int, int], *, whole: bool) -> Framing:
    """How a picture comes to a frame: `whole` with room around it, or else filling the frame and cut off."""
    ratios = (frame[0] / picture[0], frame[1] / picture[1])
    scale = min(ratios) if whole else max(ratios)
    # One of the two sides must fit exactly, whatever the rounding does.
    scaled = [max(1, round(side * scale)) for side in picture]
    for i in (0, 1):
        if ratios[i] == scale:
            scaled[i] = frame[i]
    return Framing(picture=picture, scaled=(scaled[0], scaled[1]), frame=frame)


def frame_size(picture: tuple[int, int], usual: tuple[int, int], multiple: int) -> tuple[int, int]:
    """A frame of about as many pixels as the usual one, of about the picture's shape, in multiples."""
    area, ratio = usual[0] * usual[1], picture[0] / picture[1]
    width = max(multiple, round((area * ratio) ** 0.5 / multiple) * multiple)
    height = max(multiple, round((area / ratio) ** 0.5 / multiple) * multiple)
    return width, height


def frame_count(wanted: int, step: int) -> int:
    """The nearest count that is a multiple of `step` plus 1, and more than one frame."""
    return max(1, round((wanted - 1) / step)) * step + 1


def _shifted(cameras: Cameras, corner: tuple[int, int], size: tuple[int, int]) -> Cameras:
    """The cameras of a picture that lies with its corner in another, of another size."""
    intrinsics = cameras.intrinsics.copy()
    intrinsics[:, :2, 2] += np.array(corner, np.float32)
    return replace(cameras, intrinsics=intrinsics, width=size[0], height=size[1])
