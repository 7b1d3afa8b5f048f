"""The embedded geometry network: from one photo to the surface that is seen and the one that is hidden.

A small U-Net that works on 4 × 4 blocks of pixels, with attention where the picture is smallest. Trained by
`training/`; its weights and what they are good for are in `assets/nano`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 4
"""Side of the blocks of pixels that become channels at the entry."""

MULTIPLE = 16
"""Sides of the picture must be multiples of this."""

INPUTS = 6
"""Red, green, blue, cover of a cut-out object (1 in a scene), 1 for an object and 0 for a scene, row's place."""

OUTPUTS = 10
"""See `Channel`."""


class Channel:
    """The network's channels by name."""

    SCENE_DEPTH, SCENE_GAP = 0, 1
    """Log depth up to a constant; by how much the log depth of what is hidden is larger (before softplus)."""
    OBJECT_FRONT, OBJECT_THICKNESS = 2, 3
    """Depth relative to the middle of the object and the frame's width; thickness (before softplus)."""
    MASK = 4
    """Logit: an object, or what is not sky."""
    RGB = slice(5, 8)
    """What is hidden, as a difference from what is seen, -1 to 1."""
    DOUBT, HIDDEN_DOUBT = 8, 9
    """Logarithm of the error to be expected of the front's and of the hidden depth."""


DIRECTIONS = 36
"""Directions of upright planes that are told apart: 5 degrees."""


class Stance:
    """How an object stands, by name."""

    PLANES = slice(0, DIRECTIONS + 1)
    """Logits: in which planes it is its own mirror image (`mirror.mirror_normal`); the last one: in none."""
    ELEVATION = PLANES.stop
    """Of the camera above it, radians."""


HEAD = "stance."
"""How the names begin of the layers that tell how an object stands."""

GROWING, LAST_OF_BLOCK = "middle.", (".conv2.", ".out.")
"""How the names begin of the blocks that there can be more of, and what is in those of their `nothing_at_first`."""


def nothing_at_first(layer: nn.Conv2d | nn.Linear) -> None:
    """Make what goes around the layer all that comes out, so that networks can be made deeper when they are trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """Two convolutions around which the input goes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nothing_at_first(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, h, w] to [B, outputs, h, w]."""
        return self.skip(x) + self.conv2(functional.silu(self.norm2(self.conv1(functional.silu(self.norm1(x))))))


class Attention(nn.Module):
    """Every place looks at every other one."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nothing_at_first(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to the same."""
        batch, channels = x.shape[:2]
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [B, N, C]
        q, k, v = self.qkv(tokens).reshape(batch, -1, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        # Plain products: bf16 scaled_dot_product_attention is several times slower on a CPU.
        weights = (q @ k.transpose(-1, -2) * (channels // self.heads) ** -0.5).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, -1, channels)
        return x + self.out(mixed).transpose(1, 2).reshape(x.shape)


class NanoGeo(nn.Module):
    """The network."""

    def __init__(self, channels: tuple[int, int, int] = (64, 128, 192), depth: int = 2) -> None:
        """`depth` is the number of attentions where the picture is smallest."""
        super().__init__()
        first, second, third = channels
        self.entry = nn.Conv2d(INPUTS * BLOCK**2, first, 3, padding=1)
        self.down1 = nn.Sequential(Residual(first, first))
        self.shrink1 = nn.Conv2d(first, second, 2, stride=2)
        self.down2 = nn.Sequential(Residual(second, second), Residual(second, second))
        self.shrink2 = nn.Conv2d(second, third, 2, stride=2)
        deeper = [block for _ in range(depth) for block in (Attention(third), Residual(third, third))]
        self.middle = nn.Sequential(Residual(third, third), *deeper)
        self.grow2 = nn.Conv2d(third, second * 4, 1)
        self.up2 = nn.Sequential(Residual(2 * second, second), Residual(second, second))
        self.grow1 = nn.Conv2d(second, first * 4, 1)
        self.up1 = nn.Sequential(Residual(2 * first, first), Residual(first, first))
        self.norm = nn.GroupNorm(8, first)
        self.exit = nn.Conv2d(first, OUTPUTS * BLOCK**2, 3, padding=1)
        self.stance = nn.Sequential(nn.Linear(third, 2 * third), nn.SiLU(), nn.Linear(2 * third, DIRECTIONS + 2))
        nn.init.zeros_(self.exit.weight)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # As oneDNN wants it: channels of a pixel beside one another.
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> "NanoGeo":
        """A network with these weights, as wide and as deep as they are."""
        first, second, third = (len(state[f"{layer}.bias"]) for layer in ("entry", "shrink1", "shrink2"))
        network = cls((first, second, third), depth=sum(name.endswith(".qkv.weight") for name in state))
        network.load_state_dict(state)
        return network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 6, H, W] to the maps [B, 10, H, W] and how an object stands [B, DIRECTIONS + 2], see `Stance`."""
        coarse = functional.pixel_unshuffle(x, BLOCK).contiguous(memory_format=torch.channels_last)
        high = self.down1(self.entry(coarse))
        mid = self.down2(self.shrink1(high))
        low = self.middle(self.shrink2(mid))
        stance = self.stance(low.mean((2, 3)))
        up = self.up2(torch.cat([functional.pixel_shuffle(self.grow2(low), 2), mid], 1))
        up = self.up1(torch.cat([functional.pixel_shuffle(self.grow1(up), 2), high], 1))
        return functional.pixel_shuffle(self.exit(functional.silu(self.norm(up))), BLOCK), stance


def network_input(rgb: Tensor, cover: Tensor, is_object: Tensor) -> Tensor:
    """[B, 3, H, W] of 0 to 1, [B, H, W] and [B] to the network's input [B, 6, H, W]."""
    batch, _, height, width = rgb.shape
    rows = torch.linspace(-1, 1, height, dtype=rgb.dtype)[None, None, :, None].expand(batch, 1, height, width)
    kind = is_object.to(rgb.dtype)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat([2 * rgb - 1, cover[:, None], kind, rows], 1)
