import numpy as np
import pytest

pytest.importorskip("diffusers")

from img2world.video.diffusion import pipelines
from img2world.video.wan_vace import GREY, WanVaceVideo


@pytest.fixture
def calls(monkeypatch):
    """Record the arguments of the pipeline, and the control video that it prepares from them."""
    from diffusers import WanVACEPipeline

    calls, prepared = [], []
    call, prepare = WanVACEPipeline.__call__, WanVACEPipeline.prepare_video_latents

    def record_call(pipe, **arguments):
        calls.append(arguments)
        return call(pipe, **arguments)

    def record_prepare(pipe, video, mask, *others):
        prepared.append((video.numpy(), mask.numpy()))
        return prepare(pipe, video, mask, *others)

    monkeypatch.setattr(WanVACEPipeline, "__call__", record_call)
    monkeypatch.setattr(WanVACEPipeline, "prepare_video_latents", record_prepare)
    return calls, prepared


def test_the_pipeline_gets_warped_frames_and_a_mask(calls, checkpoint, scene_subject, path_for):
    video = WanVaceVideo(checkpoint=str(checkpoint("wan-vace")), width=96, height=64, num_frames=5, steps=1)
    frames = video.generate(scene_subject, path_for(scene_subject, 5))
    [arguments], [(shown, mask)] = calls
    # As WanVACEPipeline documents: as many masks as frames; white is generated, black is kept.
    assert [picture.size for picture in arguments["video"]] == [(96, 64)] * 5
    assert [(picture.size, picture.mode) for picture in arguments["mask"]] == [((96, 64), "L")] * 5
    assert len(arguments["reference_images"]) == 1
    assert arguments["num_frames"] == 5
    assert shown.shape == (1, 3, 5, 64, 96)
    assert mask.shape == (1, 1, 5, 64, 96)
    assert set(np.unique(mask)) <= {0.0, 1.0}
    assert not mask[0, :, 0].any()
    assert 0.01 < mask[0, :, 4].mean() < 0.8
    # What is to be generated is zero, in the pipeline's range of -1 to 1.
    np.testing.assert_allclose(shown[np.broadcast_to(mask > 0.5, shown.shape)], 2 * GREY / 255 - 1, atol=1e-5)
    # The first frame is the picture itself.
    first = np.asarray(arguments["video"][0])
    assert np.abs(first.astype(int) - np.asarray(arguments["reference_images"][0])).max() == 0
    assert frames.seen is not None
    assert frames.depth is not None
    kept = mask[0, 0] < 0.5
    np.testing.assert_array_equal(frames.seen == 2, kept)
    np.testing.assert_array_equal(frames.depth > 0, kept)
    assert frames.cameras is not None
    assert len(frames.cameras) == 5


def test_kept_pixels_are_where_their_depth_and_cameras_say(calls, checkpoint, scene_subject, path_for):
    video = WanVaceVideo(checkpoint=str(checkpoint("wan-vace")), width=96, height=64, num_frames=5, steps=1)
    frames = video.generate(scene_subject, path_for(scene_subject, 5))
    shown = np.stack([np.asarray(picture) for picture in calls[0][0]["video"]]).astype(int)
    cameras, depth = frames.cameras, frames.depth[4]
    rows, columns = np.nonzero(depth)
    fx, fy, cx, cy = (cameras.intrinsics[4][index] for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    z = depth[rows, columns]
    points = np.stack([(columns + 0.5 - cx) / fx * z, (rows + 0.5 - cy) / fy * z, z, np.ones_like(z)])
    in_first = cameras.cam_from_world[0] @ (cameras.world_from_cam[4] @ points)
    x = (cameras.intrinsics[0, 0, 0] * in_first[0] / in_first[2] + cameras.intrinsics[0, 0, 2]).astype(int)
    y = (cameras.intrinsics[0, 1, 1] * in_first[1] / in_first[2] + cameras.intrinsics[0, 1, 2]).astype(int)
    inside = (x >= 0) & (x < 96) & (y >= 0) & (y < 64)
    moved = np.abs(shown[4][rows, columns] - shown[0][y.clip(0, 63), x.clip(0, 95)])[inside].mean()
    still = np.abs(shown[4][rows, columns] - shown[0][rows, columns])[inside].mean()
    assert moved < 0.5 * still


def test_the_background_of_an_object_is_kept_white(calls, checkpoint, object_subject, path_for):
    video = WanVaceVideo(checkpoint=str(checkpoint("wan-vace")), width=64, height=64, num_frames=5, steps=1)
    video.generate(object_subject, path_for(object_subject, 5))
    [arguments], [(shown, mask)] = calls
    assert not mask[0, 0, :, :4].any()
    assert (shown[0, :, :, :4] == 1).all()
    assert mask[0, 0, 4].any()
    assert pipelines.CARDS["wan-vace"].camera == "shown"
    assert "white background" in arguments["prompt"]
