"""Frames as a widely playable MP4: H.264, 4:2:0, BT.709 in limited range, index first."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from img2world.core.errors import ExportError

MIN_BLOCK_PSNR = 26.0
"""dB between mean colours of 16x16 blocks; below it the colours or the order are wrong, not only detail lost."""


def write_mp4(rgb: UInt8[np.ndarray, "V H W 3"], path: Path, fps: float, *, crf: int = 18) -> dict[str, float]:
    """Write the frames as a video, with the same bytes for the same frames, and decode it again.

    `crf` is the constant rate factor of x264, 0 (lossless) to 51. H.264 needs even sizes: the last column or row of
    frames of odd width or height is repeated. Returns frames, width, height, bytes and psnr in dB. Raises ExportError
    when there are no frames, an option is out of range or the file reads back wrong.
    """
    if len(rgb) == 0 or not 0 < fps <= 240 or not 0 <= crf <= 51:
        raise ExportError(
            f"a video of {len(rgb)} frames at {fps} frames per second and crf {crf} cannot be written",
            hint="needs at least one frame, 0 < fps <= 240 and 0 <= crf <= 51",
        )
    odd = (rgb.shape[1] % 2, rgb.shape[2] % 2)
    even = np.pad(rgb, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else rgb
    _encode(even, path, Fraction(fps).limit_denominator(1001), crf)
    psnr = _check(even, path)
    return {
        "frames": float(len(even)),
        "width": float(even.shape[2]),
        "height": float(even.shape[1]),
        "bytes": float(path.stat().st_size),
        "psnr": psnr,
    }


def _encode(rgb: UInt8[np.ndarray, "V H W 3"], path: Path, rate: Fraction, crf: int) -> None:
    """Encode the frames at a constant frame rate."""
    import av
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

    flags = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
    # The format is given because the path may have any suffix.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        # The output of x264 depends on the number of threads, so it is fixed. Its mbtree, as of core 165, reads
        # uninitialized memory where a row is not a multiple of 8 macroblocks.
        settings = {"crf": str(crf), "preset": "medium", "threads": "2", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate, settings)
        stream.width, stream.height, stream.pix_fmt = rgb.shape[2], rgb.shape[1], "yuv420p"
        # Without tags players guess the colour space from the height and may show shifted colours.
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for i, image in enumerate(rgb):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p",
                interpolation=flags,
                src_colorspace=Colorspace.ITU709,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _check(rgb: UInt8[np.ndarray, "V H W 3"], path: Path) -> float:
    """Return the PSNR in dB over up to nine frames. Raises ExportError when number, size or colours are wrong."""
    import av

    compared = set(np.linspace(0, len(rgb) - 1, 9).astype(int).tolist())
    errors, block_errors, count = [], [], 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        kind = (stream.pix_fmt, stream.width, stream.height)
        for count, frame in enumerate(container.decode(stream), start=1):
            if count - 1 in compared and (frame.height, frame.width) == rgb.shape[1:3]:
                decoded, expected = frame.to_ndarray(format="rgb24"), rgb[count - 1]
                errors.append(float(np.mean((decoded.astype(np.float32) - expected) ** 2)))
                block_errors.append(float(np.mean((_block_means(decoded) - _block_means(expected)) ** 2)))
    block_psnr = _psnr(max(block_errors)) if block_errors else 0.0
    if kind != ("yuv420p", rgb.shape[2], rgb.shape[1]) or count != len(rgb) or block_psnr < MIN_BLOCK_PSNR:
        raise ExportError(
            f"the video reads back as {count} frames of {kind[1]}x{kind[2]} {kind[0]} at {block_psnr:.1f} dB, "
            f"needs {len(rgb)} of {rgb.shape[2]}x{rgb.shape[1]} yuv420p at {MIN_BLOCK_PSNR:.0f} dB or better",
            hint=f"lower crf, and check that the installed PyAV has libx264 ({path})",
        )
    return _psnr(sum(errors) / len(errors))


def _block_means(image: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
    """Return the mean colours of blocks of about 16x16 pixels."""
    import cv2

    size = (max(image.shape[1] // 16, 1), max(image.shape[0] // 16, 1))
    return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def _psnr(error: float) -> float:
    """Return the PSNR in dB, at most 78, of a mean squared error of 8-bit values."""
    return float(10 * np.log10(255**2 / max(error, 1e-3)))
