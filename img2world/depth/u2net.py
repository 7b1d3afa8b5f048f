"""The feature layers of U²-Net-p (Qin et al. 2020, "U²-Net: Going deeper with nested U-structure", figures 2 and 5)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from img2world.core.conventions import IMAGENET

FEATURES = 64
"""Channels of the output of every stage."""

INNER = 16
"""Channels within a stage."""


class Conv(nn.Conv2d):
    """A 3 x 3 convolution, into which its batch normalization is folded, and a ReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, h, w] to [B, outputs, h, w]."""
        return functional.relu(super().forward(x))


def resized_like(x: Tensor, other: Tensor) -> Tensor:
    """Return maps [B, C, h, w] at the height and width of others."""
    return functional.interpolate(x, size=other.shape[-2:], mode="bilinear")


def halved(x: Tensor) -> Tensor:
    """Return the maxima of 2 x 2 pixels."""
    return functional.max_pool2d(x, 2, ceil_mode=True)


class Stage(nn.Module):
    """A residual U-block ("RSU-L"), a small U-Net with `depth` levels."""

    def __init__(self, depth: int, inputs: int) -> None:
        super().__init__()
        self.entry = Conv(inputs, FEATURES)
        self.down = nn.ModuleList([Conv(FEATURES, INNER)] + [Conv(INNER, INNER) for _ in range(depth - 2)])
        self.middle = Conv(INNER, INNER, dilation=2)
        self.up = nn.ModuleList([Conv(2 * INNER, INNER) for _ in range(depth - 2)] + [Conv(2 * INNER, FEATURES)])

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, h, w] to [B, FEATURES, h, w]."""
        x = self.entry(x)
        levels = [self.down[0](x)]
        for layer in self.down[1:]:
            levels.append(layer(halved(levels[-1])))
        y = self.middle(levels[-1])
        for layer, level in zip(self.up, reversed(levels), strict=True):
            y = layer(torch.cat([resized_like(y, level), level], 1))
        return x + y


class DilatedStage(nn.Module):
    """A residual block of dilated convolutions at one resolution ("RSU-4F")."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.entry = Conv(inputs, FEATURES)
        self.down = nn.ModuleList([Conv(FEATURES, INNER), Conv(INNER, INNER, 2), Conv(INNER, INNER, 4)])
        self.middle = Conv(INNER, INNER, 8)
        self.up = nn.ModuleList([Conv(2 * INNER, INNER, 4), Conv(2 * INNER, INNER, 2), Conv(2 * INNER, FEATURES)])

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, h, w] to [B, FEATURES, h, w]."""
        x = self.entry(x)
        levels = [self.down[0](x)]
        for layer in self.down[1:]:
            levels.append(layer(levels[-1]))
        y = self.middle(levels[-1])
        for layer, level in zip(self.up, reversed(levels), strict=True):
            y = layer(torch.cat([y, level], 1))
        return x + y


class U2Net(nn.Module):
    """Encoder, decoder and the finest saliency map of U²-Net-p."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            [
                Stage(7, 3),
                *(Stage(depth, FEATURES) for depth in (6, 5, 4)),
                DilatedStage(FEATURES),
                DilatedStage(FEATURES),
            ]
        )
        self.decoder = nn.ModuleList(
            [DilatedStage(2 * FEATURES), *(Stage(depth, 2 * FEATURES) for depth in (4, 5, 6, 7))]
        )
        self.side = nn.Conv2d(FEATURES, 1, 3, padding=1)

    def forward(self, rgb: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return features at 1/4, 1/8, 1/16 and 1/32 of the size, and logits of the saliency, of [B, 3, H, W].

        Colors are 0 to 1. The first three features are [B, 2 FEATURES, h, w], of encoder and decoder.
        """
        mean, deviation = (rgb.new_tensor(values)[:, None, None] for values in IMAGENET)
        levels = [self.encoder[0]((rgb - mean) / deviation)]
        for stage in self.encoder[1:]:
            levels.append(stage(halved(levels[-1])))
        decoded = [levels[-1]]
        for stage, level in zip(self.decoder, reversed(levels[:-1]), strict=True):
            decoded.append(stage(torch.cat([resized_like(decoded[-1], level), level], 1)))
        decoded.reverse()
        features = [torch.cat([levels[i], decoded[i]], 1) for i in (2, 3, 4)]
        return [*features, levels[5]], self.side(decoded[0])
