"""The packed motion: what it does to Gaussians is read back within the precision that packed_motion.py states."""

import json
from dataclasses import replace

import numpy as np

from img2world.core.motion import Motion
from img2world.viewer.packed_motion import motion_fields, motion_header, unpack_motion
from img2world.viewer.packed_splats import pack
from tests.moving import moving_scene


def random_motion(count: int, *, bones: int, keys: int = 6) -> Motion:
    rng = np.random.default_rng(bones)
    return Motion(
        key_times=np.cumsum(rng.uniform(0.1, 1, keys)) + 3,
        bone_pivots=rng.normal(size=(bones, 3)).astype(np.float32),
        bone_quats=rng.normal(size=(bones, keys, 4)).astype(np.float32),
        bone_translations=rng.normal(0, 2, (bones, keys, 3)).astype(np.float32),
        bone_indices=rng.integers(0, bones, (count, 4)).astype(np.int32),
        bone_weights=rng.dirichlet([0.5] * 4, count).astype(np.float32),
        windows=(np.array([-1e9, 1e9]) + rng.normal(0, 1, (count, 2))).astype(np.float32),
    )


def packed(motion: Motion, gaussians) -> Motion:
    header, payload = pack(gaussians, motion_fields(motion))
    return unpack_motion(json.loads(json.dumps(motion_header(motion))), json.loads(json.dumps(header)), payload)


def test_round_trip_with_many_bones():
    gaussians = moving_scene(20).gaussians
    for bones in (2, 256, 300):
        motion = random_motion(80, bones=bones)
        found = packed(motion, gaussians)
        np.testing.assert_array_equal(found.bone_indices, motion.bone_indices)
        np.testing.assert_array_equal(found.key_times, motion.key_times)
        # What is there all the time needs no window.
        assert found.windows is None
        exact = replace(found, bone_weights=motion.bone_weights)
        time = float(motion.key_times.mean())
        for a, b in zip(
            exact.move(gaussians.means, gaussians.quats, time),
            motion.move(gaussians.means, gaussians.quats, time),
            strict=True,
        ):
            # 24 bits of twenty units are a millionth.
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_weights_still_sum_to_one():
    motion = random_motion(80, bones=3)
    found = packed(motion, moving_scene(20).gaussians).bone_weights
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert np.abs(found - motion.bone_weights).max() < 1 / 255


def test_windows_are_precise_within_the_time_that_is_shown():
    scene = moving_scene(10)
    windows = scene.motion.windows + np.linspace(-0.7, 0.7, 40, dtype=np.float32)[:, None]
    # One that is as good as infinite must not coarsen the others.
    windows[0] = [-1e6, 1e6]
    motion = replace(scene.motion, windows=windows)
    found = packed(motion, scene.gaussians)
    for time in np.linspace(0, 2, 9):
        np.testing.assert_allclose(found.presence(time), motion.presence(time), atol=1e-4)
