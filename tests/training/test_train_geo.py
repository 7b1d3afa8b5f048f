import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import torch

from img2world.depth.network import Channel, NanoGeo
from training import fit_stance
from training.geo_loss import geo_loss, object_errors, scene_errors, stance_errors
from training.held_out import held_out_views, mean_map, table
from training.ship_geo import mean_of
from training.stream import batch_of
from training.train_geo import GeoPlan, GeoTraining, train
from training.views import Studio
from training.weights import state_of

TINY = {"batch": 4, "window": 3, "textures": 6, "channels": (16, 24, 32), "warmup": 2, "seed": 5}


def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(tmp_path):
    plan = GeoPlan(steps=6, **TINY)
    whole = train(plan, tmp_path / "whole", report_every=3, held_out=3)
    (tmp_path / "cut").mkdir()
    train_to_half = train(GeoPlan(steps=6, **TINY), tmp_path / "cut", report_every=3, held_out=3, stop_at=3)
    assert train_to_half.step == 3
    cut = train(plan, tmp_path / "cut", report_every=3, held_out=3)
    assert whole.step == cut.step == 6
    for name, values in whole.mean.items():
        assert torch.equal(values, cut.mean[name]), name
    for one, other in zip(whole.network.parameters(), cut.network.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = [json.loads(line) for line in (tmp_path / "cut/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    assert (tmp_path / "cut/curves.png").stat().st_size > 1000


def test_a_deeper_network_begins_as_the_one_that_it_grows_out_of(tmp_path):
    shallow = train(GeoPlan(steps=2, **TINY), tmp_path, report_every=2, held_out=3).averaged()
    plan = GeoPlan(steps=2, depth=4, objects=1.0, weights=str(tmp_path / "checkpoint.pt"), **TINY)
    deep = GeoTraining(plan)
    inputs = deep.stream.at(0).inputs
    with torch.no_grad():
        for one, other in zip(shallow(inputs), deep.network.eval()(inputs), strict=True):
            assert torch.equal(one, other)
    before = {name: values.clone() for name, values in deep.network.state_dict().items()}
    deep.advance()
    deep.advance()
    new = [name for name in before if name.startswith("middle.8.")]
    assert new
    assert not any(torch.equal(before[name], deep.network.state_dict()[name]) for name in new)
    with pytest.raises(RuntimeError, match=r"middle\.5"):
        GeoTraining(GeoPlan(steps=2, weights=save(deep, tmp_path / "deep.pt"), **TINY))

    mean = mean_of(deep.network.state_dict(), state_of(tmp_path / "checkpoint.pt"), 0.0)
    with torch.no_grad():
        assert torch.equal(NanoGeo.of(mean).eval()(inputs)[0], shallow(inputs)[0])
    half = mean_of(deep.network.state_dict(), before, 0.5)
    torch.testing.assert_close(half[new[0]], 0.5 * (before[new[0]] + deep.network.state_dict()[new[0]]))
    with pytest.raises(KeyError, match=r"entry\.weight"):
        mean_of(before, {name: values for name, values in before.items() if name != "entry.weight"}, 0.5)


def save(training, path):
    training.save(path)
    return str(path)


def test_a_training_for_objects_is_measured_by_objects(tmp_path):
    train(GeoPlan(steps=1, objects=1.0, **TINY), tmp_path, report_every=1, held_out=6)
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert "object_front_mae" in row
    assert "elevation_error" in row
    assert "scene_absrel" not in row


def truth_maps(batch):
    """What a perfect network would say."""
    maps = torch.zeros(len(batch.front), 10, *batch.front.shape[1:])
    maps[:, Channel.MASK] = torch.where(batch.known, 20.0, -20.0)
    scenes, gap = ~batch.is_object, (batch.hidden - batch.front).clamp(min=1e-4)
    inverse_softplus = gap.expm1().log()
    maps[:, Channel.SCENE_DEPTH] = batch.front.clamp(max=4.6) + 3.0  # any constant will do
    scene_gap = (batch.hidden.clamp(max=4.6) - batch.front.clamp(max=4.6)).clamp(min=1e-4)
    maps[:, Channel.SCENE_GAP] = torch.where(scenes[:, None, None], scene_gap.expm1().log(), 0.0)
    maps[:, Channel.OBJECT_FRONT] = batch.front
    maps[:, Channel.OBJECT_THICKNESS] = 2 + inverse_softplus
    maps[:, Channel.RGB] = 2 * (batch.hidden_rgb - batch.rgb)
    maps[:, Channel.DOUBT] = maps[:, Channel.HIDDEN_DOUBT] = -3
    return maps


def truth_stance(batch):
    """Logits of the true shares, and the true elevation."""
    return torch.cat([batch.planes.clamp(min=1e-12).log(), batch.elevation.nan_to_num()[:, None]], 1)


def test_the_truth_has_no_loss_but_that_of_the_doubt():
    views = held_out_views(12, textures=6)
    batch = batch_of(views)
    maps, stance = truth_maps(batch), truth_stance(batch)
    # Both doubts at their lower bound weigh 0.02 * -3 each where there is something to doubt.
    assert float(geo_loss(maps, stance, batch)) == pytest.approx(-0.12, abs=0.02)
    worse = maps.clone()
    worse[:, [Channel.SCENE_DEPTH, Channel.OBJECT_FRONT], ::2] += 0.3
    assert float(geo_loss(worse, stance, batch)) > 0.3
    lost = geo_loss(maps, stance.flip(1), batch)
    assert float(lost) > 0.1
    perfect = table(maps.numpy(), views)
    assert perfect["scene_absrel"] < 1e-4
    assert perfect["object_front_mae"] < 1e-4
    assert perfect["object_iou"] == 1


def test_errors_are_measured_as_their_names_say():
    truth = np.zeros((8, 8), np.float32)
    guess = truth.copy()
    guess[0] = np.log(1.5)
    errors = scene_errors(guess, truth, np.ones((8, 8), bool))
    assert errors["absrel"] == pytest.approx(0.5 / 8)
    assert errors["delta1"] == pytest.approx(7 / 8)
    maps = np.zeros((10, 8, 8), np.float32)
    known = np.zeros((8, 8), bool)
    known[1:7, 1:7] = True
    maps[Channel.MASK] = np.where(known, 1, -1)
    maps[Channel.MASK, 1] = -1
    maps[Channel.OBJECT_FRONT] = 0.1
    hidden = np.full((8, 8), 0.5, np.float32)
    errors = object_errors(maps, np.zeros((8, 8), np.float32), hidden, known)
    assert errors["iou"] == pytest.approx(30 / 36)
    assert errors["solid_iou"] == pytest.approx(np.log1p(np.exp(-2)) / 0.5, rel=1e-5)  # thin, and within the truth
    assert errors["front_mae"] == pytest.approx(0.1 / (0.5 * np.hypot(5 / 8, 0.5)), rel=1e-5)


def test_mean_map_is_the_mean_of_scenes():
    views = [view for view in held_out_views(12, textures=6) if not view.is_object and view.known.all()]
    assert views
    centered = [view.front.clip(None, 4.6) - np.median(view.front.clip(None, 4.6)) for view in views]
    np.testing.assert_allclose(mean_map(views), np.mean(centered, 0), atol=1e-5)


def test_the_network_learns_one_batch():
    batch = batch_of(held_out_views(4, textures=6))
    torch.manual_seed(0)
    network = NanoGeo((16, 24, 32))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        maps, stance = network(batch.inputs)
        loss = geo_loss(maps, stance, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_two_workers_take_one_step_together(tmp_path):
    """Their weights are equal, other than one's alone, and they go on from what they saved."""
    script = """
        import sys
        from pathlib import Path
        import torch
        from training.train_geo import GeoPlan, GeoTraining
        torch.set_num_threads(1)
        plan = GeoPlan(steps=4, batch=4, window=1, textures=2, channels=(16, 24, 32), seed=5)
        training = GeoTraining(plan)
        own = Path(sys.argv[1]) / f"of-{training.worker.rank}.pt"
        training.advance()
        training.save(own)
        training.advance()
        again = GeoTraining(plan)
        again.load(own)
        again.advance()
        torch.save([training.network.state_dict(), again.network.state_dict()], own)
    """
    (tmp_path / "together.py").write_text(textwrap.dedent(script))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    command = [sys.executable, str(tmp_path / "together.py"), str(tmp_path)]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [subprocess.Popen(command, env=os.environ | path | meeting | {"RANK": str(rank)}) for rank in range(2)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]

    def joined(state: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([values.flatten() for values in state.values()])

    states = [torch.load(tmp_path / f"of-{rank}.pt", weights_only=True) for rank in range(2)]
    one, *others = [joined(state) for pair in states for state in pair]
    assert all(torch.equal(one, other) for other in others)
    alone = GeoTraining(GeoPlan(steps=4, batch=4, window=1, textures=2, channels=(16, 24, 32), seed=5))
    for _ in range(2):
        alone.advance()
    assert not torch.equal(one, joined(alone.network.state_dict()))


def test_a_head_is_fitted_and_all_else_stays(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = NanoGeo((16, 24, 32))
    torch.save({"mean": network.state_dict()}, tmp_path / "before.pt")
    arguments = ["fit_stance", tmp_path / "before.pt", tmp_path / "after.pt", "--views", "64", "--steps", "60"]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    fit_stance.main()
    before, after = (state_of(tmp_path / f"{name}.pt") for name in ("before", "after"))
    for name, values in before.items():
        assert torch.equal(values, after[name]) != name.startswith("stance."), name

    # It learns: of the same views it knows more than before.
    given, planes, elevations = fit_stance.features(network, Studio(3, textures=6, objects=1), 64)
    with torch.no_grad():
        lost = stance_errors(network.stance(given), planes, elevations)
    fit_stance.fitted(network.stance, given, planes, elevations, steps=120, seed=0)
    with torch.no_grad():
        found = stance_errors(network.stance(given), planes, elevations)
    assert float(found[0] + 3 * found[1]) < 0.8 * float(lost[0] + 3 * lost[1])
