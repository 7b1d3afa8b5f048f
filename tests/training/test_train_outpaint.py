import json

import numpy as np
import pytest

pytest.importorskip("numba")

import torch

from img2world.depth.network import Channel, GeometryNetwork
from img2world.depth.weights import shipped
from img2world.layered.outpaint import WEIGHTS, feather, outpaint
from training.evaluate_outpaint import outpaint_path_metrics
from training.fill_path_metrics import held_out_paths
from training.geo_batches import make_batch
from training.materials import MaterialSampler
from training.outpainting import (
    MIN_PIXELS,
    OutpaintViewGenerator,
    compose_output,
    held_out_partial_views,
    make_partial_view,
    outpaint_loss,
    outpaint_metrics,
    region_errors,
    remove_objects,
)
from training.scene_kinds import SCENE_MAKERS
from training.train_outpaint import OutpaintConfig, OutpaintTraining
from training.trainer import run_training

TINY = {"batch": 4, "window": 3, "textures": 6, "channels": (16, 24, 32), "warmup": 2, "seed": 5}


@pytest.fixture(scope="module")
def views():
    return held_out_partial_views(4, textures=6)


def test_interrupted_training_resumes_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(OutpaintTraining, "measure", lambda training, network: {"beside": float(training.step)})

    def run(out, *, stop_at=0):
        training = OutpaintTraining(OutpaintConfig(steps=4, **TINY))
        run_training(training, out, report_every=2, stop_at=stop_at)
        return training

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "resumed", stop_at=2).step == 2
    resumed = run(tmp_path / "resumed")
    for name, values in whole.mean.items():
        assert torch.equal(values, resumed.mean[name]), name
    rows = [json.loads(line) for line in (tmp_path / "resumed/log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["beside"]) for row in rows] == [(2, 2), (4, 4)]
    assert (tmp_path / "resumed/curves.png").stat().st_size > 1000


def test_view_is_known_in_part_of_the_photo_only(views):
    for view in views:
        assert view.rgb.shape == view.hidden_rgb.shape == (96, 96, 3)
        np.testing.assert_array_equal(view.rgb[view.known], view.hidden_rgb[view.known])
        assert not (view.hidden_known & view.known).any()
        assert (view.alpha == 1)[view.known].all()
        photo = np.zeros_like(view.known)
        photo[14:-14, 14:-14] = True
        assert not view.known[~photo].any()
        assert view.known.sum() >= 0.04 * 96 * 96
        # Beside the photo the truth differs from the smooth fill.
        border = view.hidden_known & ~photo
        assert np.abs(view.rgb.astype(float) - view.hidden_rgb)[border].mean() > 1
    assert any((view.hidden_known[14:-14, 14:-14]).sum() >= MIN_PIXELS for view in views)


def test_removed_objects_are_missing_as_a_whole():
    materials = MaterialSampler(rng=np.random.default_rng(0), num_textures=4)
    scene = SCENE_MAKERS["tabletop"](materials, 3)
    mesh = scene.assembly.build()
    rng = np.random.default_rng(1)
    candidates = (remove_objects(mesh, scene.viewpoints[0], rng) for _ in range(8))
    reduced = [candidate for candidate in candidates if candidate is not None]
    assert reduced
    for other in reduced:
        removed = set(mesh.object_ids) - set(other.object_ids)
        assert removed
        np.testing.assert_array_equal(other.faces, mesh.faces[~np.isin(mesh.object_ids, list(removed))])
    # Some lack one object, some it and all nearer ones.
    assert len({len(other.faces) for other in reduced}) > 1


def test_near_pixels_are_neither_known_nor_predicted():
    wide = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    removed, near = np.zeros((2, 96, 96), bool)
    removed[30:40, 30:40], near[60:] = True, True
    view = make_partial_view(wide, removed=removed, near=near, kind="room")
    assert not view.known[30:40, 30:40].any()
    assert view.hidden_known[30:40, 30:40].all()
    assert not (view.known | view.hidden_known)[60:].any()
    whole = make_partial_view(wide, removed=removed, near=~removed, kind="room")
    assert whole.known.sum() == 68 * 68
    np.testing.assert_array_equal(whole.hidden_known, ~whole.known)


def test_truth_has_the_least_loss(views):
    batch = make_batch(views)
    maps = torch.zeros(len(views), 10, 96, 96)
    weight = (1 - batch.inputs[:, 3:4]).clamp(min=1e-3)
    maps[:, Channel.RGB] = 2 * (batch.hidden_rgb - batch.rgb) / weight
    # Next to the known pixels, where the output is blended in, the truth cannot be reached.
    difference = (compose_output(maps, batch) - batch.hidden_rgb).abs().amax(1)[batch.inputs[:, 3] == 0]
    assert float(difference.max()) < 1e-5
    composed, filled = (region_errors(images, batch)[0][:, 0] for images in (compose_output(maps, batch), batch.rgb))
    assert float(composed.max()) < float(filled.min()) / 10
    assert float(outpaint_loss(maps, batch)) < float(outpaint_loss(torch.zeros_like(maps), batch))


def test_network_learns_one_batch(views):
    batch = make_batch(views)
    torch.manual_seed(0)
    network = GeometryNetwork((16, 24, 32))
    before = outpaint_metrics(network, views)["beside_gain"]
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(40):
        loss = outpaint_loss(network(batch.inputs)[0], batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert outpaint_metrics(network.eval(), views)["beside_gain"] > before + 0.5


def test_training_composes_images_as_the_program_does(views, monkeypatch):
    torch.manual_seed(0)
    network = GeometryNetwork((16, 24, 32))
    torch.nn.init.normal_(network.exit.weight, std=0.05)
    monkeypatch.setattr("img2world.depth.predict.network", lambda weights: network.eval())
    monkeypatch.setattr("img2world.layered.outpaint.CHANGE_WEIGHT", 1.0)
    view = views[0]
    used = outpaint(view.hidden_rgb.astype(np.float32) / 255, view.known)
    batch = make_batch([view])
    with torch.no_grad():
        maps = [network(inputs)[0] for inputs in (batch.inputs, batch.inputs.flip(3))]
        mean = 0.5 * (maps[0] + maps[1].flip(3))
        # The program mirrors only the image, not the position channels, so the two differ slightly.
        trained = compose_output(mean, batch)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(used, trained, atol=0.02)
    assert np.abs(used - batch.rgb[0].permute(1, 2, 0).numpy()).max() > 0.05


def test_shipped_weights_improve_on_the_smooth_fill():
    metrics = outpaint_metrics(
        GeometryNetwork.from_state(shipped(WEIGHTS, hint="")).eval(), held_out_partial_views(24, textures=30)
    )
    assert metrics["beside_gain"] > 0.4
    assert metrics["behind_gain"] > 0.4


def test_number_determines_the_views():
    one, other = (
        OutpaintViewGenerator(3, textures=6, object_fraction=0).views(5, count=2, width=112, height=80)
        for _ in range(2)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.hidden_rgb, b.hidden_rgb)


def test_alpha_falls_off_next_to_the_photo():
    known = np.zeros((9, 20), bool)
    known[:, :10] = True
    cover = feather(known)
    assert (cover[:, :10] == 1).all()
    assert (np.diff(cover[4, 9:14]) < 0).sum() == 3
    assert (cover[:, 13:] == 0).all()


def test_outpainting_in_use_improves_on_the_nearest_colour():
    metrics = outpaint_path_metrics(held_out_paths(3, textures=30, object_fraction=0), predicted=False)
    assert metrics["paths"] >= 1
    assert metrics["gain"] > 0.3
    assert metrics["gain"] == pytest.approx(metrics["drawn"] - metrics["nearest"], abs=2e-3)
