import numpy as np
import pytest

from img2world.core.errors import ImageError, MissingPackageError
from img2world.layered import saliency
from img2world.layered.saliency import REMBG_NETWORKS, find_saliency, weights_file


@pytest.fixture(autouse=True)
def empty_home(monkeypatch, tmp_path):
    """A machine on which rembg keeps no weights."""
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    saliency.load_session.cache_clear()
    yield
    saliency.load_session.cache_clear()


@pytest.mark.parametrize("size", [(160, 160), (160, 240)])
def test_a_ball_on_a_meadow_stands_out(shapes, size):
    rng = np.random.default_rng(0)
    ball, inside = shapes.ball_picture((0, 0, 0)).rgb, shapes.disc(160, 48)
    left = (size[1] - 160) // 2
    truth = np.pad(inside, ((0, 0), (left, left)))
    meadow = np.array([60, 120, 50]) + rng.normal(0, 25, (*size, 1))
    rgb = np.where(truth[..., None], np.pad(ball, ((0, 0), (left, left), (0, 0))), meadow.clip(0, 255)).astype(np.uint8)
    found = find_saliency(rgb, "builtin")
    rows, columns = (np.arange(len(found)) * side // len(found) for side in size)
    expected = truth[rows[:, None], columns]
    assert ((found > 0.5) & expected).sum() / ((found > 0.5) | expected).sum() > 0.9


def test_missing_and_broken_weights_are_one_line(monkeypatch):
    picture = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(MissingPackageError, match="birefnet-general is missing") as error:
        find_saliency(picture, "birefnet-general")
    assert "rembg d birefnet-general" in error.value.hint
    weights_file("u2net").write_bytes(b"something else")
    pytest.importorskip("onnxruntime")
    with pytest.raises(ImageError, match="cannot be read"):
        find_saliency(picture, "u2net")
    monkeypatch.setattr(saliency, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="onnxruntime") as error:
        find_saliency(picture, "u2net")
    assert "img2world[cutout]" in error.value.hint


@pytest.mark.parametrize("name", REMBG_NETWORKS)
def test_networks_of_rembg_see_normalized_colors(name):
    """A network that returns its input, as the mean of the three channels."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network = REMBG_NETWORKS[name]
    shape = [1, 3, network.side, network.side]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["in", "axes"], ["out"], keepdims=1)],
        "mean",
        [onnx.helper.make_tensor_value_info("in", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, 1, *shape[2:]])],
        [onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9),
        weights_file(name),
    )
    rgb = np.full((40, 60, 3), (200, 150, 100), np.uint8)
    mean, deviation = network.colors
    value = np.mean((np.array([1, 0.75, 0.5]) - mean) / np.array(deviation))
    expected = 1 / (1 + np.exp(-value)) if network.logits else np.clip(value, 0, 1)
    np.testing.assert_allclose(find_saliency(rgb, name), expected, atol=1e-5)
