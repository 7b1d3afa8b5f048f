import json

import pytest

pytest.importorskip("numba")

import torch

from img2world.depth.predict import photo_network
from training.published_weights import load_u2netp
from training.scene_batches import SceneBatch
from training.train_scene import SceneConfig, SceneTraining, scene_loss
from training.trainer import run_training

TINY = {"batch": 2, "window": 2, "textures": 2, "warmup": 2, "seed": 3}


def run(out, *, stop_at=0):
    """Run a tiny training on the shipped features."""
    training = SceneTraining(SceneConfig(steps=4, **TINY), photo_network().backbone, held_out=1)
    run_training(training, out, report_every=2, stop_at=stop_at)
    return training


def test_interrupted_training_resumes_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole")
    assert run(tmp_path / "resumed", stop_at=2).step == 2
    resumed = run(tmp_path / "resumed")
    for name, values in whole.mean.items():
        assert torch.equal(values, resumed.mean[name]), name
    rows = [json.loads(line) for line in (tmp_path / "resumed/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(row["absrel"] > 0 for row in rows)


def test_loss_ignores_the_scale_and_the_sky_but_not_relief():
    torch.manual_seed(0)
    log_depth = torch.randn(2, 16, 24)
    known = torch.ones(2, 16, 24, dtype=torch.bool)
    known[:, :4] = False
    sky = torch.where(known, -20.0, 20.0)
    batch = SceneBatch(features={}, log_depth=log_depth.masked_fill(~known, torch.inf), known=known)
    shifted = torch.where(known, log_depth + 1.7, 5.0)
    assert scene_loss(torch.stack([shifted, sky], 1), batch) < 1e-5
    flat = scene_loss(torch.stack([0 * shifted, sky], 1), batch)
    assert flat > scene_loss(torch.stack([0.5 * shifted, sky], 1), batch) > 0.1
    assert scene_loss(torch.stack([shifted, -sky], 1), batch) > 1


def test_another_file_is_not_taken_for_the_published_one(tmp_path):
    (tmp_path / "u2netp.onnx").write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the published"):
        load_u2netp(tmp_path / "u2netp.onnx")
