"""The embedded geometry network, which predicts the visible and the hidden surface from one photo.

A small U-Net on 4 × 4 blocks of pixels, with self-attention at the lowest resolution. It is trained by `training/`; its
weights and model card are in `assets/nano`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 4
"""Side in pixels of the blocks that become channels at the input (pixel unshuffle)."""

MULTIPLE = 16
"""Height and width of the input must be multiples of this."""

INPUTS = 6
"""Channels: red, green, blue, alpha (1 in a scene), 1 for an object or 0 for a scene, and the row from -1 to 1."""

OUTPUTS = 10
"""Channels, see `Channel`."""


class Channel:
    """Indices of the output channels."""

    SCENE_DEPTH, SCENE_GAP = 0, 1
    """Logarithm of the depth up to a constant; how much larger that of the hidden surface is (before softplus)."""
    OBJECT_FRONT, OBJECT_THICKNESS = 2, 3
    """Depth behind the object's center as a fraction of the frame's width; thickness (before softplus)."""
    MASK = 4
    """Logit of the object, or of everything but the sky."""
    RGB = slice(5, 8)
    """Colour of the hidden surface minus that of the visible one, -1 to 1."""
    PREDICTED_ERROR, HIDDEN_PREDICTED_ERROR = 8, 9
    """Logarithm of the expected error of the visible and of the hidden depth."""


DIRECTIONS = 36
"""Number of directions of vertical symmetry planes that are distinguished, 5 degrees apart."""


class Stance:
    """Indices of the outputs for the orientation of an object."""

    PLANES = slice(0, DIRECTIONS + 1)
    """Logits of the symmetry planes (`layered.symmetry`); the last one is of having none."""
    ELEVATION = PLANES.stop
    """Elevation of the camera above the object, in radians."""


STANCE_PREFIX = "stance."
"""Prefix of the parameters of the head that predicts the orientation of an object."""

MIDDLE_PREFIX, ZERO_INITIALIZED = "middle.", (".conv2.", ".out.")
"""Prefix of the parameters of the blocks whose number may vary; parts of the names of their zero-initialized layers."""


def zero_initialize(layer: nn.Conv2d | nn.Linear) -> None:
    """Set a layer to zero, so that its residual block is the identity and can be added to a trained network."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """Two convolutions with a skip connection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        zero_initialize(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, h, w] to [B, outputs, h, w]."""
        return self.skip(x) + self.conv2(functional.silu(self.norm2(self.conv1(functional.silu(self.norm1(x))))))


class Attention(nn.Module):
    """Self-attention between all positions, with a skip connection."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        zero_initialize(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, h, w] to the same shape."""
        batch, channels = x.shape[:2]
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [B, N, C]
        q, k, v = self.qkv(tokens).reshape(batch, -1, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        # Plain products: bf16 scaled_dot_product_attention is several times slower on a CPU.
        weights = (q @ k.transpose(-1, -2) * (channels // self.heads) ** -0.5).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, -1, channels)
        return x + self.out(mixed).transpose(1, 2).reshape(x.shape)


class GeometryNetwork(nn.Module):
    """A U-Net with three resolutions."""

    def __init__(self, channels: tuple[int, int, int] = (64, 128, 192), depth: int = 2) -> None:
        """Build a network with random weights; `depth` is the number of attention layers at the lowest resolution."""
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
                # The layout that oneDNN computes fastest with.
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "GeometryNetwork":
        """Return a network with these weights; their shapes determine its channels and depth."""
        first, second, third = (len(state[f"{layer}.bias"]) for layer in ("entry", "shrink1", "shrink2"))
        network = cls((first, second, third), depth=sum(name.endswith(".qkv.weight") for name in state))
        network.load_state_dict(state)
        return network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, 6, H, W] to maps [B, 10, H, W] and orientations [B, DIRECTIONS + 2], see `Channel` and `Stance`."""
        coarse = functional.pixel_unshuffle(x, BLOCK).contiguous(memory_format=torch.channels_last)
        high = self.down1(self.entry(coarse))
        mid = self.down2(self.shrink1(high))
        low = self.middle(self.shrink2(mid))
        stance = self.stance(low.mean((2, 3)))
        up = self.up2(torch.cat([functional.pixel_shuffle(self.grow2(low), 2), mid], 1))
        up = self.up1(torch.cat([functional.pixel_shuffle(self.grow1(up), 2), high], 1))
        return functional.pixel_shuffle(self.exit(functional.silu(self.norm(up))), BLOCK), stance


def network_input(rgb: Tensor, cover: Tensor, is_object: Tensor) -> Tensor:
    """Return the network's input [B, 6, H, W] from colours [B, 3, H, W] and alpha [B, H, W], 0 to 1, and a flag [B]."""
    batch, _, height, width = rgb.shape
    rows = torch.linspace(-1, 1, height, dtype=rgb.dtype)[None, None, :, None].expand(batch, 1, height, width)
    kind = is_object.to(rgb.dtype)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat([2 * rgb - 1, cover[:, None], kind, rows], 1)
