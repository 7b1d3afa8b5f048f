// Constants of the image formation, the same as in semantics.py; a test compares them.
#pragma once

namespace img2world {

constexpr float LOW_PASS = 0.3f;
constexpr float MIN_ALPHA = 1.0f / 255.0f;
constexpr float MAX_ALPHA = 0.999f;
constexpr float MIN_TRANSMITTANCE = 1e-4f;
constexpr float JACOBIAN_MARGIN = 0.15f;
constexpr float NEAR = 0.01f;
constexpr float FAR = 1e10f;
constexpr float MAX_EXTENT = 1e6f;
constexpr float MIN_QUAT_NORM = 1e-12f;

// Side of the square tiles that pixels are drawn in.
constexpr int TILE = 16;

}  // namespace img2world
