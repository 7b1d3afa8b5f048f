import numpy as np
import pytest

from img2world.quality.fidelity import MAX_DB, compare_views, warp_photo


def texture(height=120, width=160):
    """Return a smooth random texture, so that resampling costs little."""
    import cv2

    noise = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return (0.5 + 3 * (smooth - smooth.mean())).clip(0, 1)


def test_psnr_is_that_of_known_noise_inside_of_the_mask():
    truth = np.full((80, 80, 3), 0.5, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.05, truth.shape).astype(np.float32)
    mask = np.zeros((80, 80), bool)
    mask[20:60, 20:60] = True
    noise[~mask] = 0.4
    match = compare_views(truth + noise, truth, mask)
    assert match.psnr == pytest.approx(-20 * np.log10(0.05), abs=0.2)
    assert compare_views(truth, truth, mask).psnr == MAX_DB
    with pytest.raises(ValueError, match="nothing"):
        compare_views(truth, truth, np.zeros((80, 80), bool))


def test_detail_is_what_a_blur_leaves_of_a_wave():
    import cv2

    x = np.arange(200)
    wave = (0.5 + 0.4 * np.sin(2 * np.pi * x / 12))[None, :, None] * np.ones((60, 1, 3))
    truth = wave.astype(np.float32)
    blurred = cv2.GaussianBlur(truth, (0, 0), 2.0)
    mask = np.zeros(truth.shape[:2], bool)
    mask[10:-10, 20:-20] = True
    # A Gaussian blur scales a wave of angular frequency w by exp(-w² sigma² / 2).
    expected = np.exp(-((2 * np.pi / 12) ** 2) * 2.0**2 / 2)
    assert compare_views(blurred, truth, mask).detail == pytest.approx(expected, rel=0.02)
    assert compare_views(truth, truth, mask).detail == pytest.approx(1)


def test_the_photo_is_warped_as_a_plane_is_seen(make_cameras, make_wall, cast_walls):
    """The truth is the homography of a plane, not the depth of the pixels."""
    import cv2

    cameras = make_cameras([(0, 0, 0), (0.15, 0.05, 0.1)])
    photo, view = (cast_walls(cameras.select([i]), [make_wall(2.0)]) for i in range(2))
    picture = texture()
    # A plane parallel to the picture moves as a similarity: by -shift / depth, and larger by 2 / 1.9.
    focal, scale = cameras.intrinsics[0, 0, 0], 2 / 1.9
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    center = np.array([80, 60])
    matrix[:, 2] = center - scale * (center - 0.5) - focal * np.array([0.15, 0.05]) / 1.9 - 0.5
    expected = cv2.warpAffine(picture, matrix, (160, 120), flags=cv2.INTER_CUBIC)
    warped, mask = warp_photo(picture, photo, view)
    assert mask.mean() > 0.8
    assert compare_views(warped, expected, mask).psnr > 45
    assert compare_views(warped, picture, mask).psnr < 30
