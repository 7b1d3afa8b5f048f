"""Pictures of lenses that distort, as pinhole cameras see them."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from img2world.core.child_process import run_child
from img2world.core.errors import CameraError
from img2world.core.image import Image
from img2world.core.lens import Lens

TIME_LIMIT = 600.0


def undistort(
    images: Sequence[Image], masks: Sequence[UInt8[np.ndarray, "H W"] | None], lenses: Sequence[Lens]
) -> tuple[list[Image], list[UInt8[np.ndarray, "H W"] | None], Float32[np.ndarray, "V 3 3"]]:
    """Return pictures and masks without the distortion of their lenses, and the intrinsics of the pinhole cameras.

    A mask has the size of its picture. Pictures may be smaller than those that the lenses were described for. As in
    COLMAP's `image_undistorter`, the result shows no pixel that the original does not; its size differs from the
    original's. Raises CameraError when a lens cannot be undistorted.
    """
    keys = [(lens, image.width, image.height) for lens, image in zip(lenses, images, strict=True)]
    distorting = {key: i for i, key in enumerate(dict.fromkeys(key for key in keys if not key[0].is_pinhole))}
    new_images, new_masks, intrinsics = [*images], [*masks], []
    with tempfile.TemporaryDirectory(prefix="img2world-") as folder:
        if distorting:
            described = [{**asdict(lens), "size": [width, height]} for lens, width, height in distorting]
            options = {"task": "undistort", "folder": folder, "lenses": described}
            run_child("img2world.captures.colmap_process", options, time_limit=TIME_LIMIT, error=CameraError)
        for i, (lens, width, height) in enumerate(keys):
            if lens.is_pinhole:
                scale = np.array([width / lens.width, height / lens.height, 1.0], np.float32)
                intrinsics.append(lens.pinhole_intrinsics * scale[:, None])
                continue
            lens_id = distorting[keys[i]]
            intrinsics.append(np.load(Path(folder) / f"intrinsics_{lens_id}.npy").astype(np.float32))
            xy = np.load(Path(folder) / f"map_{lens_id}.npy")
            image, mask = images[i], masks[i]
            new_images[i] = Image(
                rgb=resample(image.rgb, xy),
                alpha=None if image.alpha is None else resample(image.alpha, xy),
                focal=float(intrinsics[i][0, 0]),
            )
            new_masks[i] = None if mask is None else resample(mask, xy)
    return new_images, new_masks, np.stack(intrinsics)


def resample(picture: UInt8[np.ndarray, "H W *C"], xy: Float32[np.ndarray, "H2 W2 2"]) -> UInt8[np.ndarray, "H2 W2 *C"]:
    """Return a picture at positions of another, whose first pixel has its centre at (0.5, 0.5)."""
    import cv2

    # In OpenCV the centre of the first pixel is (0, 0).
    x, y = xy[..., 0] - np.float32(0.5), xy[..., 1] - np.float32(0.5)
    return cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
