import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.video.diffusion.framing import frame_count, frame_size, framing

POINT = np.array([0.11, -0.07, 1.3])


def camera(width, height):
    """One camera in the origin."""
    pose = np.eye(4, dtype=np.float32)[None]
    lens = intrinsics_from_fov(0.8, width, height)[None]
    return Cameras(world_from_cam=pose, intrinsics=lens, width=width, height=height)


def pixel(cameras, point):
    """Where a point in the camera is seen."""
    seen = cameras.intrinsics[0].astype(np.float64) @ point
    return seen[:2] / seen[2]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("frame", [(128, 64), (64, 128), (90, 60), (400, 240)])
def test_a_point_lands_where_the_lens_says(frame, whole):
    before = camera(180, 120)
    x, y = pixel(before, POINT)
    # A soft spot around the point's pixel.
    rows, columns = np.mgrid[:120, :180] + 0.5
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 40)
    picture = np.repeat(spot[..., None], 3, -1).astype(np.uint8)
    fit = framing((180, 120), frame, whole=whole)
    framed = fit.framed(picture)[..., 0].astype(np.float64)
    assert framed.shape == (frame[1], frame[0])
    after = fit.cameras(before)
    expected = pixel(after, POINT)
    shown = np.zeros_like(framed)
    shown[fit.window] = framed[fit.window]  # without the white around
    shown[shown < 60] = 0
    rows, columns = np.mgrid[: frame[1], : frame[0]] + 0.5
    found = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
    np.testing.assert_allclose(found, expected, atol=0.3)  # the spot is cut to whole grey values and pixels


@given(
    st.tuples(st.integers(16, 700), st.integers(16, 700)),
    st.tuples(st.integers(2, 80), st.integers(2, 80)),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_windows_give_back_the_picture(picture, blocks, whole):
    frame = (16 * blocks[0], 16 * blocks[1])
    fit = framing(picture, frame, whole=whole)
    assert any(scaled == side for scaled, side in zip(fit.scaled, frame, strict=True))
    rows, columns = fit.window
    if whole:
        assert (columns.stop - columns.start, rows.stop - rows.start) == fit.scaled
    else:
        assert (columns.stop - columns.start, rows.stop - rows.start) == frame
    before = camera(*picture)
    cameras = fit.windowed_cameras(fit.cameras(before))
    ratio = np.array(fit.scaled) / picture
    if whole:
        np.testing.assert_allclose(pixel(cameras, POINT), pixel(before, POINT) * ratio, rtol=1e-4, atol=1e-3)
    maps = fit.windowed(np.zeros((2, frame[1], frame[0])))
    assert maps.shape == (2, cameras.height, cameras.width)


def test_counts_and_sizes_are_what_the_models_take():
    assert [frame_count(wanted, 8) for wanted in (1, 2, 5, 12, 13, 14, 161)] == [9, 9, 9, 9, 17, 17, 161]
    assert [frame_count(wanted, 4) for wanted in (81, 82, 83, 84)] == [81, 81, 81, 85]
    assert frame_count(25, 1) == 25
    assert frame_size((300, 200), (832, 480), 16) == (768, 512)
    assert frame_size((200, 300), (832, 480), 16) == (512, 768)
    width, height = frame_size((5000, 100), (832, 480), 16)
    assert width % 16 == height % 16 == 0


def test_cameras_of_another_size_are_our_own_mistake():
    with pytest.raises(ValueError, match="do not fit"):
        framing((64, 48), (32, 32), whole=True).cameras(camera(32, 24))
