"""Record what the published U²-Net-p finds in a photo: python tests/depth/record_u2netp.py u2netp.onnx.

The file (SHA-256 309c8469…4ddd8) is that of the releases of rembg. Its finest side map is kept, as means of 16 x 16
pixels.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from skimage import data

FINEST = "1960"
"""Output of the finest of the seven maps."""


def main() -> None:
    picture = cv2.resize(data.astronaut(), (320, 320), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    normalized = (picture - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    network = cv2.dnn.readNetFromONNX(sys.argv[1], cv2.dnn.ENGINE_CLASSIC)
    network.setInput(np.ascontiguousarray(normalized.transpose(2, 0, 1)[None]))
    saliency = network.forward(FINEST)[0, 0]
    means = saliency.reshape(20, 16, 20, 16).mean((1, 3))
    Path(__file__).with_name("u2netp.json").write_text(json.dumps(means.round(4).tolist()) + "\n")


if __name__ == "__main__":
    main()
