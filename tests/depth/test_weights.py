import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from img2world.core.errors import MissingPackageError
from img2world.core.resources import resource_folder
from img2world.depth import predict
from img2world.depth.network import GeometryNetwork
from img2world.depth.scene_network import SceneNetwork
from img2world.depth.weights import quantize, read_weights, shipped


def random_network(seed: int = 0, *, depth: int = 3) -> GeometryNetwork:
    """A small one with weights of very different sizes."""
    torch.manual_seed(seed)
    network = GeometryNetwork((16, 24, 32), depth)
    with torch.no_grad():
        for i, values in enumerate(network.parameters()):
            values.copy_(torch.randn_like(values) * 0.05 * 4 ** (i % 4 - 1))
    return network


def test_bytes_are_within_half_a_step_of_the_weights(tmp_path):
    state = random_network().state_dict()
    state["down1.0.conv1.weight"][0] = 0  # an output that is nothing
    save_file(quantize(state), tmp_path / "small.safetensors")
    again = read_weights(tmp_path / "small.safetensors")
    assert set(again) == set(state)
    for name, values in state.items():
        assert again[name].dtype == torch.float32
        if values.ndim > 1:
            steps = values.flatten(1).abs().amax(1) / 127
            apart = (again[name] - values).flatten(1).abs().amax(1)
            assert (apart <= 0.5001 * steps + 1e-9).all(), name
        else:
            torch.testing.assert_close(again[name], values, atol=1e-6, rtol=1e-3)
    single = 4 * sum(values.numel() for values in state.values())
    assert (tmp_path / "small.safetensors").stat().st_size < 0.4 * single


def test_plain_weights_are_read_too(tmp_path):
    state = random_network().state_dict()
    save_file({name: values.half().contiguous() for name, values in state.items()}, tmp_path / "half.safetensors")
    for name, values in read_weights(tmp_path / "half.safetensors").items():
        assert torch.equal(values, state[name].half().float())


def test_layers_may_be_kept_in_half_precision():
    state = {"fine.weight": torch.randn(3, 5), "coarse.weight": torch.randn(3, 5)}
    stored = quantize(state, half=("fine.",))
    assert {name: values.dtype for name, values in stored.items()} == {
        "fine.weight": torch.float16,
        "coarse.weight": torch.int8,
        "coarse.weight.scale": torch.float32,
    }


def test_a_network_is_as_wide_and_deep_as_its_weights():
    state = random_network(depth=4).state_dict()
    network = GeometryNetwork.from_state(state)
    assert sum(1 for block in network.middle if hasattr(block, "qkv")) == 4
    assert all(torch.equal(values, state[name]) for name, values in network.state_dict().items())


def test_objects_and_scenes_have_weights_of_their_own(monkeypatch, tmp_path):
    path = tmp_path / predict.OBJECT_WEIGHTS
    path.parent.mkdir()
    save_file(quantize(random_network().state_dict()), path)
    monkeypatch.setattr("img2world.depth.weights.resource_folder", lambda name: tmp_path)
    predict.network.cache_clear()
    predict.photo_network.cache_clear()
    try:
        rgb, alpha = np.full((96, 96, 3), 0.5, np.float32), np.ones((96, 96), np.float32)
        assert np.isfinite(predict.predict_object(rgb, alpha).front).all()
        picture = np.full((96, 96, 3), 128, np.uint8)
        with pytest.raises(MissingPackageError, match="nano_depth_scene"):
            predict.predict_scene(picture)
        save_file(quantize(SceneNetwork().state_dict(), half=("backbone.",)), tmp_path / predict.PHOTO_WEIGHTS)
        with pytest.raises(MissingPackageError, match="nano_geo_scene"):
            predict.predict_scene(picture)
    finally:
        predict.network.cache_clear()
        predict.photo_network.cache_clear()
    with pytest.raises(MissingPackageError, match=r"nano/none\.safetensors"):
        shipped("nano/none.safetensors", hint="")


def test_all_shipped_weights_together_are_small():
    files = list(resource_folder("assets").rglob("*.safetensors"))
    assert len(files) == 5
    assert sum(file.stat().st_size for file in files) < 25e6
