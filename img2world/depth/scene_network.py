"""The network for the depth of scenes on photos: a head on features that were learned on photos."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from img2world.depth.network import Attention, Residual
from img2world.depth.u2net import FEATURES, U2Net, resized_like

MULTIPLE = 32
"""Height and width of its input are multiples of this."""

STRIDE = 2
"""Its output is so many times smaller than its input."""

MAX_SALIENCY = 6.0
"""Larger logits of the saliency are clamped."""

DROPOUT = 0.15
"""Fraction of the features that are hidden while training."""

SceneFeatures = dict[str, Tensor]
"""Inputs of the head by name: features at 1/4, 1/8, 1/16, 1/32 of the input's size; color and saliency at 1/2."""


def scene_features(backbone: U2Net, rgb: Tensor) -> SceneFeatures:
    """Return the features of pictures [B, 3, H, W], 0 to 1."""
    features, saliency = backbone(rgb)
    names = ("quarter", "eighth", "sixteenth", "last")
    color, saliency = (functional.avg_pool2d(maps.float(), STRIDE) for maps in (rgb, saliency))
    return {**dict(zip(names, features, strict=True)), "color": color, "saliency": saliency}


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """Return a layer that maps features of any scale to fewer or more."""
    return nn.Sequential(nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 1))


def row_coordinates(maps: Tensor) -> Tensor:
    """Return rows from -1 to 1 [1, 1, h, 1] of maps [B, C, h, w]."""
    return torch.linspace(-1, 1, maps.shape[2], dtype=maps.dtype)[None, None, :, None]


class DepthHead(nn.Module):
    """Turns features into log depth and the logit of sky, from coarse to fine."""

    def __init__(self, channels: tuple[int, int, int, int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.from_last = projection(FEATURES, fourth)
        self.from_sixteenth = projection(2 * FEATURES, fourth)
        self.from_eighth = projection(2 * FEATURES, third)
        self.from_quarter = projection(2 * FEATURES, second)
        self.from_color = nn.Conv2d(5, first, 3, padding=1)
        self.rows = nn.Parameter(torch.zeros(2, fourth))
        self.middle = nn.Sequential(
            Residual(fourth, fourth), Attention(fourth), Residual(fourth, fourth), Attention(fourth)
        )
        self.grow_eighth = nn.Conv2d(fourth, third, 1)
        self.eighth = nn.Sequential(Residual(third, third), Residual(third, third))
        self.grow_quarter = nn.Conv2d(third, second, 1)
        self.quarter = nn.Sequential(Residual(second, second), Residual(second, second))
        self.grow_finest = nn.Conv2d(second, first, 1)
        self.finest = Residual(first, first)
        self.exit = nn.Conv2d(first, 2, 3, padding=1)
        self.exit_coarse = nn.Conv2d(second, 2, 1)
        self.dropout = nn.Dropout2d(DROPOUT)
        nn.init.zeros_(self.exit.weight)

    def forward(self, features: SceneFeatures) -> Tensor:
        """Return log depth, up to a constant, and the logit of sky [B, 2, H / STRIDE, W / STRIDE]."""
        x = self.from_sixteenth(self.dropout(features["sixteenth"]))
        x = x + resized_like(self.from_last(self.dropout(features["last"])), x)
        rows = row_coordinates(x)
        x = self.middle(x + self.rows[0][:, None, None] * rows + self.rows[1][:, None, None] * rows**2)
        for name, project, grow, refine in (
            ("eighth", self.from_eighth, self.grow_eighth, self.eighth),
            ("quarter", self.from_quarter, self.grow_quarter, self.quarter),
        ):
            finer = project(self.dropout(features[name]))
            x = refine(finer + resized_like(grow(x), finer))
        saliency = features["saliency"].clamp(-MAX_SALIENCY, MAX_SALIENCY) / 3
        rows = row_coordinates(saliency).expand_as(saliency)
        fine = self.from_color(torch.cat([2 * features["color"] - 1, saliency, rows], 1))
        fine = self.finest(fine + resized_like(self.grow_finest(x), fine))
        return self.exit(functional.silu(fine)) + resized_like(self.exit_coarse(x), fine)


class SceneNetwork(nn.Module):
    """The features of U²-Net-p and the head that was trained on them."""

    def __init__(self, **head: Any) -> None:
        super().__init__()
        self.backbone, self.head = U2Net(), DepthHead(**head)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "SceneNetwork":
        """Return a network with these weights."""
        network = cls()
        network.load_state_dict(state)
        return network

    def forward(self, rgb: Tensor) -> Tensor:
        """Map pictures [B, 3, H, W], 0 to 1, to what `DepthHead` returns."""
        return self.head(scene_features(self.backbone, rgb))
