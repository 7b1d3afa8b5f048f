import json

import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from img2world.layered.ddim import SCHEDULER, denoise
from img2world.layered.fill_network import NUM_CAMERA_FEATURES, NUM_MAPS, NanoFill
from img2world.video.nano_fill_pipeline import NanoFillModel, NanoFillPipeline

TINY = (16, 24, 32)


@pytest.fixture
def pipeline():
    torch.manual_seed(0)
    network = NanoFillModel(TINY)
    with torch.no_grad():
        network.exit.weight.normal_(0, 0.05)
    return NanoFillPipeline(network.eval(), diffusers.DDIMScheduler(**SCHEDULER))


def inputs():
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(1, 4, NUM_MAPS, 32, 32, generator=generator)
    return (
        maps,
        torch.randn(1, 4, NUM_CAMERA_FEATURES, generator=generator),
        torch.randn(1, 3, 3, 32, 32, generator=generator),
    )


def test_a_saved_pipeline_loads_and_draws_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["scheduler"] == ["diffusers", "DDIMScheduler"]
    assert (tmp_path / "network/diffusion_pytorch_model.safetensors").is_file()
    again = NanoFillPipeline.from_pretrained(tmp_path)
    assert isinstance(again.network, NanoFillModel)
    assert again.scheduler.config.prediction_type == "sample"
    torch.testing.assert_close(again(*inputs()), pipeline(*inputs()), atol=0, rtol=0)


def test_the_pipeline_draws_what_the_program_draws(pipeline):
    maps, cameras, noise = inputs()
    with torch.no_grad():
        ours = denoise(lambda sample, level: pipeline.network(sample, torch.tensor([level]), maps, cameras), noise, 4)
    torch.testing.assert_close(pipeline(maps, cameras, noise), ours, atol=1e-4, rtol=0)  # single precision


def test_it_takes_weights_as_they_are_shipped():
    torch.manual_seed(0)
    state = {name: values.half() for name, values in NanoFill().state_dict().items()}
    made = NanoFillPipeline.with_weights(state)
    assert made.network.config.channels == (64, 128, 192)
    for name, values in made.network.state_dict().items():
        assert torch.equal(values, state[name].float()), name
