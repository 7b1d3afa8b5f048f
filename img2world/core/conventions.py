"""The one place that says how img2world writes cameras, worlds, rotations and colours.

Cameras: +X right, +Y down, +Z forward (OpenCV). World: right-handed, +Y down; the input camera has
identity rotation and is 1 unit from the origin it orbits, until the pose stage has turned the world
upright. The centre of the first pixel is (0.5, 0.5). Quaternions are wxyz. Scales are stored as
logarithms, opacities as logits. Spherical harmonics are [N, K, 3], DC first. Depth is measured
along +Z. Angles are radians, times seconds.
"""

import numpy as np

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes of OpenGL, Blender and glTF (+Y up, -Z forward) to ours. It is its own inverse."""

Y_UP_FROM_WORLD = np.diag([1.0, -1.0, -1.0, 1.0])
"""Our world (+Y down) to glTF, USD and three.js (+Y up): half a turn about X. Its own inverse."""

Z_UP_FROM_WORLD = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])
"""Our world (+Y down, +Z away) to nerfstudio and Blender (+Z up, +Y away): a quarter turn about X."""

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi)). Colour = 0.5 + SH_C0 * dc (3DGS, Kerbl 2023)."""

INPUT_DISTANCE = 1.0
"""Distance of the input camera from the origin: this is the world's unit."""

NEAR = 0.01
"""Nothing closer than this to a camera is drawn (3DGS uses 0.2 metres; our unit is larger)."""
