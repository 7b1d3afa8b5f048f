"""The network for depth on photos: features as published, shapes, and what it sees."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from img2world.depth.predict import photo_network, run_photo_network
from img2world.depth.scene_network import MULTIPLE, STRIDE, scene_features
from img2world.depth.u2net import FEATURES


def test_features_have_the_sizes_of_their_scales():
    rgb = torch.zeros(2, 3, 2 * MULTIPLE, 3 * MULTIPLE)
    with torch.inference_mode():
        features = scene_features(photo_network().backbone, rgb)
        maps = photo_network().head(features)
    sizes = {name: tuple(values.shape[1:]) for name, values in features.items()}
    assert sizes == {
        "quarter": (2 * FEATURES, 16, 24),
        "eighth": (2 * FEATURES, 8, 12),
        "sixteenth": (2 * FEATURES, 4, 6),
        "last": (FEATURES, 2, 3),
        "color": (3, 32, 48),
        "saliency": (1, 32, 48),
    }
    assert maps.shape == (2, 2, 2 * MULTIPLE // STRIDE, 3 * MULTIPLE // STRIDE)


def test_backbone_computes_what_the_published_file_does():
    """Recorded from the file by record_u2netp.py; the weights are shipped in half precision."""
    picture = cv2.resize(data.astronaut(), (320, 320), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    rgb = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        saliency = torch.sigmoid(photo_network().backbone(rgb)[1])[0, 0].numpy()
    recorded = np.array(json.loads(Path(__file__).with_name("u2netp.json").read_text()))
    means = saliency.reshape(20, 16, 20, 16).mean((1, 3))
    assert np.abs(means - recorded).mean() < 0.002
    assert np.abs(means - recorded).max() < 0.03  # Half precision moves the outline by a fraction of a pixel.
    assert recorded.std() > 0.3


@pytest.mark.parametrize(
    ("name", "near", "far"), [("astronaut", (300, 200), (120, 380)), ("chelsea", (220, 240), (120, 440))]
)
def test_what_stands_out_is_nearer_than_its_background(name, near, far):
    rgb = getattr(data, name)()
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (192, round(192 * height / width / 32) * 32), interpolation=cv2.INTER_AREA)
    log_depth, sky = run_photo_network(small.astype(np.float32) / 255)
    assert log_depth.shape == sky.shape == small.shape[:2]
    scale = np.array(log_depth.shape) / (height, width)
    one, other = (tuple((np.array(at) * scale).astype(int)) for at in (near, far))
    assert log_depth[one] < log_depth[other] - 0.1
