import numpy as np
import pytest

pytest.importorskip("diffusers")

from img2world.video.sana_wm import SanaWmVideo


def test_cameras_are_handed_over_followed_and_returned(checkpoint, scene_subject, path_for, monkeypatch):
    from diffusers import SanaWMPipeline

    seen, call = [], SanaWMPipeline.__call__
    monkeypatch.setattr(
        SanaWMPipeline, "__call__", lambda pipe, **arguments: seen.append(arguments) or call(pipe, **arguments)
    )
    video = SanaWmVideo(checkpoint=str(checkpoint("sana-wm")), width=64, height=64, num_frames=17, steps=1, scale=2.0)
    path = path_for(scene_subject, 17)
    frames = video.generate(scene_subject, path)
    # The path goes right, up and nearer; OpenCV's up is -Y.
    right, down, forward = seen[0]["c2w"][-1, :3, 3]
    assert right > 0
    assert down < 0
    assert forward > 0
    np.testing.assert_allclose(
        [right, down, forward],
        2 * (path.cam_from_world[0] @ [*path.centers_in_world[-1], 1])[:3],
        rtol=1e-4,
    )
    assert seen[0]["image"].size == (64, 64)
    np.testing.assert_allclose(seen[0]["intrinsics"][:, 2:], 32)  # the picture was cut alike on both sides
    assert frames.cameras is not None
    np.testing.assert_allclose(frames.cameras.world_from_cam, path.world_from_cam, atol=1e-5)
    # The same noise with another path gives other frames: the cameras reach the model.
    still = type(path)(
        world_from_cam=np.repeat(path.world_from_cam[:1], 17, 0), intrinsics=path.intrinsics, width=path.width,
        height=path.height,
    )  # fmt: skip
    other = video.generate(scene_subject, still)
    assert (other.rgb != frames.rgb).any()
