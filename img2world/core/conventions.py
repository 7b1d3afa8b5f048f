"""The conventions for cameras, worlds, rotations and colours; no other module defines any.

Cameras: +X right, +Y down, +Z forward (OpenCV). World: right-handed, +Y down; the input camera has identity rotation
and is 1 unit from the origin that it orbits, until the pose stage turns the world upright. The centre of the first
pixel is (0.5, 0.5). Quaternions are wxyz. Scales are stored as logarithms, opacities as logits. Spherical harmonics
are [N, K, 3], DC first. Depth is measured along +Z. Angles are in radians, times in seconds.
"""

import numpy as np

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the camera axes of OpenGL, Blender and glTF (+Y up, -Z forward) to ours. Its own inverse."""

Y_UP_FROM_WORLD = np.diag([1.0, -1.0, -1.0, 1.0])
"""From our world (+Y down) to that of glTF, USD and three.js (+Y up): half a turn about X. Its own inverse."""

Y_UP_SIGNS = (1, -1, -1)
"""The same turn as the signs of the axes."""

Z_UP_FROM_WORLD = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])
"""From our world (+Y down, +Z away) to that of nerfstudio and Blender (+Z up, +Y away): a quarter turn about X."""

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi)). Colour = 0.5 + SH_C0 * dc (Kerbl et al. 2023)."""

INPUT_DISTANCE = 1.0
"""Distance of the input camera from the origin, which is the unit of the world."""

NEAR = 0.01
"""Nothing closer to a camera is drawn (3DGS uses 0.2 of its metres; our unit is larger)."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the colors, 0 to 1, by which networks trained on ImageNet normalize pictures."""
