from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.samples import object_sources, room_cameras, room_sources
from evaluation.video_backends import find_model, generate, scaled_path
from img2world.core.camera_paths import arc
from img2world.core.errors import RecipeError, VideoError
from img2world.video.nano import NanoVideo
from img2world.video.synthetic import SyntheticVideo


def test_models_are_named_with_their_options():
    assert find_model("nano") == NanoVideo()
    assert find_model("nano:kind=object, supersample=1") == NanoVideo(kind="object", supersample=1)
    with pytest.raises(RecipeError, match="no nanu"):
        find_model("nanu")
    with pytest.raises(RecipeError, match="has no sampels"):
        find_model("nano:sampels=1")


def test_an_object_is_generated_along_the_path(asset_folder):
    case = object_sources(asset_folder, count=1, size=64)[0].make()
    frames = generate(NanoVideo(kind="object", supersample=1), case.image, case.paths["static"], is_object=True)
    assert frames.rgb.shape == case.paths["static"].rgb.shape
    # The photo's own frame is nearly the photo.
    assert np.abs(frames.rgb[0].astype(int) - case.photo.rgb[0]).mean() < 6


def test_the_scale_of_a_scene_is_taken_from_its_depth():
    """Another room, in its own scale: the path has to fit it."""
    room = room_sources(1, 64)[0].make()
    whole = room.paths["arc"]
    truth = replace(
        whole,
        cameras=whole.cameras.select([0, 5]),
        rgb=whole.rgb[[0, 5]],
        alpha=whole.alpha[[0, 5]],
        depth=whole.depth[[0, 5]],
    )
    model = SyntheticVideo(kind="room", supersample=1)
    plain = model.generate(room.image, truth.cameras, seed=0)
    scale = float(np.median(plain.depth[0] / truth.depth[0]))
    frames = generate(model, room.image, truth, is_object=False)
    expected = model.generate(room.image, scaled_path(truth.cameras, scale), seed=0)
    assert abs(np.log(scale)) > 0.02
    assert (frames.rgb == expected.rgb).all()
    assert_allclose(np.median(frames.depth[0] / truth.depth[0]), 1, atol=0.01)


def test_a_scaled_path_turns_about_the_photo():
    cameras = room_cameras(arc(5, half_azimuth=0.3, half_elevation=0.1), 64)
    scaled = scaled_path(cameras, 2.0)
    start = cameras.centers_in_world[0]
    assert_allclose(scaled.centers_in_world - start, 2 * (cameras.centers_in_world - start), atol=1e-6)


def test_a_model_that_makes_other_frames_is_refused(asset_folder):
    case = object_sources(asset_folder, count=1, size=64)[0].make()

    class Short(SyntheticVideo):
        def generate(self, image, trajectory, **how):
            return super().generate(image, trajectory.select([0, 1]), **how)

    with pytest.raises(VideoError, match="2 frames of 64x64 came for 21"):
        generate(Short(supersample=1), case.image, case.paths["static"], is_object=True)
