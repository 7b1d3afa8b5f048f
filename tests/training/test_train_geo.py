import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("numba")

import torch

from img2world.depth.network import Channel, GeometryNetwork
from training import fit_stance
from training.geo_batches import make_batch
from training.geo_loss import geo_loss, stance_errors
from training.geo_metrics import geo_metrics, held_out_views
from training.ship_geo import interpolate_weights
from training.train_geo import GeoConfig, GeoTraining
from training.trainer import run_training
from training.views import ViewGenerator
from training.weights import load_state

TINY = {"batch": 4, "window": 3, "textures": 6, "channels": (16, 24, 32), "warmup": 2, "seed": 5}


def run(out, *, stop_at=0, held_out=3, **options):
    """Run a tiny training of nano-geo."""
    training = GeoTraining(GeoConfig(**TINY, **options), held_out=held_out)
    run_training(training, out, report_every=3, stop_at=stop_at)
    return training


def test_interrupted_training_resumes_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole", steps=6)
    assert run(tmp_path / "resumed", steps=6, stop_at=3).step == 3
    resumed = run(tmp_path / "resumed", steps=6)
    assert whole.step == resumed.step == 6
    for name, values in whole.mean.items():
        assert torch.equal(values, resumed.mean[name]), name
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = [json.loads(line) for line in (tmp_path / "resumed/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    assert (tmp_path / "resumed/curves.png").stat().st_size > 1000


def test_deeper_network_starts_as_the_one_that_it_grows_from(tmp_path):
    shallow = run(tmp_path, steps=2).averaged()
    deep = GeoTraining(
        GeoConfig(steps=2, depth=4, object_fraction=1.0, weights=str(tmp_path / "checkpoint.pt"), **TINY)
    )
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
    deep.save(tmp_path / "deep.pt")
    with pytest.raises(RuntimeError, match=r"middle\.5"):
        GeoTraining(GeoConfig(steps=2, weights=str(tmp_path / "deep.pt"), **TINY))

    initial = interpolate_weights(deep.network.state_dict(), load_state(tmp_path / "checkpoint.pt"), 0.0)
    with torch.no_grad():
        assert torch.equal(GeometryNetwork.from_state(initial).eval()(inputs)[0], shallow(inputs)[0])
    half = interpolate_weights(deep.network.state_dict(), before, 0.5)
    torch.testing.assert_close(half[new[0]], 0.5 * (before[new[0]] + deep.network.state_dict()[new[0]]))
    with pytest.raises(KeyError, match=r"entry\.weight"):
        interpolate_weights(before, {name: values for name, values in before.items() if name != "entry.weight"}, 0.5)


def test_training_for_objects_is_measured_on_objects(tmp_path):
    run(tmp_path, steps=1, object_fraction=1.0, held_out=6)
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert "object_front_mae" in row
    assert "elevation_error" in row
    assert "scene_absrel" not in row


def true_maps(batch):
    """The output of a perfect network."""
    maps = torch.zeros(len(batch.front), 10, *batch.front.shape[1:])
    maps[:, Channel.MASK] = torch.where(batch.known, 20.0, -20.0)
    scenes, gap = ~batch.is_object, (batch.hidden - batch.front).clamp(min=1e-4)
    inverse_softplus = gap.expm1().log()
    maps[:, Channel.SCENE_DEPTH] = batch.front.clamp(max=4.6) + 3.0  # The loss ignores a constant.
    scene_gap = (batch.hidden.clamp(max=4.6) - batch.front.clamp(max=4.6)).clamp(min=1e-4)
    maps[:, Channel.SCENE_GAP] = torch.where(scenes[:, None, None], scene_gap.expm1().log(), 0.0)
    maps[:, Channel.OBJECT_FRONT] = batch.front
    maps[:, Channel.OBJECT_THICKNESS] = 2 + inverse_softplus
    maps[:, Channel.RGB] = 2 * (batch.hidden_rgb - batch.rgb)
    maps[:, Channel.PREDICTED_ERROR] = maps[:, Channel.HIDDEN_PREDICTED_ERROR] = -3
    return maps


def true_stance(batch):
    """Logits of the true distribution of planes, and the true elevation."""
    return torch.cat([batch.planes.clamp(min=1e-12).log(), batch.elevation.nan_to_num()[:, None]], 1)


def test_truth_has_only_the_loss_of_the_uncertainty():
    views = held_out_views(12, textures=6)
    batch = make_batch(views)
    maps, stance = true_maps(batch), true_stance(batch)
    # Both log widths are at their lower bound of -3, with a weight of 0.02.
    assert float(geo_loss(maps, stance, batch)) == pytest.approx(-0.12, abs=0.02)
    worse = maps.clone()
    worse[:, [Channel.SCENE_DEPTH, Channel.OBJECT_FRONT], ::2] += 0.3
    assert float(geo_loss(worse, stance, batch)) > 0.3
    assert float(geo_loss(maps, stance.flip(1), batch)) > 0.1
    perfect = geo_metrics(maps.numpy(), views)
    assert perfect["scene_absrel"] < 1e-4
    assert perfect["object_front_mae"] < 1e-4
    assert perfect["object_iou"] == 1


def test_network_learns_one_batch():
    batch = make_batch(held_out_views(4, textures=6))
    torch.manual_seed(0)
    network = GeometryNetwork((16, 24, 32))
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


def test_two_workers_take_the_same_steps(tmp_path):
    """Their weights are equal to each other's and to those of resumed workers, and differ from a single worker's."""
    script = """
        import sys
        from pathlib import Path
        import torch
        from training.train_geo import GeoConfig, GeoTraining
        torch.set_num_threads(1)
        config = GeoConfig(steps=4, batch=4, window=1, textures=2, channels=(16, 24, 32), seed=5)
        training = GeoTraining(config)
        checkpoint = Path(sys.argv[1]) / f"{training.worker.rank}.pt"
        training.advance()
        training.save(checkpoint)
        training.advance()
        resumed = GeoTraining(config)
        resumed.load(checkpoint)
        resumed.advance()
        torch.save([training.network.state_dict(), resumed.network.state_dict()], checkpoint)
    """
    (tmp_path / "worker.py").write_text(textwrap.dedent(script))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    command = [sys.executable, str(tmp_path / "worker.py"), str(tmp_path)]
    environment = os.environ | rendezvous | {"PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}) for rank in range(2)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]

    def flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([values.flatten() for values in state.values()])

    pairs = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    first, *others = [flat(state) for pair in pairs for state in pair]
    assert all(torch.equal(first, other) for other in others)
    single = GeoTraining(GeoConfig(steps=4, batch=4, window=1, textures=2, channels=(16, 24, 32), seed=5))
    for _ in range(2):
        single.advance()
    assert not torch.equal(first, flat(single.network.state_dict()))


def test_only_the_head_is_fitted(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = GeometryNetwork((16, 24, 32))
    torch.save({"mean": network.state_dict()}, tmp_path / "before.pt")
    generator = ViewGenerator(3, textures=6, object_fraction=1)
    monkeypatch.setattr(fit_stance, "make_view_generator", lambda config: generator)
    arguments = ["fit_stance", tmp_path / "before.pt", tmp_path / "after.pt", "--views", "64", "--steps", "60"]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    fit_stance.main()
    before, after = (load_state(tmp_path / f"{name}.pt") for name in ("before", "after"))
    for name, values in before.items():
        assert torch.equal(values, after[name]) != name.startswith("stance."), name

    features, planes, elevations = fit_stance.compute_features(network, generator, 64)
    with torch.no_grad():
        initial = stance_errors(network.stance(features), planes, elevations)
    fit_stance.fit_head(network.stance, features, planes, elevations, steps=120, seed=0)
    with torch.no_grad():
        fitted = stance_errors(network.stance(features), planes, elevations)
    assert float(fitted[0] + 3 * fitted[1]) < 0.8 * float(initial[0] + 3 * initial[1])
