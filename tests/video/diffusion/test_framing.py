import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.video.diffusion.framing import fit_picture, nearest_frame_count, suitable_frame_size

POINT = np.array([0.11, -0.07, 1.3])


def camera(width, height):
    """Return one camera at the origin."""
    pose = np.eye(4, dtype=np.float32)[None]
    lens = intrinsics_from_fov(0.8, width, height)[None]
    return Cameras(world_from_cam=pose, intrinsics=lens, width=width, height=height)


def pixel(cameras, point):
    """Return the pixel position of a point in camera space."""
    x, y, z = cameras.intrinsics[0].astype(np.float64) @ point
    return np.array([x, y]) / z


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("frame", [(128, 64), (64, 128), (90, 60), (400, 240)])
def test_a_point_lands_where_the_intrinsics_say(frame, pad):
    before = camera(180, 120)
    x, y = pixel(before, POINT)
    # A soft spot around the point's pixel.
    rows, columns = np.mgrid[:120, :180] + 0.5
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 40)
    picture = np.repeat(spot[..., None], 3, -1).astype(np.uint8)
    framing = fit_picture((180, 120), frame, pad=pad)
    framed = framing.place(picture)[..., 0].astype(np.float64)
    assert framed.shape == (frame[1], frame[0])
    after = framing.place_cameras(before)
    expected = pixel(after, POINT)
    shown = np.zeros_like(framed)
    shown[framing.visible] = framed[framing.visible]  # without the white padding
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
def test_cropping_undoes_the_padding(picture, blocks, pad):
    frame = (16 * blocks[0], 16 * blocks[1])
    framing = fit_picture(picture, frame, pad=pad)
    assert any(scaled == side for scaled, side in zip(framing.scaled_size, frame, strict=True))
    rows, columns = framing.visible
    if pad:
        assert (columns.stop - columns.start, rows.stop - rows.start) == framing.scaled_size
    else:
        assert (columns.stop - columns.start, rows.stop - rows.start) == frame
    before = camera(*picture)
    cameras = framing.crop_cameras(framing.place_cameras(before))
    ratio = np.array(framing.scaled_size) / picture
    if pad:
        np.testing.assert_allclose(pixel(cameras, POINT), pixel(before, POINT) * ratio, rtol=1e-4, atol=1e-3)
    maps = framing.crop(np.zeros((2, frame[1], frame[0])))
    assert maps.shape == (2, cameras.height, cameras.width)


def test_counts_and_sizes_are_those_that_models_take():
    assert [nearest_frame_count(wanted, 8) for wanted in (1, 2, 5, 12, 13, 14, 161)] == [9, 9, 9, 9, 17, 17, 161]
    assert [nearest_frame_count(wanted, 4) for wanted in (81, 82, 83, 84)] == [81, 81, 81, 85]
    assert nearest_frame_count(25, 1) == 25
    assert suitable_frame_size((300, 200), (832, 480), 16) == (768, 512)
    assert suitable_frame_size((200, 300), (832, 480), 16) == (512, 768)
    width, height = suitable_frame_size((5000, 100), (832, 480), 16)
    assert width % 16 == height % 16 == 0


def test_cameras_of_another_size_are_a_bug():
    with pytest.raises(ValueError, match="do not fit"):
        fit_picture((64, 48), (32, 32), pad=True).place_cameras(camera(32, 24))
