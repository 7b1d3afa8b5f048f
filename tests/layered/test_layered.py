import cv2
import numpy as np
import pytest
from skimage import data

from img2world.core.camera_paths import arc, orbit
from img2world.core.cameras import Cameras
from img2world.core.errors import ImageError
from img2world.core.image import Image
from img2world.layered.build import build_layers
from img2world.layered.foreground import find_object
from img2world.layered.inpaint import add_grain, fill_smooth
from img2world.layered.layers import CONTINUED, INVENTED, SEEN
from img2world.layered.object_layers import (
    CutOut,
    bevel,
    colors_behind,
    cut_out,
    object_camera,
    signed_distance,
)
from img2world.layered.scene_layers import scene_camera
from img2world.layered.subject import AutoSubject
from img2world.layered.warp import Warper


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.hypot(x, y) < radius


def ball_picture(background: tuple[int, int, int], *, alpha: bool = False, size: int = 160) -> Image:
    """A shaded orange ball, before a plain background or cut out."""
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    inside = disc(size, 0.3 * size)
    light = 0.6 + 0.4 * np.clip(-(x + y) / (0.6 * size), -1, 1)
    rgb = np.where(inside[..., None], light[..., None] * np.array([240, 130, 30]), background).astype(np.uint8)
    return Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255 if alpha else None)


def look(layered, camera, pose):
    here = Cameras(
        world_from_cam=pose[None].astype(np.float32),
        intrinsics=camera.intrinsics,
        width=camera.width,
        height=camera.height,
    )
    return Warper(layered).draw(here)


@pytest.mark.parametrize("background", [(255, 255, 255), (128, 128, 128), (30, 60, 110)])
def test_object_before_plain_background_is_found(background):
    picture = ball_picture(background)
    alpha, _ = find_object(picture)
    truth = disc(160, 48)
    assert alpha is not None
    mask = alpha > 127
    assert (mask & truth).sum() / (mask | truth).sum() > 0.96


def test_gradient_backdrop_with_soft_shadow_is_not_the_object():
    picture = ball_picture((200, 200, 200))
    y, x = np.mgrid[:160, :160]
    backdrop = 235 - 40 * (y / 160) ** 2
    shadow = 30 * np.exp(-(((x - 80) / 45) ** 2 + ((y - 135) / 10) ** 2))
    truth = disc(160, 48)
    rgb = np.where(truth[..., None], picture.rgb, (backdrop - shadow)[..., None]).astype(np.uint8)
    alpha, _ = find_object(Image(rgb=rgb))
    assert alpha is not None
    mask = alpha > 127
    assert (mask & truth).sum() / (mask | truth).sum() > 0.93


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea", "rocket", "brick", "hubble_deep_field"])
def test_photos_without_a_free_object_are_scenes(name):
    picture = getattr(data, name)()
    rgb = picture if picture.ndim == 3 else np.dstack([picture] * 3)
    assert find_object(Image(rgb=rgb))[0] is None


def test_transparent_picture_is_refused():
    empty = Image(rgb=np.zeros((40, 40, 3), np.uint8), alpha=np.zeros((40, 40), np.uint8))
    with pytest.raises(ImageError, match="transparent"):
        find_object(empty)


def bar(size: int, width: float, slope: float) -> np.ndarray:
    """Alpha of a slanted bar from edge to edge, each pixel covered as far as the bar covers it."""
    fine = (np.arange(8 * size) + 0.5) / 8 - size / 2
    across = (fine[:, None] - slope * fine[None]) / np.hypot(1, slope)
    cover = (np.abs(across) < width / 2).astype(np.float32)
    return cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("radius", [20.0, 20.3, 20.7])
def test_distance_from_an_outline_is_known_between_pixels(radius):
    y, x = np.mgrid[:64, :64] + 0.5 - 32
    away = radius - np.hypot(x, y)
    distance = signed_distance(np.clip(away + 0.5, 0, 1).astype(np.float32))
    near = np.abs(away) < 12
    np.testing.assert_allclose(distance[near], away[near], atol=0.25)
    assert abs(float((distance - away)[near].mean())) < 0.05


