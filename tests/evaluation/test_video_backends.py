from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evaluation.samples import object_sources, room_cameras, room_sources
from evaluation.video_backends import generate_video, parse_video_backend, scale_path
from img2world.core.camera_paths import arc
from img2world.core.errors import RecipeError, VideoError
from img2world.video.nano import NanoVideo
from img2world.video.synthetic import SyntheticVideo


def test_backends_are_parsed_with_their_options():
    assert parse_video_backend("nano") == NanoVideo()
    assert parse_video_backend("nano:fill=builtin, supersample=1") == NanoVideo(fill="builtin", supersample=1)
    with pytest.raises(RecipeError, match="no nanu"):
        parse_video_backend("nanu")
    with pytest.raises(RecipeError, match="has no sampels"):
        parse_video_backend("nano:sampels=1")


def test_object_is_generated_along_the_path(asset_folder):
    sample = object_sources(asset_folder, count=1, size=64)[0].make()
    frames = generate_video(NanoVideo(supersample=1), sample.subject, sample.paths["static"], is_object=True)
    assert frames.rgb.shape == sample.paths["static"].rgb.shape
    # The first frame is nearly the photo.
    assert np.abs(frames.rgb[0].astype(int) - sample.photo.rgb[0]).mean() < 6


def test_path_is_scaled_to_the_depth_of_a_scene():
    room = room_sources(1, 64)[0].make()
    whole = room.paths["arc"]
    truth = replace(
        whole,
        cameras=whole.cameras.select([0, 5]),
        rgb=whole.rgb[[0, 5]],
        alpha=whole.alpha[[0, 5]],
        depth=whole.depth[[0, 5]],
    )
    backend = SyntheticVideo(kind="room", supersample=1)
    plain = backend.generate(room.subject, truth.cameras, seed=0)
    scale = float(np.median(plain.depth[0] / truth.depth[0]))
    frames = generate_video(backend, room.subject, truth, is_object=False)
    expected = backend.generate(room.subject, scale_path(truth.cameras, scale), seed=0)
    assert abs(np.log(scale)) > 0.02
    assert (frames.rgb == expected.rgb).all()
    assert_allclose(np.median(frames.depth[0] / truth.depth[0]), 1, atol=0.01)


def test_scaled_path_keeps_the_first_camera():
    cameras = room_cameras(arc(5, half_azimuth=0.3, half_elevation=0.1), 64)
    scaled = scale_path(cameras, 2.0)
    start = cameras.centers_in_world[0]
    assert_allclose(scaled.centers_in_world - start, 2 * (cameras.centers_in_world - start), atol=1e-6)


def test_wrong_number_of_frames_is_refused(asset_folder):
    sample = object_sources(asset_folder, count=1, size=64)[0].make()

    class Short(SyntheticVideo):
        def generate(self, subject, trajectory, **how):
            return super().generate(subject, trajectory.select([0, 1]), **how)

    with pytest.raises(VideoError, match="2 frames of 64x64 for 21"):
        generate_video(Short(supersample=1), sample.subject, sample.paths["static"], is_object=True)
