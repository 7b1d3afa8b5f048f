"""The motion of packed Gaussians inside a world page, specified here.

The header names `key_times` in seconds, how many `bones` there are, and the seconds of a `fade`. All else are fields of
the packed Gaussians (packed_splats.py), of the encoding linear. In the order of the Gaussians:

- bone_indices: four numbers of bones, of one byte each, or of two if there are more than 256 bones.
- bone_weights: four bytes that sum to 255, the weight 1.
- windows: seconds at which a Gaussian is half there and half gone, if any is not there all the time.

For each bone, bone_pivots; for each bone and, within it, each key, bone_quats (wxyz, unit length) and
bone_translations: 24 bits each. What they mean is said in core/motion.py; static/motion.js implements it again.
"""

import numpy as np
from jaxtyping import Float32, Float64

from img2world.core.motion import Motion
from img2world.formats.i2w import WEIGHT_SUM, bytes_from_weights
from img2world.viewer.packed_splats import Field, encode_linear, unpack_fields


def motion_fields(motion: Motion) -> list[Field]:
    """Return what is packed with the Gaussians of a motion, in their order."""
    bones = len(motion.bone_pivots)
    width = 1 if bones <= 256 else 2
    quats = motion.bone_quats / np.linalg.norm(motion.bone_quats.astype(np.float64), axis=-1, keepdims=True)
    zeros, ones = np.zeros(4), np.ones(4)
    fields = [
        # With as many steps as integers, a number stands for itself.
        encode_linear("bone_indices", motion.bone_indices, width, low=zeros, high=ones * (256**width - 1)),
        encode_linear("bone_weights", bytes_from_weights(motion.bone_weights) / WEIGHT_SUM, 1, low=zeros, high=ones),
        _of_bones(encode_linear("bone_pivots", motion.bone_pivots, 3)),
        _of_bones(encode_linear("bone_quats", quats.reshape(-1, 4), 3, low=-ones, high=ones)),
        _of_bones(encode_linear("bone_translations", motion.bone_translations.reshape(-1, 3), 3)),
    ]
    windows = clamped_windows(motion)
    if windows is not None:
        fields.append(encode_linear("windows", windows, 2))
    return fields


def motion_header(motion: Motion) -> dict:
    """Return the header, which holds JSON values only."""
    return {"key_times": motion.key_times.tolist(), "bones": len(motion.bone_pivots), "fade": motion.fade}


def unpack_motion(header: dict, splats: dict, payload: bytes) -> Motion:
    """Return the motion of its header and that of the packed Gaussians, and their payload.

    Raises KeyError when a field is missing.
    """
    values, shape = unpack_fields(splats, payload), (header["bones"], len(header["key_times"]))
    return Motion(
        key_times=np.array(header["key_times"], np.float64),
        bone_pivots=values["bone_pivots"].astype(np.float32),
        bone_quats=values["bone_quats"].reshape(*shape, 4).astype(np.float32),
        bone_translations=values["bone_translations"].reshape(*shape, 3).astype(np.float32),
        bone_indices=np.rint(values["bone_indices"]).astype(np.int32),
        bone_weights=values["bone_weights"].astype(np.float32),
        windows=values["windows"].astype(np.float32) if "windows" in values else None,
    )


def clamped_windows(motion: Motion) -> Float32[np.ndarray, "N 2"] | Float64[np.ndarray, "N 2"] | None:
    """Return windows without what lies outside the time that is shown, which would cost them precision.

    Returns None where all Gaussians are there all the time.
    """
    if motion.windows is None:
        return None
    # Half a fade before the first key and after the last one, a window changes nothing between them.
    first, last = motion.key_times[0] - motion.fade / 2, motion.key_times[-1] + motion.fade / 2
    windows = motion.windows.astype(np.float64).clip(first, last)
    return None if (windows == [first, last]).all() else windows


def _of_bones(field: Field) -> Field:
    """Return a field that tells its own count."""
    entry, integers = field
    return {**entry, "count": len(integers)}, integers
