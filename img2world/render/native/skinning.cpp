#include "skinning.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace img2world {
namespace {

constexpr int64_t ROWS_PER_PIECE = 1024;
constexpr int AFFINE = 12;

float dot(const float* a, const float* b, int count) {
    float sum = 0;
    for (int i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

// The bones of one Gaussian, and their weighted mean.
struct Blend {
    const float* bones[BONES_OF_EACH];
    float weights[BONES_OF_EACH], signs[BONES_OF_EACH];
    float mean[BONE_VALUES] = {};

    Blend(const SkinTask& task, int64_t row) {
        const int32_t* indices = task.indices + BONES_OF_EACH * row;
        const float* logits = task.logits + BONES_OF_EACH * row;
        const float largest = *std::max_element(logits, logits + BONES_OF_EACH);
        float sum = 0;
        for (int k = 0; k < BONES_OF_EACH; k++) sum += weights[k] = std::exp(logits[k] - largest);
        for (int k = 0; k < BONES_OF_EACH; k++) {
            bones[k] = task.bones + BONE_VALUES * static_cast<int64_t>(indices[k]);
            weights[k] /= sum;
            // A quaternion and its negative are the same turn; summed up, they must not cancel out.
            signs[k] = dot(bones[k] + AFFINE, bones[0] + AFFINE, 4) < 0 ? -1.0f : 1.0f;
            for (int i = 0; i < AFFINE; i++) mean[i] += weights[k] * bones[k][i];
            for (int i = AFFINE; i < BONE_VALUES; i++) mean[i] += weights[k] * signs[k] * bones[k][i];
        }
    }
};

void skin_row(const SkinTask& task, int64_t row, float* moved, float* turned) {
    const Blend blend(task, row);
    const float *m = blend.mean, *x = task.means + 3 * row, *q = task.quats + 4 * row, *a = m + AFFINE;
    for (int i = 0; i < 3; i++) moved[3 * row + i] = dot(m + 3 * i, x, 3) + m[9 + i];
    float* t = turned + 4 * row;
    t[0] = a[0] * q[0] - a[1] * q[1] - a[2] * q[2] - a[3] * q[3];
    t[1] = a[0] * q[1] + a[1] * q[0] + a[2] * q[3] - a[3] * q[2];
    t[2] = a[0] * q[2] - a[1] * q[3] + a[2] * q[0] + a[3] * q[1];
    t[3] = a[0] * q[3] + a[1] * q[2] - a[2] * q[1] + a[3] * q[0];
}

// Adds to the sums of all bones.
void skin_row_backward(const SkinTask& task, int64_t row, const float* g, const float* h, const SkinGradients& out,
                       float* sums) {
    const Blend blend(task, row);
    const float *m = blend.mean, *x = task.means + 3 * row, *q = task.quats + 4 * row, *a = m + AFFINE;
    float *to_x = out.means + 3 * row, *to_q = out.quats + 4 * row, to_mean[BONE_VALUES];
    for (int i = 0; i < 3; i++) {
        to_x[i] = m[i] * g[0] + m[3 + i] * g[1] + m[6 + i] * g[2];
        for (int j = 0; j < 3; j++) to_mean[3 * i + j] = g[i] * x[j];
        to_mean[9 + i] = g[i];
    }
    to_mean[12] = h[0] * q[0] + h[1] * q[1] + h[2] * q[2] + h[3] * q[3];
    to_mean[13] = -h[0] * q[1] + h[1] * q[0] - h[2] * q[3] + h[3] * q[2];
    to_mean[14] = -h[0] * q[2] + h[1] * q[3] + h[2] * q[0] - h[3] * q[1];
    to_mean[15] = -h[0] * q[3] - h[1] * q[2] + h[2] * q[1] + h[3] * q[0];
    to_q[0] = h[0] * a[0] + h[1] * a[1] + h[2] * a[2] + h[3] * a[3];
    to_q[1] = -h[0] * a[1] + h[1] * a[0] + h[2] * a[3] - h[3] * a[2];
    to_q[2] = -h[0] * a[2] - h[1] * a[3] + h[2] * a[0] + h[3] * a[1];
    to_q[3] = -h[0] * a[3] + h[1] * a[2] - h[2] * a[1] + h[3] * a[0];
    float to_weights[BONES_OF_EACH], mean_of_these = 0;
    for (int k = 0; k < BONES_OF_EACH; k++) {
        to_weights[k] = dot(blend.bones[k], to_mean, AFFINE) +
                        blend.signs[k] * dot(blend.bones[k] + AFFINE, to_mean + AFFINE, 4);
        mean_of_these += blend.weights[k] * to_weights[k];
        float* sum = sums + (blend.bones[k] - task.bones);
        for (int i = 0; i < AFFINE; i++) sum[i] += blend.weights[k] * to_mean[i];
        for (int i = AFFINE; i < BONE_VALUES; i++) sum[i] += blend.weights[k] * blend.signs[k] * to_mean[i];
    }
    float* to_logits = out.logits + BONES_OF_EACH * row;
    for (int k = 0; k < BONES_OF_EACH; k++) to_logits[k] = blend.weights[k] * (to_weights[k] - mean_of_these);
}

}  // namespace

void skin(ThreadPool& pool, const SkinTask& task, float* moved, float* turned) {
    pool.run_ranges(task.count, ROWS_PER_PIECE, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) skin_row(task, row, moved, turned);
    });
}

void skin_backward(ThreadPool& pool, const SkinTask& task, const float* moved, const float* turned,
                   const SkinGradients& out) {
    // Each piece has sums of its own, added in order: the result does not depend on the number of threads.
    const int64_t values = BONE_VALUES * task.num_bones;
    std::vector<float> sums((task.count + ROWS_PER_PIECE - 1) / ROWS_PER_PIECE * values);
    float* const all_sums = sums.data();
    pool.run_ranges(task.count, ROWS_PER_PIECE, [&](int64_t begin, int64_t end) {
        float* const own = all_sums + begin / ROWS_PER_PIECE * values;
        for (int64_t row = begin; row < end; row++) {
            skin_row_backward(task, row, moved + 3 * row, turned + 4 * row, out, own);
        }
    });
    std::fill_n(out.bones, values, 0.0f);
    for (size_t i = 0; i < sums.size(); i++) out.bones[static_cast<int64_t>(i) % values] += sums[i];
}

}  // namespace img2world