@pytest.mark.parametrize("slope", [0.0, 0.13, 0.4, 0.9])
def test_a_thin_slanted_leg_has_no_beads(slope):
    alpha = bar(96, 3.4, slope)
    half = bevel(np.full(alpha.shape, 9, np.float32), alpha, 8.0)
    along = half.max(0)[24:72]  # the thickest of each column
    assert along.std() < 0.08 * along.mean()


def test_fills_keep_what_is_known_and_stay_in_range():
    rng = np.random.default_rng(0)
    rgb = rng.random((48, 64, 3), np.float32)
    known = np.ones((48, 64), bool)
    known[10:40, 20:50] = False
    smooth = fill_smooth(rgb, known)
    for filled in (smooth, add_grain(smooth, rgb, known, reach=8.0)):
        np.testing.assert_allclose(filled[known], rgb[known], atol=1e-6)
        assert np.isfinite(filled).all()
        assert filled.min() >= 0
        assert filled.max() <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_plain_picture_is_filled_plainly(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 130, 2)
    known = rng.random((height, width)) < 0.02
    known[:, : width // 2 + 1] |= seed % 2 == 0
    known[rng.integers(height), rng.integers(width)] = True
    plain = np.full((height, width, 3), 0.6, np.float32)
    given = plain * known[..., None]
    smooth = fill_smooth(given, known)
    for filled in (smooth, add_grain(smooth, given, known, 9.0)):
        np.testing.assert_allclose(filled, plain, atol=1e-4)


def test_grain_continues_texture_better_than_smearing():
    photo = data.brick().astype(np.float32)[:256, :256] / 255
    rgb = np.dstack([photo] * 3)
    known = np.ones((256, 256), bool)
    known[96:160, 96:160] = False
    smeared = cv2.inpaint((rgb * 255).astype(np.uint8), (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    given = np.where(known[..., None], rgb, 0)
    filled = add_grain(fill_smooth(given, known), given, known, reach=32.0)

    def texture(picture):
        return float(np.abs(cv2.Laplacian(picture[96:160, 96:160, 0].astype(np.float32), cv2.CV_32F)).mean())

    truth = texture(rgb)
    assert abs(texture(filled) - truth) < abs(texture(smeared / 255) - truth)


def test_grain_is_mirrored_and_shapes_are_not():
    rng = np.random.default_rng(3)
    rgb = (0.6 + 0.06 * rng.standard_normal((128, 256, 3))).astype(np.float32).clip(0, 1)
    y, x = np.mgrid[:128, :256] + 0.5
    rgb[np.hypot(x - 112, y - 64) < 10] -= 0.4  # a dark thing 6 pixels before the border
    known = x < 128
    given = np.where(known[..., None], rgb, 0)
    filled = add_grain(fill_smooth(given, known), given, known, reach=60.0)
    twin = filled[np.hypot(x - 144, y - 64) < 10]
    assert twin.mean() > 0.5  # the thing itself has 0.2
    beside = filled[8:32, 130:150]
    assert abs(beside.mean() - 0.6) < 0.03
    assert beside.std() > 0.5 * rgb[8:32, 100:125].std()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("margin", [0, 6])
def test_backs_of_a_cut_out_that_fills_its_picture_have_colours(margin):
    alpha = np.zeros((96, 96), np.float32)
    alpha[:, margin : 96 - margin] = 1
    rgb = np.random.default_rng(0).random((96, 96, 3), np.float32)
    behind = colors_behind(CutOut(rgb=rgb, alpha=alpha))
    assert np.isfinite(behind).all()
    assert abs(behind.mean() - rgb.mean()) < 0.05


def test_object_is_the_photo_in_front_and_closed_all_around():
    picture = ball_picture((255, 255, 255), alpha=True)
    layered, camera = build_layers(AutoSubject().find(picture), 96), object_camera(96)
    cut = cut_out(picture, picture.alpha, 96)
    poses = orbit(6)
    front = look(layered, camera, poses[0])
    inside = cv2.erode((cut.alpha > 0.5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert np.abs(front.rgb - cut.rgb)[inside].mean() < 0.02
    assert (front.seen[inside] == SEEN).all()
    for pose in poses:
        seen = look(layered, camera, pose)
        solid = (seen.alpha > 0.5).astype(np.uint8)
        count, _ = cv2.connectedComponents(1 - solid, connectivity=4)
        assert count == 2  # the background and the object: no hole and no slit
        assert solid[0].max() == solid[-1].max() == solid[:, 0].max() == solid[:, -1].max() == 0
    back = look(layered, camera, poses[3])
    assert (back.seen[back.alpha == 1] == INVENTED).mean() > 0.96  # front and back cross at the outline
    mirrored = front.alpha[:, ::-1]
    # Seen from behind, perspective makes the outline differ by a pixel or two, the more the less flat the shape is.
    assert (np.abs(back.alpha - mirrored) > 0.5).mean() < 0.04


def test_scene_is_the_photo_in_front_and_has_no_gaps_beside():
    picture = Image(rgb=data.coffee())
    layered, camera = build_layers(AutoSubject().find(picture), 160), scene_camera(picture, 160)
    small = cv2.resize(picture.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA) / 255
    poses = arc(8, half_azimuth=0.12)
    front = look(layered, camera, poses[0])
    assert np.abs(front.rgb - small).mean() < 0.02
    assert (front.seen == SEEN).all()
    side = look(layered, camera, poses[2])
    assert side.alpha.min() == 1
    assert 0 < (side.seen == CONTINUED).mean() < 0.15
    assert side.depth.min() > 0.3
    # The nearer lower part moves less on the screen than the farther upper part around the turning point.
    assert side.depth[-10:].mean() < side.depth[:10].mean()


def test_depth_is_where_the_surface_is():
    picture = ball_picture((255, 255, 255), alpha=True)
    layered, camera = build_layers(AutoSubject().find(picture), 96), object_camera(96)
    front = look(layered, camera, orbit(4)[0])
    back = look(layered, camera, orbit(4)[2])
    assert front.depth[48, 48] + back.depth[48, 48] < 2  # the shape has a thickness
    assert front.depth[48, 48] == pytest.approx(back.depth[48, 48], abs=0.02)
    assert front.depth[0, 0] == 0


def test_back_has_the_rims_colors_at_their_height_and_no_features():
    inside = disc(160, 60)
    upper = np.mgrid[:160, :160][0] < 80
    rgb = np.where(upper[..., None], (40, 160, 60), (150, 80, 30)).astype(np.uint8)
    rgb[disc(160, 25)] = (20, 40, 250)  # a face, say
    picture = Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255)
    layered = build_layers(AutoSubject().find(picture), 96)
    back = layered.layers[1].texture * 255
    assert back[..., 2].max() < 75  # nothing of the face
    for row, color in ((25, (40, 160, 60)), (48 + 23, (150, 80, 30))):
        np.testing.assert_allclose(back[row, 30:66], np.broadcast_to(color, (36, 3)), atol=12)


def test_what_a_frame_holds_is_not_behind_it():
    inside = np.zeros((160, 160), bool)
    inside[20:140, 20:140] = True
    rgb = np.full((160, 160, 3), (90, 60, 40), np.uint8)
    rgb[30:130, 30:130] = (60, 120, 220)  # the picture
    picture = Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255)
    back = build_layers(AutoSubject().find(picture), 96).layers[1].texture * 255
    np.testing.assert_allclose(back[30:66, 30:66], np.broadcast_to((90, 60, 40), (36, 36, 3)), atol=12)


def test_layers_go_on_behind():
    inside = np.zeros((160, 160), bool)
    inside[20:140, 35:125] = True
    hoops = (np.mgrid[:160, :160][0] // 20) % 2 == 0
    rgb = np.where(hoops[..., None], (200, 40, 30), (230, 230, 230)).astype(np.uint8)
    picture = Image(rgb=rgb, alpha=inside.astype(np.uint8) * 255)
    back = build_layers(AutoSubject().find(picture), 96).layers[1].texture * 255
    middle = back[24:72, 48, 1]  # two hoops and what is between them
    assert np.ptp(middle) > 0.75 * 190
