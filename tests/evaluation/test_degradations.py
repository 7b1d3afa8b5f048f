"""Each fault comes in the dose that it is said to have."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage

from evaluation.degradations import DOSES, Faults, degraded
from img2world.core.frames import Frames

NONE = Faults(blur=0.01, warp=1e-6, flicker=0.0, tint=0.0, noise=0.0, jpeg=100)


@pytest.fixture(scope="module")
def frames() -> Frames:
    photo = cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    return Frames(rgb=np.repeat(photo[None], 6, 0), times=np.arange(6.0))


def test_nothing_changes_nothing(frames):
    assert degraded(frames, DOSES["clean"], seed=0) is frames
    # JPEG at its best quality changes colours by a grey level or two.
    assert np.abs(degraded(frames, NONE, seed=0).rgb.astype(int) - frames.rgb).mean() < 2


def test_the_seed_decides(frames):
    first, again, other = (degraded(frames, DOSES["hard"], seed=seed).rgb for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_flicker_and_noise(frames):
    grey = replace(frames, rgb=np.full((60, 64, 64, 3), 120, np.uint8), times=np.arange(60.0))
    means = degraded(grey, replace(NONE, flicker=0.15), seed=1).rgb.mean((1, 2, 3)) / 120
    assert means.std() == pytest.approx(0.15, rel=0.3)  # Of 60 draws.
    # JPEG stores colours coarser than brightness, which sees the noise of the three channels weighted.
    weights = np.array([0.299, 0.587, 0.114])
    noisy = degraded(grey, replace(NONE, noise=4.0), seed=1).rgb @ weights
    assert noisy.std() == pytest.approx(4 * np.linalg.norm(weights), rel=0.15)


def test_frames_bend_by_so_many_pixels(frames):
    bent = degraded(frames, replace(NONE, warp=1.8), seed=2).rgb
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (frames.rgb[0], bent[0])]
    flow = cv2.calcOpticalFlowFarneback(*greys, None, 0.5, 4, 21, 5, 7, 1.5, 0)
    middle = flow[32:-32, 32:-32]
    assert 0.7 * 1.8 < np.sqrt((middle**2).mean()) < 1.4 * 1.8  # Flow is known well only where there is texture.


def test_a_plain_background_stays_plain(frames):
    alpha = np.zeros((6, 256, 256), np.uint8)
    alpha[:, 80:180, 80:180] = 255
    rgb = np.where(alpha[..., None] > 0, frames.rgb, 255).astype(np.uint8)
    made = degraded(replace(frames, rgb=rgb, alpha=alpha), DOSES["hard"], seed=0)
    assert made.alpha is not None
    # JPEG rings around the object, not far from it.
    assert (made.rgb[:, :40] > 250).all()
    assert np.abs(made.rgb[:, 100:160, 100:160].astype(int) - rgb[:, 100:160, 100:160]).mean() > 5
