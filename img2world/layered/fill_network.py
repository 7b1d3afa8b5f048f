"""The embedded video diffusion network: from anchor frames warped from a photo to plausible images of the same views.

A small U-Net that sees all frames of a sequence at once, clean given ones (the photo, or remembered frames) and those
to generate, and attends across them at its lowest resolution. Trained by `training/`; its weights and model card are
in `assets/nano`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from img2world.depth.network import BLOCK, Attention

NUM_MAPS = 12
"""Channels of the conditioning maps of a frame; see `anchor_frames.conditioning_maps`."""

NUM_CAMERA_FEATURES = 13
"""Numbers that describe the camera of a frame; see `anchor_frames.camera_features`."""

NUM_TIMESTEPS = 1000
"""Timesteps of the noise schedule, 0 being the least noisy."""

EMBEDDING_SIZE = 160
NUM_FREQUENCIES = 16


class FiLMResBlock(nn.Module):
    """A residual block of two convolutions, modulated by each frame's embedding.

    Source: Perez et al., "FiLM: Visual reasoning with a general conditioning layer", 2018.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.steer = nn.Linear(EMBEDDING_SIZE, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.steer.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map [N, inputs, h, w] and embeddings [N, EMBEDDING_SIZE] to [N, outputs, h, w]."""
        scale, shift = self.steer(embedding)[..., None, None].chunk(2, 1)
        inner = self.norm2(self.conv1(functional.silu(self.norm1(x)))) * (1 + scale) + shift
        return self.skip(x) + self.conv2(functional.silu(inner))


class NanoFill(nn.Module):
    """The network; new, it returns the colors of the conditioning maps."""

    def __init__(self, channels: Sequence[int] = (64, 128, 192)) -> None:
        super().__init__()
        first, second, third = channels
        self.embed = nn.Sequential(
            nn.Linear(2 * NUM_FREQUENCIES + NUM_CAMERA_FEATURES + 1, EMBEDDING_SIZE),
            nn.SiLU(),
            nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE),
            nn.SiLU(),
        )
        self.entry = nn.Conv2d((NUM_MAPS + 3) * BLOCK**2, first, 3, padding=1)
        self.down1 = FiLMResBlock(first, first)
        self.shrink1 = nn.Conv2d(first, second, 2, stride=2)
        self.down2 = nn.ModuleList([FiLMResBlock(second, second), FiLMResBlock(second, second)])
        self.shrink2 = nn.Conv2d(second, third, 2, stride=2)
        self.middle = nn.ModuleList([FiLMResBlock(third, third) for _ in range(3)])
        self.mix = nn.ModuleList([Attention(third) for _ in range(3)])
        self.grow2 = nn.Conv2d(third, second * 4, 1)
        self.up2 = nn.ModuleList([FiLMResBlock(2 * second, second), FiLMResBlock(second, second)])
        self.grow1 = nn.Conv2d(second, first * 4, 1)
        self.up1 = nn.ModuleList([FiLMResBlock(2 * first, first), FiLMResBlock(first, first)])
        self.norm = nn.GroupNorm(8, first)
        self.exit = nn.Conv2d(first, 3 * BLOCK**2, 3, padding=1)
        for values in self.exit.parameters():
            nn.init.zeros_(values)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # oneDNN is faster with the channels of a pixel next to each other.
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, sample: Tensor, step: Tensor, maps: Tensor, cameras: Tensor) -> Tensor:
        """Predict clean frames, -1 to 1, from noisy ones [B, K, 3, H, W] at the timesteps `step` [B].

        `maps` [B, C + K, NUM_MAPS, H, W] and `cameras` [B, C + K, NUM_CAMERA_FEATURES] are those of C clean frames,
        then of the K noisy ones. H and W are multiples of 16.
        """
        batch, generated = sample.shape[:2]
        frames, clean = maps.shape[1], maps.shape[1] - generated
        embedding = self.embed(embedding_input(step, cameras, clean)).flatten(0, 1)  # [B * F, E]
        noisy = torch.cat([maps[:, :clean, :3], sample], 1)
        x = torch.cat([noisy, maps], 2).flatten(0, 1)
        x = functional.pixel_unshuffle(x, BLOCK).contiguous(memory_format=torch.channels_last)
        high = self.down1(self.entry(x), embedding)
        mid = self.shrink1(high)
        for block in self.down2:
            mid = block(mid, embedding)
        low = self.shrink2(mid)
        for block, mix in zip(self.middle, self.mix, strict=True):
            low = attend_across_frames(mix, block(low, embedding), batch)
        high, mid, low, embedding = (drop_clean_frames(each, frames, clean) for each in (high, mid, low, embedding))
        up = torch.cat([functional.pixel_shuffle(self.grow2(low), 2), mid], 1)
        for block in self.up2:
            up = block(up, embedding)
        up = torch.cat([functional.pixel_shuffle(self.grow1(up), 2), high], 1)
        for block in self.up1:
            up = block(up, embedding)
        change = functional.pixel_shuffle(self.exit(functional.silu(self.norm(up))), BLOCK)
        return maps[:, clean:, :3] + change.float().reshape(sample.shape)


def embedding_input(step: Tensor, cameras: Tensor, clean: int) -> Tensor:
    """Return [B, F, …]: sinusoids of the noise level (0 for clean frames), camera features, 1 for a clean frame."""
    level = (step.float()[:, None] / NUM_TIMESTEPS).expand(cameras.shape[:2]).clone()
    level[:, :clean] = 0
    phases = torch.exp(torch.linspace(0.0, 5.0, NUM_FREQUENCIES, device=level.device)) * level[..., None]
    is_clean = torch.zeros_like(level)
    is_clean[:, :clean] = 1
    return torch.cat([phases.sin(), phases.cos(), cameras, is_clean[..., None]], -1)


def attend_across_frames(attention: nn.Module, x: Tensor, batch: int) -> Tensor:
    """Attend from every pixel of every frame [B * F, C, h, w] to all pixels of its sequence, whatever their order."""
    channels, height, width = x.shape[1:]
    side_by_side = x.reshape(batch, -1, channels, height, width).transpose(1, 2).reshape(batch, channels, -1, width)
    mixed = attention(side_by_side).reshape(batch, channels, -1, height, width).transpose(1, 2)
    return mixed.reshape(x.shape).contiguous(memory_format=torch.channels_last)


def drop_clean_frames(x: Tensor, frames: int, clean: int) -> Tensor:
    """Return features [B * F, …] without those of the clean frames: [B * K, …]."""
    return x.unflatten(0, (-1, frames))[:, clean:].flatten(0, 1)
