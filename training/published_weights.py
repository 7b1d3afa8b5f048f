"""Weights that others have published, read from their own files."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from img2world.depth.u2net import U2Net

U2NETP_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
"""Digest of u2netp.onnx as rembg distributes it (Apache-2.0, from github.com/xuebinqin/U-2-Net)."""


def load_u2netp(path: Path) -> U2Net:
    """Read the layers of U²-Net-p that the program uses. Raises ValueError when it is another file."""
    import cv2

    if hashlib.sha256(path.read_bytes()).hexdigest() != U2NETP_SHA256:
        raise ValueError(f"not the published u2netp.onnx: {path}")
    # The classic engine gives every layer a name.
    file = cv2.dnn.readNetFromONNX(str(path), cv2.dnn.ENGINE_CLASSIC)
    names = [name for name in file.getLayerNames() if "Conv" in name]
    network = U2Net()
    # Both list the convolutions in the order in which they are computed; five more saliency maps follow in the file.
    for layer, name in zip([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)], names, strict=False):
        weight, bias = (torch.from_numpy(file.getParam(name, i).copy()) for i in range(2))
        assert weight.shape == layer.weight.shape, name
        layer.weight.data, layer.bias = weight, nn.Parameter(bias.reshape(-1))
    return network.requires_grad_(False).eval()
