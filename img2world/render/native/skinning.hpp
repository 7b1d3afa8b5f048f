// Linear-blend skinning: Gaussians that follow the rigid motions of a few bones, and its gradient.
#pragma once

#include <cstdint>

#include "parallel.hpp"

namespace img2world {

constexpr int BONE_VALUES = 16;  // the rotation matrix of a bone, its translation, and its quaternion (wxyz)
constexpr int BONES_OF_EACH = 4;

struct SkinTask {
    const float* bones;      // [B, 16]
    const int32_t* indices;  // [N, 4] below B
    const float* logits;     // [N, 4] of the weights
    const float *means, *quats;  // [N, 3], [N, 4]
    int64_t count, num_bones;
};

// Moves means by the mean transform, and turns quaternions by the mean of the bones' quaternions, which is not made a
// unit quaternion.
void skin(ThreadPool& pool, const SkinTask& task, float* moved, float* turned);

struct SkinGradients {
    float *bones, *logits, *means, *quats;
};

// The gradients from those of the means and the quaternions that `skin` returned.
void skin_backward(ThreadPool& pool, const SkinTask& task, const float* moved, const float* turned,
                   const SkinGradients& out);

}  // namespace img2world
