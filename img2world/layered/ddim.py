"""DDIM sampling in a few steps (Song et al., "Denoising diffusion implicit models", 2021, eq. 12).

Equals `diffusers.DDIMScheduler` with the options in SCHEDULER, so that the embedded generator does not need that
package; a test compares the two.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from img2world.layered.fill_network import NUM_TIMESTEPS

SCHEDULER = {
    "num_train_timesteps": NUM_TIMESTEPS,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "sample",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
    "clip_sample": True,
    "set_alpha_to_one": True,
}
"""Options of the scheduler: the network predicts the clean image, and the first step starts from pure noise."""


def alphas_cumprod() -> Tensor:
    """Return the cumulative product of alphas [NUM_TIMESTEPS], the squared scale of the signal; the last one is 0.

    Source: Lin et al., "Common diffusion noise schedules and sample steps are flawed", 2024, algorithm 1.
    """
    ends = (SCHEDULER["beta_start"] ** 0.5, SCHEDULER["beta_end"] ** 0.5)
    root = torch.cumprod(1 - torch.linspace(*ends, NUM_TIMESTEPS, dtype=torch.float32) ** 2, 0).sqrt()
    return ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2


def timesteps(steps: int) -> list[int]:
    """Return the timesteps of a sampler, evenly spaced down from the noisiest."""
    return [round(NUM_TIMESTEPS - i * NUM_TIMESTEPS / steps) - 1 for i in range(steps)]


def add_noise(clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
    """Add noise to clean images [B, …] at the timesteps `step` [B]."""
    alpha = alphas_cumprod()[step].reshape(-1, *[1] * (clean.ndim - 1))
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise


def denoise(predict: Callable[[Tensor, int], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Return images, -1 to 1, sampled from `noise`; `predict` maps a noisy image and its timestep to a clean image."""
    alphas = alphas_cumprod()
    sample = noise
    for step in timesteps(steps):
        clean = predict(sample, step)
        predicted_noise = (sample - alphas[step].sqrt() * clean) / (1 - alphas[step]).sqrt()
        previous = step - NUM_TIMESTEPS // steps
        alpha = alphas[previous] if previous >= 0 else torch.tensor(1.0)
        sample = alpha.sqrt() * clean.clamp(-1, 1) + (1 - alpha).sqrt() * predicted_noise
    return sample
