import pytest
import torch

from img2world.core.threads import one_torch_thread
from img2world.layered.fill_network import NUM_CAMERA_FEATURES, NUM_MAPS, NanoFill

TINY = (16, 24, 32)


@pytest.fixture(autouse=True)
def single_thread():
    """Without gradients and with one thread, tiny convolutions take a tenth of the time."""
    with one_torch_thread(), torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def network():
    """A tiny network without zero weights."""
    torch.manual_seed(0)
    made = NanoFill(TINY)
    with torch.no_grad():
        for values in made.parameters():
            values.add_(0.05 * torch.randn_like(values))
    return made.eval()


def inputs(clean=2, drawn=3):
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(1, drawn, 3, 32, 48, generator=generator)
    maps = torch.rand(1, clean + drawn, NUM_MAPS, 32, 48, generator=generator)
    cameras = torch.randn(1, clean + drawn, NUM_CAMERA_FEATURES, generator=generator)
    return sample, maps, cameras


def test_new_network_returns_its_input_colors():
    sample, maps, cameras = inputs()
    torch.testing.assert_close(NanoFill(TINY)(sample, torch.tensor([999]), maps, cameras), maps[:, 2:, :3])


def test_order_of_frames_does_not_matter(network):
    sample, maps, cameras = inputs()
    level = torch.tensor([500])
    drawn = network(sample, level, maps, cameras)
    order, all_order = [2, 0, 1], [1, 0, 4, 2, 3]
    shuffled = network(sample[:, order], level, maps[:, all_order], cameras[:, all_order])
    torch.testing.assert_close(shuffled, drawn[:, order], atol=1e-4, rtol=0)


def test_every_frame_depends_on_the_others_its_camera_and_the_timestep(network):
    sample, maps, cameras = inputs()
    drawn = network(sample, torch.tensor([500]), maps, cameras)
    for changed in ("given frame", "other frame", "camera", "level"):
        other_maps, other_sample, other_cameras, level = maps.clone(), sample.clone(), cameras.clone(), 500
        if changed == "given frame":
            other_maps[:, 0, :3] = 1 - other_maps[:, 0, :3]
        elif changed == "other frame":
            other_sample[:, 1] += 1
        elif changed == "camera":
            other_cameras[:, 2] += 1
        else:
            level = 250
        moved = (network(other_sample, torch.tensor([level]), other_maps, other_cameras) - drawn)[:, 0].abs().max()
        assert moved > 1e-4, changed


def test_default_network_has_five_million_weights():
    assert 4.5e6 < sum(values.numel() for values in NanoFill().parameters()) < 5.5e6
