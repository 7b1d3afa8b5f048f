import json

import numpy as np
import pytest

pytest.importorskip("numba")

import torch

from img2world.layered.anchor_frames import unproject_depth
from img2world.layered.fill_network import NanoFill
from training import ship_fill
from training.evaluate_fill import write_fill_sheet
from training.fill_batches import GENERATED_FRAMES, example_at, make_fill_batch
from training.fill_metrics import composite, fill_errors, fill_metrics
from training.fill_path_metrics import fill_path_metrics, held_out_paths
from training.sequences import SequenceGenerator
from training.train_fill import FillConfig, FillTraining, fill_loss, noise_levels
from training.trainer import run_training
from training.views import ViewGenerator
from training.weights import load_weights

TINY = {"batch": 2, "window": 3, "textures": 2, "channels": (16, 24, 32), "warmup": 2, "seed": 5}


@pytest.fixture(scope="module")
def generator():
    return SequenceGenerator(ViewGenerator(3, textures=6))


@pytest.fixture(scope="module")
def examples(generator):
    candidates = [example_at(generator, number) for number in range(5)]
    return [example for example in candidates if example is not None]


def test_interrupted_training_resumes_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(FillTraining, "measure", lambda training, network: {"scene_unseen": float(training.step)})

    def run(out, *, stop_at=0):
        training = FillTraining(FillConfig(steps=4, **TINY))
        run_training(training, out, report_every=2, stop_at=stop_at)
        return training

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "resumed", stop_at=2).step == 2
    resumed = run(tmp_path / "resumed")
    assert whole.step == resumed.step == 4
    for name, values in whole.mean.items():
        assert torch.equal(values, resumed.mean[name]), name
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = [json.loads(line) for line in (tmp_path / "resumed/log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["scene_unseen"]) for row in rows] == [(2, 2), (4, 4)]
    assert (tmp_path / "resumed/curves.png").stat().st_size > 1000


def test_number_determines_the_example(generator, examples):
    number = next(i for i in range(5) if example_at(generator, i) is not None)
    again = example_at(SequenceGenerator(ViewGenerator(3, textures=6)), number)
    assert again is not None
    for name in ("maps", "cameras", "noise", "truth", "weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(examples[0], name))


def test_frames_of_a_sequence_are_geometrically_consistent(generator):
    """Points of one frame have, in another frame, the depth that this one shows there, or are occluded."""
    sequence = next(s for i in range(20) if (s := generator.sequence(i, count=3, width=96, height=96)) is not None)
    one, other = sequence.frames[0], sequence.frames[1]
    assert np.allclose(one.camera.world_from_cam[0], np.eye(4) - np.outer([0, 0, 1, 0], [0, 0, 0, 1]), atol=1e-6)
    points = unproject_depth(one.depth, one.camera)[one.known]
    cam_from_world = other.camera.cam_from_world[0]
    in_cam = points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    pixels = (in_cam @ other.camera.intrinsics[0].T)[:, :2] / in_cam[:, 2:]
    columns, rows = np.floor(pixels).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < other.camera.width) & (rows < other.camera.height)
    # A point may be shown by a neighbour of the pixel that it falls into.
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    around = [
        other.depth[
            (rows[inside] + y).clip(0, other.camera.height - 1), (columns[inside] + x).clip(0, other.camera.width - 1)
        ]
        for y, x in shifts
    ]
    z = in_cam[inside, 2]
    visible = np.min([np.abs(z - depth) / z for depth in around], 0) < 0.05
    occluded = z > np.min(around, 0)
    assert (visible | occluded).mean() > 0.97
    assert visible.mean() > 0.2


def test_object_is_framed_as_the_program_frames_it(generator):
    sequence = next(
        s for i in range(20) if (s := generator.sequence(i, count=2, width=96, height=96)) is not None and s.is_object
    )
    rows, columns = np.nonzero(sequence.frames[0].alpha > 0.5)
    box = np.array([[columns.min(), columns.max() + 1], [rows.min(), rows.max() + 1]])
    assert max(np.ptp(box, axis=1)) == pytest.approx(0.74 * 96, abs=2.5)
    assert np.abs(box.mean(1) - 48).max() < 2


def test_truth_has_no_loss_and_no_error(examples):
    shape = examples[0].shape
    batch = make_fill_batch([example for example in examples if example.shape == shape])
    assert float(fill_loss(batch.truth, batch)) == 0
    assert float(fill_loss(batch.maps[:, -GENERATED_FRAMES:, :3], batch)) > 0.01
    for example in examples:
        warp = example.maps[example.num_given :]
        perfect, before = fill_errors(example, example.truth), fill_errors(example, warp[:, :3])
        assert perfect["unseen"] == 0
        assert perfect["all"] <= before["all"]
        seen = warp[:, 3:4]
        assert seen.shape[0] == GENERATED_FRAMES
        np.testing.assert_array_equal(composite(example, example.truth) * seen, warp[:, :3] * seen)


def test_noise_levels_are_mostly_those_of_the_sampler():
    levels = noise_levels(4000, np.random.default_rng(0)).numpy()
    counts = {level: (levels == level).mean() for level in (999, 749, 499, 249)}
    assert counts[999] > 0.4
    assert min(counts.values()) > 0.05
    assert len(np.unique(levels)) > 200


def test_network_learns_one_batch_and_is_measured(examples, tmp_path):
    training = FillTraining(FillConfig(steps=25, **{**TINY, "warmup": 1}))
    batch = make_fill_batch(examples[:1])
    training.stream.at = lambda step: batch
    losses = [training.advance() for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.85 * losses[0]
    metrics = fill_metrics(training.averaged(), examples[:1], steps=2)
    kind = "object" if examples[0].is_object else "scene"
    assert metrics[f"{kind}_unseen"] == pytest.approx(
        metrics[f"{kind}_unseen_before"] + metrics[f"{kind}_unseen_gain"], abs=0.002
    )
    write_fill_sheet(training.averaged(), examples[:1], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_shipped_weights_are_the_mean_weights_in_a_byte_each(tmp_path, monkeypatch):
    training = FillTraining(FillConfig(steps=1, batch=1, window=1, textures=2))
    training.save(tmp_path / "checkpoint.pt")
    out = tmp_path / "fill.safetensors"
    monkeypatch.setattr("sys.argv", ["ship_fill", str(tmp_path / "checkpoint.pt"), "--out", str(out)])
    ship_fill.main()
    assert out.stat().st_size < 5_500_000
    shipped = load_weights(NanoFill(), out).state_dict()
    for name, values in training.mean.items():
        torch.testing.assert_close(shipped[name], values, atol=1e-3, rtol=1e-3)


def test_frames_between_generated_ones_are_measured():
    paths = held_out_paths(1, textures=6)
    torch.manual_seed(0)
    network = NanoFill((16, 24, 32)).eval()
    unchanged = fill_path_metrics(network, paths, steps=1)
    kind = "object" if paths[0].is_object else "scene"
    true = fill_path_metrics(network, paths, steps=1, predicted=False)
    assert true[f"{kind}_all_before"] > unchanged[f"{kind}_all_before"] + 0.3
    assert unchanged[f"{kind}_all"] == pytest.approx(unchanged[f"{kind}_all_before"], abs=0.01)
    torch.nn.init.ones_(network.get_parameter("exit.bias"))
    whiter = fill_path_metrics(network, paths, steps=1)
    assert whiter[f"{kind}_all_before"] == unchanged[f"{kind}_all_before"]
    assert abs(whiter[f"{kind}_unseen_gain"]) > 0.05
