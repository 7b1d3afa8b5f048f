"""Fit a picture and its cameras to the frame sizes and frame counts that a model can generate."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped, UInt8

from img2world.core.cameras import Cameras


@dataclass(frozen=True, kw_only=True)
class Framing:
    """A picture that is scaled, centred in a frame, and cropped or padded there. All sizes are width and height."""

    picture_size: tuple[int, int]
    scaled_size: tuple[int, int]
    """Size of the picture in the frame, which it may exceed."""
    frame_size: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """Position of the scaled picture's upper left corner in the frame; negative where the picture is cropped."""
        return (self.frame_size[0] - self.scaled_size[0]) // 2, (self.frame_size[1] - self.scaled_size[1]) // 2

    @property
    def visible(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that show the picture."""
        (left, top), (width, height) = self.corner, self.scaled_size
        rows = slice(max(top, 0), min(top + height, self.frame_size[1]))
        return rows, slice(max(left, 0), min(left + width, self.frame_size[0]))

    def place(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Return the frame with the picture in it, padded with white."""
        from PIL import Image as PillowImage

        scaled = PillowImage.fromarray(rgb)
        if scaled.size != self.scaled_size:
            scaled = scaled.resize(self.scaled_size, PillowImage.Resampling.LANCZOS)
        frame = PillowImage.new("RGB", self.frame_size, (255, 255, 255))
        frame.paste(scaled, self.corner)
        return np.array(frame)

    def place_cameras(self, cameras: Cameras) -> Cameras:
        """Return cameras of the picture as cameras of the frame."""
        if (cameras.width, cameras.height) != self.picture_size:
            raise ValueError(f"cameras of {cameras.width}x{cameras.height} do not fit a picture of {self.picture_size}")
        return _shift(cameras.resized(*self.scaled_size), self.corner, self.frame_size)

    def crop(self, maps: Shaped[np.ndarray, "V H W *C"]) -> Shaped[np.ndarray, "V h w *C"]:
        """Return frames without their padding."""
        rows, columns = self.visible
        return np.ascontiguousarray(maps[:, rows, columns])

    def crop_cameras(self, cameras: Cameras) -> Cameras:
        """Return cameras of the frame as cameras of frames without their padding."""
        rows, columns = self.visible
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return _shift(cameras, (-columns.start, -rows.start), size)


def fit_picture(picture_size: tuple[int, int], frame_size: tuple[int, int], *, pad: bool) -> Framing:
    """Fit a picture to a frame: whole with padding around it, or else filling the frame and cropped."""
    ratios = (frame_size[0] / picture_size[0], frame_size[1] / picture_size[1])
    scale = min(ratios) if pad else max(ratios)
    # One of the two sides must fit exactly, whatever the rounding does.
    scaled = [max(1, round(side * scale)) for side in picture_size]
    for i in (0, 1):
        if ratios[i] == scale:
            scaled[i] = frame_size[i]
    return Framing(picture_size=picture_size, scaled_size=(scaled[0], scaled[1]), frame_size=frame_size)


def suitable_frame_size(picture_size: tuple[int, int], native_size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return a frame with about the picture's shape and the native size's area, its sides multiples of `multiple`."""
    area, ratio = native_size[0] * native_size[1], picture_size[0] / picture_size[1]
    width = max(multiple, round((area * ratio) ** 0.5 / multiple) * multiple)
    height = max(multiple, round((area / ratio) ** 0.5 / multiple) * multiple)
    return width, height


def nearest_frame_count(wanted: int, step: int) -> int:
    """Return the count nearest to the wanted one that is a multiple of `step` plus 1 and more than one frame."""
    return max(1, round((wanted - 1) / step)) * step + 1


def _shift(cameras: Cameras, corner: tuple[int, int], size: tuple[int, int]) -> Cameras:
    """Return the cameras of another picture, of the given size, in which this one has its corner at `corner`."""
    intrinsics = cameras.intrinsics.copy()
    intrinsics[:, :2, 2] += np.array(corner, np.float32)
    return replace(cameras, intrinsics=intrinsics, width=size[0], height=size[1])
