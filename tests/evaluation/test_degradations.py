"""Degradations have the strength that they are configured to have."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage

from evaluation.degradations import DEGRADATIONS, Degradation, degrade_frames
from img2world.core.frames import Frames

NONE = Degradation(blur=0.01, warp=1e-6, flicker=0.0, tint=0.0, noise=0.0, jpeg=100)


@pytest.fixture(scope="module")
def frames() -> Frames:
    photo = cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    return Frames(rgb=np.repeat(photo[None], 6, 0), times=np.arange(6.0))


def test_no_degradation_changes_nothing(frames):
    assert degrade_frames(frames, DEGRADATIONS["clean"], seed=0) is frames
    # JPEG at its best quality changes colours by one or two grey levels.
    assert np.abs(degrade_frames(frames, NONE, seed=0).rgb.astype(int) - frames.rgb).mean() < 2


def test_seed_determines_the_degradation(frames):
    first, again, other = (degrade_frames(frames, DEGRADATIONS["hard"], seed=seed).rgb for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_flicker_and_noise(frames):
    grey = replace(frames, rgb=np.full((60, 64, 64, 3), 120, np.uint8), times=np.arange(60.0))
    means = degrade_frames(grey, replace(NONE, flicker=0.15), seed=1).rgb.mean((1, 2, 3)) / 120
    assert means.std() == pytest.approx(0.15, rel=0.3)  # Of 60 draws.
    # JPEG subsamples chroma, so the noise is measured in the luma.
    weights = np.array([0.299, 0.587, 0.114])
    noisy = degrade_frames(grey, replace(NONE, noise=4.0), seed=1).rgb @ weights
    assert noisy.std() == pytest.approx(4 * np.linalg.norm(weights), rel=0.15)


def test_frames_are_warped_by_the_configured_distance(frames):
    warped = degrade_frames(frames, replace(NONE, warp=1.8), seed=2).rgb
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frames.rgb[0], warped[0])]
    flow = cv2.calcOpticalFlowFarneback(*greys, None, 0.5, 4, 21, 5, 7, 1.5, 0)
    center = flow[32:-32, 32:-32]
    assert 0.7 * 1.8 < np.sqrt((center**2).mean()) < 1.4 * 1.8  # Optical flow is accurate only on texture.


def test_plain_background_stays_plain(frames):
    alpha = np.zeros((6, 256, 256), np.uint8)
    alpha[:, 80:180, 80:180] = 255
    rgb = np.where(alpha[..., None] > 0, frames.rgb, 255).astype(np.uint8)
    degraded = degrade_frames(replace(frames, rgb=rgb, alpha=alpha), DEGRADATIONS["hard"], seed=0)
    assert degraded.alpha is not None
    # JPEG artefacts stay close to the object.
    assert (degraded.rgb[:, :40] > 250).all()
    assert np.abs(degraded.rgb[:, 100:160, 100:160].astype(int) - rgb[:, 100:160, 100:160]).mean() > 5
