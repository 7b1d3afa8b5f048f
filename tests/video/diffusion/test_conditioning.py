import numpy as np
import pytest

from img2world.core.errors import VideoError
from img2world.video.diffusion.conditioning import plan_conditioning, segment_frames
from img2world.video.ltx import LtxVideo

SMALL = {"width": 96, "height": 64, "num_frames": 9}


def test_a_scene_fills_the_frame_and_the_path_has_a_camera_for_each_frame(scene_subject, path_for):
    path = path_for(scene_subject)
    conditioning = plan_conditioning("ltx", LtxVideo(**SMALL), scene_subject, path)
    assert conditioning.first_frame.shape == (64, 96, 3)
    assert np.asarray(conditioning.image).tolist() == conditioning.first_frame.tolist()
    assert not (conditioning.first_frame == 255).all(-1).any()
    assert not conditioning.is_object
    assert len(conditioning) == 9
    assert conditioning.num_pixels == 9 * 96 * 64
    for place, index in ((0, 0), (4, 1), (8, 2)):
        np.testing.assert_allclose(conditioning.cameras.world_from_cam[place], path.world_from_cam[index], atol=1e-6)
    # 112x80 pixels cover 96x64 when they are scaled by 96/112, so the field of view is that of the whole width.
    before, after = (2 * np.arctan(c.width / 2 / c.intrinsics[0, 0, 0]) for c in (path, conditioning.cameras))
    assert after == pytest.approx(before, abs=1e-3)


def test_without_options_a_clip_has_the_size_of_the_model_and_the_shape_of_the_picture(scene_subject, path_for):
    conditioning = plan_conditioning("ltx", LtxVideo(), scene_subject, path_for(scene_subject))
    assert len(conditioning) == 121
    width, height = conditioning.cameras.width, conditioning.cameras.height
    assert width * height == pytest.approx(704 * 512, rel=0.05)
    assert width / height == pytest.approx(112 / 80, rel=0.05)


def test_an_object_is_shown_whole_on_white_and_its_frames_lose_the_padding(object_subject, path_for):
    conditioning = plan_conditioning("ltx", LtxVideo(**SMALL), object_subject, path_for(object_subject))
    assert conditioning.is_object
    assert (conditioning.first_frame[:, :16] == 255).all()
    assert (conditioning.first_frame[32, 48] < 255).any()
    frames = conditioning.to_frames(
        np.repeat(conditioning.first_frame[None], 9, 0),
        cameras=conditioning.cameras,
        depth=np.ones((9, 64, 96), np.float32),
    )
    assert frames.rgb.shape == (9, 64, 64, 3)
    assert frames.depth is not None
    assert frames.depth.shape == (9, 64, 64)
    assert frames.cameras is not None
    np.testing.assert_allclose(frames.cameras.intrinsics[:, :2, 2], 32)
    assert frames.alpha is not None
    assert frames.alpha[0, 32, 32] == 255
    assert frames.alpha[0, 0, 0] == 0
    np.testing.assert_allclose(frames.times, np.arange(9) / 24)


def test_all_options_of_a_prompted_model_reach_its_arguments(scene_subject, path_for):
    options = LtxVideo(prompt="a street", negative_prompt="rain", steps=7, guidance=3.5, **SMALL)
    conditioning = plan_conditioning("ltx", options, scene_subject, path_for(scene_subject))
    arguments = conditioning.text_arguments(options)
    assert "through a street." in arguments.pop("prompt")
    assert arguments == {
        "negative_prompt": "rain", "num_frames": 9, "height": 64, "width": 96, "num_inference_steps": 7,
        "guidance_scale": 3.5,
    }  # fmt: skip


def test_frames_without_a_plain_background_are_kept_whole(object_subject, scene_subject):
    cut = segment_frames(np.asarray(object_subject.image.rgb)[None])
    assert 0.2 < (cut > 0).mean() < 0.6
    assert (segment_frames(np.asarray(scene_subject.image.rgb)[None]) == 255).all()


def test_no_picture_a_wrong_size_and_another_shape_are_refused(scene_subject, object_subject, path_for):
    path = path_for(scene_subject)
    with pytest.raises(VideoError, match="needs one picture"):
        plan_conditioning("ltx", LtxVideo(), None, path)
    with pytest.raises(VideoError, match="needs multiples of 32") as caught:
        plan_conditioning("ltx", LtxVideo(width=100), scene_subject, path)
    assert "such as" in caught.value.hint
    with pytest.raises(VideoError, match="needs the same shape"):
        plan_conditioning("ltx", LtxVideo(), object_subject, path)
