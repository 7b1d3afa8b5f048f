import json

import numpy as np
import pytest

pytest.importorskip("numba")

import torch

from img2world.depth.network import Channel, NanoGeo
from img2world.depth.weights import shipped
from img2world.layered import outpaint
from img2world.layered.outpaint import outpainted, soft_cover
from training.evaluate_outpaint import holes_table
from training.fill_path_metrics import held_out_paths
from training.materials import Maker
from training.outpainting import (
    ENOUGH,
    WideStudio,
    cleared,
    completed,
    errors,
    held_out_parts,
    outpaint_loss,
    outpaint_table,
    partly_given,
)
from training.scene_kinds import PLACES
from training.stream import batch_of
from training.train_outpaint import OutpaintPlan, train_outpaint

TINY = {"batch": 4, "window": 3, "textures": 6, "channels": (16, 24, 32), "warmup": 2, "seed": 5}


@pytest.fixture(scope="module")
def views():
    return held_out_parts(4, textures=6)


def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(tmp_path):
    plan = OutpaintPlan(steps=4, **TINY)
    whole = train_outpaint(plan, tmp_path / "whole", report_every=4, held_out=2)
    half = train_outpaint(plan, tmp_path / "cut", report_every=2, held_out=2, stop_at=2)
    assert half.step == 2
    cut = train_outpaint(plan, tmp_path / "cut", report_every=2, held_out=2)
    for name, values in whole.mean.items():
        assert torch.equal(values, cut.mean[name]), name
    rows = [json.loads(line) for line in (tmp_path / "cut/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert (tmp_path / "cut/curves.png").stat().st_size > 1000


def test_a_view_is_a_part_of_a_picture_and_what_is_not_given_of_it(views):
    for view in views:
        assert view.rgb.shape == view.hidden_rgb.shape == (96, 96, 3)
        np.testing.assert_array_equal(view.rgb[view.known], view.hidden_rgb[view.known])
        assert not (view.hidden_known & view.known).any()
        assert (view.alpha == 1)[view.known].all()
        inside = np.zeros_like(view.known)
        inside[14:-14, 14:-14] = True
        assert not view.known[~inside].any()
        assert view.known.sum() >= 0.04 * 96 * 96
        # Beside it the truth is another one than what goes on.
        asked = view.hidden_known & ~inside
        assert np.abs(view.rgb.astype(float) - view.hidden_rgb)[asked].mean() > 1
    assert any((view.hidden_known[14:-14, 14:-14]).sum() >= ENOUGH for view in views)


def test_what_a_thing_hides_is_drawn_without_the_thing():
    make = Maker(rng=np.random.default_rng(0), num_textures=4)
    place = PLACES["tabletop"](make, 3)
    world = place.composition.finished()
    rng = np.random.default_rng(1)
    fewer = [without for _ in range(8) if (without := cleared(world, place.shots[0], rng)) is not None]
    assert fewer
    for without in fewer:
        gone = set(world.things) - set(without.things)
        assert gone
        np.testing.assert_array_equal(without.faces, world.faces[~np.isin(world.things, list(gone))])
    # Some lack one thing, some it and all that are nearer.
    assert len({len(without.faces) for without in fewer}) > 1


def test_what_is_near_is_neither_given_nor_asked_for():
    wide = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    taken, near = np.zeros((2, 96, 96), bool)
    taken[30:40, 30:40], near[60:] = True, True
    view = partly_given(wide, taken=taken, near=near, kind="made")
    assert not view.known[30:40, 30:40].any()
    assert view.hidden_known[30:40, 30:40].all()
    assert not (view.known | view.hidden_known)[60:].any()
    whole = partly_given(wide, taken=taken, near=~taken, kind="made")
    assert whole.known.sum() == 68 * 68
    np.testing.assert_array_equal(whole.hidden_known, ~whole.known)


def test_the_truth_is_the_least_loss(views):
    batch = batch_of(views)
    maps = torch.zeros(len(views), 10, 96, 96)
    beside = (1 - batch.inputs[:, 3:4]).clamp(min=1e-3)
    maps[:, Channel.RGB] = 2 * (batch.hidden_rgb - batch.rgb) / beside
    # Where it sets in, next to the picture, the truth cannot be reached at all.
    reached = (completed(maps, batch) - batch.hidden_rgb).abs().amax(1)[batch.inputs[:, 3] == 0]
    assert float(reached.max()) < 1e-5
    drawn, going_on = (errors(each, batch)[0][:, 0] for each in (completed(maps, batch), batch.rgb))
    assert float(drawn.max()) < float(going_on.min()) / 10
    assert float(outpaint_loss(maps, batch)) < float(outpaint_loss(torch.zeros_like(maps), batch))


def test_the_network_learns_one_batch(views):
    batch = batch_of(views)
    torch.manual_seed(0)
    network = NanoGeo((16, 24, 32))
    before = outpaint_table(network, views)["beside_gain"]
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(40):
        loss = outpaint_loss(network(batch.inputs)[0], batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert outpaint_table(network.eval(), views)["beside_gain"] > before + 0.5


def test_what_is_learned_is_what_is_used(views, monkeypatch):
    """The training draws beside a picture what the program does."""
    torch.manual_seed(0)
    network = NanoGeo((16, 24, 32))
    torch.nn.init.normal_(network.exit.weight, std=0.05)
    monkeypatch.setattr("img2world.depth.predict.network", lambda weights: network.eval())
    monkeypatch.setattr(outpaint, "TRUST", 1.0)
    view = views[0]
    used = outpainted(view.hidden_rgb.astype(np.float32) / 255, view.known)
    batch = batch_of([view])
    with torch.no_grad():
        maps = [network(each)[0] for each in (batch.inputs, batch.inputs.flip(3))]
        mean = 0.5 * (maps[0] + maps[1].flip(3))
        # The row's place is not turned when a picture is mirrored, nor is anything else that is not of the picture.
        learned = completed(mean, batch)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(used, learned, atol=0.02)
    assert np.abs(used - batch.rgb[0].permute(1, 2, 0).numpy()).max() > 0.05


def test_the_shipped_weights_know_what_lies_beside_made_places():
    views = held_out_parts(24, textures=30)
    network = NanoGeo.of(shipped(outpaint.WEIGHTS, hint="")).eval()
    table = outpaint_table(network, views)
    assert table["beside_gain"] > 0.4
    assert table["behind_gain"] > 0.4


def test_numbers_make_the_same_views():
    one, other = (WideStudio(3, textures=6, objects=0).views(5, count=2, width=112, height=80) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.hidden_rgb, b.hidden_rgb)


def test_a_cover_falls_off_beside_the_picture():
    known = np.zeros((9, 20), bool)
    known[:, :10] = True
    cover = soft_cover(known)
    assert (cover[:, :10] == 1).all()
    assert (np.diff(cover[4, 9:14]) < 0).sum() == 3
    assert (cover[:, 13:] == 0).all()


def test_what_is_drawn_in_use_is_nearer_to_the_truth_than_the_nearest_colour():
    table = holes_table(held_out_paths(3, textures=30, objects=0), guessed=False)
    assert table["paths"] >= 1
    assert table["gain"] > 0.3
    assert table["gain"] == pytest.approx(table["drawn"] - table["nearest"], abs=2e-3)
