import pytest
import torch

from img2world.layered.ddim import SCHEDULER, add_noise, alphas_cumprod, denoise, timesteps

diffusers = pytest.importorskip("diffusers")


def scheduler(steps):
    made = diffusers.DDIMScheduler(**SCHEDULER)
    made.set_timesteps(steps)
    return made


def blurred(sample, level):
    """A stand-in for a network: its prediction depends on image and timestep."""
    return 0.9 * torch.roll(sample, 1, -1) - level / 2000


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_sampling_matches_diffusers(steps):
    theirs = scheduler(steps)
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert timesteps(steps) == theirs.timesteps.tolist()
    sample = noise
    for level in theirs.timesteps:
        sample = theirs.step(blurred(sample, int(level)), level, sample).prev_sample
    torch.testing.assert_close(denoise(blurred, noise, steps), sample, atol=2e-5, rtol=0)  # single precision


def test_noise_matches_diffusers_and_the_last_timestep_is_pure_noise():
    theirs = scheduler(4)
    clean, noise = torch.rand(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    level = torch.tensor([0, 500, 999])
    torch.testing.assert_close(add_noise(clean, noise, level), theirs.add_noise(clean, noise, level), atol=1e-5, rtol=0)
    torch.testing.assert_close(add_noise(clean, noise, level)[2], noise[2])
    assert alphas_cumprod()[-1] == 0


def test_perfect_network_gives_the_image_after_any_number_of_steps():
    picture = torch.rand(1, 3, 4, 4) * 2 - 1
    for steps in (1, 4):
        torch.testing.assert_close(denoise(lambda *_: picture, torch.randn(1, 3, 4, 4), steps), picture)
