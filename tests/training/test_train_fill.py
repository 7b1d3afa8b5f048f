import json

import numpy as np
import pytest

pytest.importorskip("numba")

import torch

from img2world.layered.anchor_frames import points_in_world
from img2world.layered.fill_network import NanoFill
from training import ship_fill
from training.evaluate_fill import given, write_fill_sheet
from training.fill_path_metrics import held_out_paths, in_use_table
from training.fill_metrics import composited, errors, fill_table
from training.fill_stream import DRAWN, fill_batch, made_example
from training.sequences import Filming
from training.train_fill import FillPlan, FillTraining, fill_loss, noise_levels, train_fill
from training.views import Studio
from training.weights import with_weights

TINY = {"batch": 2, "window": 3, "textures": 6, "channels": (16, 24, 32), "warmup": 2, "seed": 5}


@pytest.fixture(scope="module")
def filming():
    return Filming(Studio(3, textures=6))


@pytest.fixture(scope="module")
def examples(filming):
    found = [made_example(filming, number) for number in range(5)]
    return [each for each in found if each is not None]


def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(tmp_path):
    plan = FillPlan(steps=4, **TINY)
    whole = train_fill(plan, tmp_path / "whole", report_every=4, held_out=1)
    half = train_fill(plan, tmp_path / "cut", report_every=2, held_out=1, stop_at=2)
    assert half.step == 2
    cut = train_fill(plan, tmp_path / "cut", report_every=2, held_out=1)
    assert whole.step == cut.step == 4
    for name, values in whole.mean.items():
        assert torch.equal(values, cut.mean[name]), name
    for one, other in zip(whole.network.parameters(), cut.network.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = [json.loads(line) for line in (tmp_path / "cut/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert (tmp_path / "cut/curves.png").stat().st_size > 1000


def test_a_number_makes_the_same_sequence_whatever_was_made_before(filming, examples):
    number = next(i for i in range(5) if made_example(filming, i) is not None)
    again = made_example(Filming(Studio(3, textures=6)), number)
    assert again is not None
    for name in ("maps", "cameras", "noise", "truth", "weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(examples[0], name))


def test_frames_of_a_sequence_see_one_world(filming):
    """Points of one frame, seen by another, have the depth that this one has there."""
    sequence = next(s for i in range(20) if (s := filming.sequence(i, count=3, width=96, height=96)) is not None)
    one, other = sequence.frames[0], sequence.frames[1]
    assert np.allclose(one.camera.world_from_cam[0], np.eye(4) - np.outer([0, 0, 1, 0], [0, 0, 0, 1]), atol=1e-6)
    points = points_in_world(one.depth, one.camera)[one.known]
    to_cam = other.camera.cam_from_world[0]
    in_cam = points @ to_cam[:3, :3].T + to_cam[:3, 3]
    pixels = (in_cam @ other.camera.intrinsics[0].T)[:, :2] / in_cam[:, 2:]
    columns, rows = np.floor(pixels).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < other.camera.width) & (rows < other.camera.height)
    # The pixel that a point falls in may be one beside that which shows it.
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    around = [
        other.depth[
            (rows[inside] + y).clip(0, other.camera.height - 1), (columns[inside] + x).clip(0, other.camera.width - 1)
        ]
        for y, x in shifts
    ]
    z = in_cam[inside, 2]
    near = np.min([np.abs(z - depth) / z for depth in around], 0) < 0.05
    hidden = z > np.min(around, 0)
    # What is not at the depth of the other frame is hidden in it.
    assert (near | hidden).mean() > 0.97
    assert near.mean() > 0.2


def test_an_object_is_framed_as_the_program_frames_it(filming):
    sequence = next(
        s for i in range(20) if (s := filming.sequence(i, count=2, width=96, height=96)) is not None and s.is_object
    )
    rows, columns = np.nonzero(sequence.frames[0].alpha > 0.5)
    box = np.array([[columns.min(), columns.max() + 1], [rows.min(), rows.max() + 1]])
    assert max(np.ptp(box, axis=1)) == pytest.approx(0.74 * 96, abs=2.5)
    assert np.abs(box.mean(1) - 48).max() < 2


def test_the_truth_has_no_loss_and_perfect_frames_no_error(examples):
    shape = examples[0].shape
    batch = fill_batch([each for each in examples if each.shape == shape])
    assert float(fill_loss(batch.truth, batch)) == 0
    assert float(fill_loss(batch.maps[:, -DRAWN:, :3], batch)) > 0.01
    for each in examples:
        perfect, before = errors(each, each.truth), errors(each, each.maps[given(each) :, :3])
        assert perfect["unseen"] == 0
        assert perfect["all"] <= before["all"]
        seen = each.maps[given(each) :, 3:4]
        assert seen.shape[0] == DRAWN
        np.testing.assert_array_equal((composited(each, each.truth) * seen), (each.maps[given(each) :, :3] * seen))


def test_levels_are_mostly_those_in_use():
    levels = noise_levels(4000, np.random.default_rng(0)).numpy()
    counts = {level: (levels == level).mean() for level in (999, 749, 499, 249)}
    assert counts[999] > 0.4
    assert min(counts.values()) > 0.05
    assert len(np.unique(levels)) > 200


def test_the_network_learns_one_batch_and_is_measured(examples, tmp_path):
    training = FillTraining(FillPlan(steps=25, **{**TINY, "warmup": 1}))
    batch = fill_batch(examples[:1])
    training.stream.at = lambda step: batch
    losses = [training.advance() for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.85 * losses[0]
    table = fill_table(training.averaged(), examples[:1], steps=2)
    kind = "object" if examples[0].is_object else "scene"
    assert table[f"{kind}_unseen"] == pytest.approx(
        table[f"{kind}_unseen_before"] + table[f"{kind}_unseen_gain"], abs=0.002
    )
    write_fill_sheet(training.averaged(), examples[:1], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_shipped_weights_are_the_mean_ones_in_a_byte_each(tmp_path, monkeypatch):
    training = FillTraining(FillPlan(steps=1, batch=1, window=1, textures=2))
    training.save(tmp_path / "checkpoint.pt")
    out = tmp_path / "fill.safetensors"
    monkeypatch.setattr("sys.argv", ["ship_fill", str(tmp_path / "checkpoint.pt"), "--out", str(out)])
    ship_fill.main()
    assert out.stat().st_size < 5_500_000
    shipped = with_weights(NanoFill(), out).state_dict()
    for name, values in training.mean.items():
        torch.testing.assert_close(shipped[name], values, atol=1e-3, rtol=1e-3)


def test_frames_between_are_measured_as_in_use():
    paths = held_out_paths(1, textures=6)
    torch.manual_seed(0)
    network = NanoFill((16, 24, 32)).eval()
    unchanged = in_use_table(network, paths, steps=1)
    kind = "object" if paths[0].is_object else "scene"
    true = in_use_table(network, paths, steps=1, guessed=False)
    assert true[f"{kind}_all_before"] > unchanged[f"{kind}_all_before"] + 0.3
    assert unchanged[f"{kind}_all"] == pytest.approx(unchanged[f"{kind}_all_before"], abs=0.01)
    torch.nn.init.ones_(network.get_parameter("exit.bias"))
    whiter = in_use_table(network, paths, steps=1)
    assert whiter[f"{kind}_all_before"] == unchanged[f"{kind}_all_before"]
    assert abs(whiter[f"{kind}_unseen_gain"]) > 0.05
