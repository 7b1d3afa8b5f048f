"""Diffusion in a few steps, as DDIM does it (Song et al., "Denoising diffusion implicit models", 2021, eq. 12).

The same formulas as `diffusers.DDIMScheduler` with the options in SCHEDULER, so that the embedded generator does not
need that package; a test compares the two.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from img2world.layered.fill_network import STEPS

SCHEDULER = {
    "num_train_timesteps": STEPS,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "sample",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
    "clip_sample": True,
    "set_alpha_to_one": True,
}
"""Options of the scheduler: the network says what the picture is, and the first step begins with nothing but noise."""


def signal_shares() -> Tensor:
    """Square of the signal's share at each of STEPS levels (the cumulative alphas), the last one being 0.

    Source: Lin et al., "Common diffusion noise schedules and sample steps are flawed", 2024, algorithm 1.
    """
    ends = (SCHEDULER["beta_start"] ** 0.5, SCHEDULER["beta_end"] ** 0.5)
    root = torch.cumprod(1 - torch.linspace(*ends, STEPS, dtype=torch.float32) ** 2, 0).sqrt()
    return ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2


def levels(steps: int) -> list[int]:
    """The noise levels of a few steps, evenly spaced from the highest."""
    return [round(STEPS - i * STEPS / steps) - 1 for i in range(steps)]


def noised(clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
    """Pictures [B, …] with the noise of the steps [B]."""
    share = signal_shares()[step].reshape(-1, *[1] * (clean.ndim - 1))
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def denoised(predict: Callable[[Tensor, int], Tensor], noise: Tensor, steps: int) -> Tensor:
    """From noise to pictures of -1 to 1; `predict` says what the picture is, of a noisy one and its level."""
    shares = signal_shares()
    sample = noise
    for level in levels(steps):
        clean = predict(sample, level)
        remaining = (sample - shares[level].sqrt() * clean) / (1 - shares[level]).sqrt()
        before = level - STEPS // steps
        share = shares[before] if before >= 0 else torch.tensor(1.0)
        sample = share.sqrt() * clean.clamp(-1, 1) + (1 - share).sqrt() * remaining
    return sample
