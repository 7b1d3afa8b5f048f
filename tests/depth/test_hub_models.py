"""Depth models of the real classes, tiny and random, and a picture whose depth is known."""

import shutil

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from skimage import data

from img2world.core.camera_paths import arc
from img2world.core.errors import ImageError, MissingPackageError
from img2world.core.image import Image
from img2world.depth import hub_models
from img2world.depth.hub_models import inverse_depth
from img2world.layered.subject import AutoSubject
from img2world.trajectory.paths import along
from img2world.video.nano import NanoVideo


def depth_anything():
    import transformers as t

    backbone = t.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], reshape_hidden_states=False,
    )  # fmt: skip
    config = t.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8], fusion_hidden_size=8,
        head_hidden_size=8, reassemble_factors=[4, 2],
    )  # fmt: skip
    return t.DepthAnythingForDepthEstimation(config), {"size": 56, "keep_aspect_ratio": True, "ensure_multiple_of": 14}


def dpt():
    import transformers as t

    config = t.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=37, image_size=32, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    return t.DPTForDepthEstimation(config), {"size": 32}


def depth_pro():
    import transformers as t

    part = {
        "model_type": "dinov2", "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 1, "patch_size": 4,
        "image_size": 8, "mlp_ratio": 2,
    }  # fmt: skip
    config = t.DepthProConfig(
        patch_size=8, patch_embeddings_size=4, num_attention_heads=2, scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.2], scaled_images_feature_dims=[12, 8], intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[10, 6], fusion_hidden_size=16, image_model_config=part, patch_model_config=part,
        fov_model_config=part,
    )  # fmt: skip
    return t.DepthProForDepthEstimation(config), {"size": 16}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Gives the folder of a tiny depth model by name."""
    import json

    def get(name):
        path = tmp_path_factory.getbasetemp() / f"depth-{name}"
        if not path.exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model, steps = {"depth_anything": depth_anything, "dpt": dpt, "depth_pro": depth_pro}[name]()
                for values in model.parameters():
                    torch.nn.init.normal_(values, std=0.2)
            model.save_pretrained(path)
            side = steps.pop("size")
            size = {"size": {"width": side, "height": side}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
            (path / "preprocessor_config.json").write_text(
                json.dumps({"image_processor_type": "DPTImageProcessor", **size, **steps})
            )
        return path

    return get


@pytest.mark.parametrize("name", ["depth_anything", "dpt", "depth_pro"])
def test_each_kind_of_model_gives_inverse_depth(name, checkpoint):
    rgb = data.coffee()[::4, ::4]
    found = inverse_depth(rgb, str(checkpoint(name)))
    assert found.shape == rgb.shape[:2]
    assert found.min() > 0
    assert found.std() > 0.01
    np.testing.assert_array_equal(found, inverse_depth(rgb, str(checkpoint(name))))


@pytest.mark.parametrize("name", ["depth_anything", "dpt"])
def test_pictures_are_prepared_as_transformers_does(name, checkpoint):
    from transformers import AutoImageProcessor

    rgb = data.coffee()[::4, ::4]
    theirs = AutoImageProcessor.from_pretrained(checkpoint(name), local_files_only=True)(rgb, return_tensors="np")
    ours = hub_models._preprocessing(checkpoint(name)).tensor(rgb)
    assert ours.shape == theirs["pixel_values"].shape
    np.testing.assert_allclose(ours, theirs["pixel_values"], atol=0.02)  # they round to whole grey values


def test_disparity_has_no_zero_and_inverse_depth_has():
    predicted = np.linspace(10, 20, 1000, dtype=np.float32).reshape(20, 50)
    disparity = hub_models._normalized(predicted, "disparity")
    assert disparity.min() == pytest.approx(1 / hub_models.MAX_DEPTH, rel=0.02)
    assert np.median(disparity) == pytest.approx(1, rel=0.01)
    metric = hub_models._normalized(predicted, "inverse depth")
    np.testing.assert_allclose(metric, (predicted / 15).clip(metric.min(), metric.max()), rtol=0.01)
    assert (hub_models._normalized(np.full((4, 5), 7, np.float32), "disparity") == 1).all()


def test_a_scene_is_warped_by_the_models_depth(checkpoint, monkeypatch):
    # The near half moves about four times as far as the far half.
    known = np.full((64, 96), 0.4, np.float32)
    known[:, :48] = 1.6
    monkeypatch.setattr(hub_models, "inverse_depth", lambda rgb, name: known)
    subject = AutoSubject(depth="transformers", kind="scene").find(Image(rgb=data.coffee()[:300, :450]))
    trajectory = along(subject, 96, arc(8, half_azimuth=np.radians(3)))
    frames = NanoVideo().generate(subject, trajectory)
    assert frames.depth is not None
    assert frames.depth.shape[1:] == (64, 96)
    np.testing.assert_allclose(frames.depth[0][10:-10, 5:40], 1 / 1.6, rtol=0.02)
    np.testing.assert_allclose(frames.depth[0][10:-10, 56:-5], 1 / 0.4, rtol=0.02)
    assert (frames.seen[0] == 2).mean() > 0.97
    assert (frames.seen[2] < 2).any()
    exact = np.abs(frames.rgb[0].astype(int) - np.asarray(resized(subject.image.rgb))).mean()
    assert exact < 6  # the seam is drawn from a wider copy of the picture


def resized(rgb):
    """The picture at the size of the frames."""
    import cv2

    return cv2.resize(rgb, (96, 64), interpolation=cv2.INTER_AREA)


def test_what_cannot_be_used_is_one_line(checkpoint, tmp_path, monkeypatch):
    rgb = data.coffee()[::8, ::8]
    with pytest.raises(ImageError, match="not on this machine"):
        inverse_depth(rgb, "depth-anything/Depth-Anything-V2-Small-hf")
    with pytest.raises(ImageError, match="not a transformers model"):
        inverse_depth(rgb, str(tmp_path))
    broken = shutil.copytree(checkpoint("dpt"), tmp_path / "dpt")
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="cannot be loaded"):
        inverse_depth(rgb, str(broken))
    (broken / "preprocessor_config.json").unlink()
    with pytest.raises(ImageError, match="preprocessor_config"):
        hub_models._preprocessing(broken)
    (broken / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ImageError, match="is of type bert, needs depth_anything"):
        inverse_depth(rgb, str(broken))
    monkeypatch.setattr(hub_models, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="needs transformers"):
        inverse_depth(rgb, "x")
