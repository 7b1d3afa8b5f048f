"""The embedded video diffusion network as a pipeline of diffusers.

`nano` itself samples with `layered.ddim`, which computes the same without diffusers.
"""

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from img2world.layered.ddim import SCHEDULER
from img2world.layered.fill_network import NanoFill


class NanoFillModel(NanoFill, ModelMixin, ConfigMixin):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The network with a configuration that is saved with its weights."""

    @register_to_config
    def __init__(self, channels: Sequence[int] = (64, 128, 192)) -> None:
        super().__init__(channels)


class NanoFillPipeline(DiffusionPipeline):
    """Complete the anchor frames of a trajectory from what is known of them."""

    def __init__(self, network: NanoFillModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self.register_modules(network=network, scheduler=scheduler)

    @classmethod
    def with_weights(cls, state: dict[str, Tensor]) -> "NanoFillPipeline":
        """Return a pipeline with weights such as those in assets/nano."""
        network = NanoFillModel()
        network.load_state_dict({name: values.float() for name, values in state.items()})
        return cls(network.eval(), DDIMScheduler(**SCHEDULER))

    @torch.no_grad()
    def __call__(self, maps: Tensor, cameras: Tensor, noise: Tensor, *, num_inference_steps: int = 4) -> Tensor:
        """Return frames [B, K, 3, H, W] of -1 to 1.

        `maps` [B, C + K, 12, H, W] and `cameras` [B, C + K, 13] are those of `layered.anchor_frames`, C given frames
        first; `noise` [B, K, 3, H, W] is that of `layered.anchor_frames.frame_noise`.
        """
        self.scheduler.set_timesteps(num_inference_steps, device=noise.device)
        sample = noise
        for level in self.scheduler.timesteps:
            clean = self.network(sample, level.expand(len(sample)), maps, cameras)
            sample = self.scheduler.step(clean, level, sample).prev_sample
        return sample
