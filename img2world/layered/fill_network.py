"""The embedded video diffusion network: anchor frames of a warped photo in, the same frames as they may truly look out.

It sees all frames at once, the clean ones it is given (the photo, or remembered frames) and the ones it is to draw,
and mixes them where the picture is smallest. Trained by `training/`; its weights and what they are good for are in
`assets/nano`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from img2world.depth.network import BLOCK, Attention

MAPS = 12
"""What is known of a frame; see `anchors.frame_maps`."""

CAMERA = 13
"""Numbers that tell a frame's camera; see `anchors.camera_numbers`."""

STEPS = 1000
"""Levels of noise, 0 being the least."""

EMBEDDING = 160
WAVES = 16


class Steered(nn.Module):
    """Two convolutions around which the input goes, steered by each frame's embedding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.steer = nn.Linear(EMBEDDING, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.steer.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[N, inputs, h, w] and [N, EMBEDDING] to [N, outputs, h, w]."""
        scale, shift = self.steer(embedding)[..., None, None].chunk(2, 1)
        inner = self.norm2(self.conv1(functional.silu(self.norm1(x)))) * (1 + scale) + shift
        return self.skip(x) + self.conv2(functional.silu(inner))


class NanoFill(nn.Module):
    """The network."""

    def __init__(self, channels: Sequence[int] = (64, 128, 192)) -> None:
        super().__init__()
        first, second, third = channels
        self.embed = nn.Sequential(
            nn.Linear(2 * WAVES + CAMERA + 1, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )
        self.entry = nn.Conv2d((MAPS + 3) * BLOCK**2, first, 3, padding=1)
        self.down1 = Steered(first, first)
        self.shrink1 = nn.Conv2d(first, second, 2, stride=2)
        self.down2 = nn.ModuleList([Steered(second, second), Steered(second, second)])
        self.shrink2 = nn.Conv2d(second, third, 2, stride=2)
        self.middle = nn.ModuleList([Steered(third, third) for _ in range(3)])
        self.mix = nn.ModuleList([Attention(third) for _ in range(3)])
        self.grow2 = nn.Conv2d(third, second * 4, 1)
        self.up2 = nn.ModuleList([Steered(2 * second, second), Steered(second, second)])
        self.grow1 = nn.Conv2d(second, first * 4, 1)
        self.up1 = nn.ModuleList([Steered(2 * first, first), Steered(first, first)])
        self.norm = nn.GroupNorm(8, first)
        self.exit = nn.Conv2d(first, 3 * BLOCK**2, 3, padding=1)
        for values in self.exit.parameters():
            nn.init.zeros_(values)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # As oneDNN wants it: channels of a pixel beside one another.
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, sample: Tensor, step: Tensor, maps: Tensor, cameras: Tensor) -> Tensor:
        """The frames without noise, -1 to 1, of noisy ones [B, K, 3, H, W] at the steps [B].

        `maps` [B, C + K, MAPS, H, W] and `cameras` [B, C + K, CAMERA] tell of C clean frames, then of the noisy ones.
        H and W are multiples of 16.
        """
        batch, drawn = sample.shape[:2]
        frames, clean = maps.shape[1], maps.shape[1] - drawn
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
            low = mix_frames(mix, block(low, embedding), batch)
        high, mid, low, embedding = (only_drawn(each, frames, clean) for each in (high, mid, low, embedding))
        up = torch.cat([functional.pixel_shuffle(self.grow2(low), 2), mid], 1)
        for block in self.up2:
            up = block(up, embedding)
        up = torch.cat([functional.pixel_shuffle(self.grow1(up), 2), high], 1)
        for block in self.up1:
            up = block(up, embedding)
        change = functional.pixel_shuffle(self.exit(functional.silu(self.norm(up))), BLOCK)
        return maps[:, clean:, :3] + change.float().reshape(sample.shape)


def embedding_input(step: Tensor, cameras: Tensor, clean: int) -> Tensor:
    """[B], [B, F, CAMERA] to [B, F, …]: waves of the noise level (0 for clean frames), the camera, 1 if clean."""
    level = (step.float()[:, None] / STEPS).expand(cameras.shape[:2]).clone()
    level[:, :clean] = 0
    waves = torch.exp(torch.linspace(0.0, 5.0, WAVES, device=level.device)) * level[..., None]
    is_clean = torch.zeros_like(level)
    is_clean[:, :clean] = 1
    return torch.cat([waves.sin(), waves.cos(), cameras, is_clean[..., None]], -1)


def mix_frames(attention: nn.Module, x: Tensor, batch: int) -> Tensor:
    """Every place of every frame [B * F, C, h, w] looks at every one of the same sequence, in whatever order."""
    channels, height, width = x.shape[1:]
    side_by_side = x.reshape(batch, -1, channels, height, width).transpose(1, 2).reshape(batch, channels, -1, width)
    mixed = attention(side_by_side).reshape(batch, channels, -1, height, width).transpose(1, 2)
    return mixed.reshape(x.shape).contiguous(memory_format=torch.channels_last)


def only_drawn(x: Tensor, frames: int, clean: int) -> Tensor:
    """[B * F, …] without the clean frames: [B * K, …]."""
    return x.unflatten(0, (-1, frames))[:, clean:].flatten(0, 1)
