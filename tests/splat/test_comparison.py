import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage

from img2world.core.views import Views
from img2world.render import render
from img2world.splat.comparison import SIDE, color_difference, compare_views, save_comparisons
from img2world.splat.views import held_out_mask


@pytest.fixture(scope="module")
def made(scenes):
    """A scene and twelve views of it; those held out, 1, 4, 7 and 10, have ever larger squares in a wrong colour."""
    cameras = scenes.cameras(np.linspace(-0.3, 0.3, 12).tolist())
    scene = replace(scenes.scene_of(scenes.three_blobs()), cameras=cameras)
    rgb = (render(scene.gaussians, cameras, background=scene.background).rgb * 255).round().astype(np.uint8)
    for i in (1, 4, 7, 10):
        rgb[i, : 6 * i, : 6 * i] = [255, 255, 0]
    nothing = np.zeros((0, 3))
    views = Views(
        rgb=rgb, cameras=cameras, confidence=np.ones(12, np.float32), points=nothing.astype(np.float32),
        point_colors=nothing.astype(np.uint8), solver="test", alpha=np.full(rgb.shape[:3], 255, np.uint8),
    )  # fmt: skip
    return scene, views


def test_differences_are_those_of_another_implementation():
    from skimage.color import deltaE_cie76, rgb2lab

    first, second = np.random.default_rng(0).uniform(0, 1, (2, 20, 30, 3)).astype(np.float32)
    expected = deltaE_cie76(rgb2lab(first), rgb2lab(second))
    # OpenCV interpolates in tables; one of 2.3 is just noticeable.
    np.testing.assert_allclose(color_difference(first, second), expected, atol=0.5)


def test_held_out_views_come_first_the_worst_of_them_before_all(made):
    shown = compare_views(*made, held_out_mask(12, 3))
    assert [comparison.index for comparison in shown] == [10, 7, 4, 1, 0, 11]
    assert [comparison.held_out for comparison in shown] == [True] * 4 + [False] * 2
    assert shown[0].psnr < shown[1].psnr < shown[3].psnr < 40 < shown[4].psnr
    # The square and nothing else is another colour.
    assert shown[0].differing == pytest.approx(60 * 60 / (200 * 150), abs=0.01)
    _, _, difference = shown[0].pictures
    assert difference[5, 5].sum() > 600
    assert difference[100, 150].sum() < 60
    assert shown[4].differing == 0


def test_what_is_masked_at_the_border_is_not_shown(made):
    scene, views = made
    mask = np.zeros(views.rgb.shape[:3], np.uint8)
    mask[:, :100, :150] = 255
    for comparison in compare_views(scene, replace(views, mask=mask), held_out_mask(12, 3)):
        assert {picture.shape for picture in comparison.pictures} == {(100, 150, 3)}


def test_without_held_out_views_those_of_the_training_are_shown(made):
    shown = compare_views(*made, held_out_mask(12, 0))
    assert [comparison.index for comparison in shown] == [0, 2, 4, 7, 9, 11]
    assert not any(comparison.held_out for comparison in shown)


def test_pictures_and_figures_are_saved(made, tmp_path):
    shown = compare_views(*made, held_out_mask(12, 3))
    save_comparisons(shown, tmp_path / "comparison")
    table = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    assert [entry["index"] for entry in table] == [10, 7, 4, 1, 0, 11]
    for name in ("view", "scene", "difference"):
        with PillowImage.open(tmp_path / "comparison" / f"0010-{name}.webp") as picture:
            assert picture.size == (200, 150)
    assert max(picture.size) <= SIDE
