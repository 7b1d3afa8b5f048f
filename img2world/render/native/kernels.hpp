// The inner loops, compiled once for each instruction set, and the plain data that they work on.
//
// The files that implement them (listed in CMakeLists.txt) use no standard containers and no other templates with
// external linkage: the linker keeps one copy of those, perhaps the one with instructions that this machine lacks.
#pragma once

#include <cstdint>

#include "constants.hpp"
#include "fusion.hpp"

namespace img2world {

struct Camera {
    float cam_from_world[12];  // rows of rotation and translation
    float center_in_world[3];
    float fx, fy, cx, cy;
    int width, height;
};

struct Gaussians {
    const float *means, *quats, *log_scales, *logit_opacities, *sh;  // [N, 3], [N, 4], [N, 3], [N], [N, K, 3]
    int64_t count;
    int bases;  // K: 1, 4, 9 or 16
};

// One projected Gaussian in the form that the pixel loops need: one cache line.
//
// Its whitening w turns an offset in pixels into standard deviations: u = w0 dx + w1 dy, v = w2 dy. It is the
// Cholesky factor of the inverse covariance: unlike the inverse itself it stays precise for long thin Gaussians, and
// u² + v² cannot become negative. It is scaled so that log2(alpha) = log2_opacity - u² - v².
struct alignas(64) Blob {
    float x, y;
    float w0, w1, w2;
    float log2_opacity;
    float red, green, blue, depth;
    // The ellipse where alpha is 1/255, about the centre. A line y = const cuts it at
    // x = slope y ± inverse_w0 sqrt(reach - (w2 y)²); its right end is at right_end_y, the left end opposite.
    float slope, inverse_w0, reach, half_width, half_height, right_end_y;
};

// The tiles that the bounding box of a Gaussian's ellipse touches, both ends inclusive.
struct TileBox {
    uint16_t left, top, right, bottom;
};

// Sums over pixels for one Gaussian: with e = dL / d(ln alpha) and (dx, dy) from its centre to the pixel, those of
// e, e dx, e dy, e dx², e dx dy, e dy², then dL / d(red, green, blue, depth).
struct alignas(64) Sums {
    float values[16];
};
constexpr int NUM_SUMS = 10;

// The derivatives of the loss with respect to a camera: 12 of cam_from_world, 3 of its centre, fx, fy, cx, cy.
constexpr int CAMERA_VALUES = 19;

struct ProjectTask {
    Gaussians in;
    Camera camera;
    const float* colors;  // [N, 3], or null to take them from `in.sh`
    bool antialiased;
    Blob* blobs;          // [N]
    TileBox* boxes;       // [N]
    float* depths;        // [N] 0 for what is not drawn
    float* screen_means;  // [N, 2] in pixels
    int32_t* radii;       // [N] half sides of the boxes where alpha >= 1/255, 0 where nothing is drawn
};

struct GaussianGradients {
    float *means, *quats, *log_scales, *logit_opacities, *sh, *colors, *screen_means;  // sh or colors may be null
};

struct Picture {
    int width, height;
    float *rgb, *alpha, *depth;  // [H, W, 3], [H, W], [H, W]
};

struct BlendTask {
    const Blob* blobs;           // [N]
    const uint32_t* tile_start;  // [tiles + 1] into entries
    const uint32_t* entries;     // which blobs a tile sees, front to back
    uint16_t* reach;             // which blobs reach which block of their tile; written by blend_tile, read by its backward
    float background[3];
    Picture picture;
};

struct BlendBackwardTask {
    BlendTask forward;
    const float *rgb, *alpha, *depth;  // upstream gradients; alpha and depth may both be null
    Sums* sums;                        // of the entries from `first_entry` on; written
    uint32_t first_entry;
};

// Side of the windows of structural similarity.
constexpr int WINDOW = 11;
// Values and targets are laid out like pictures; targets are 0 to 255. What is null is left out of the loss, or is not
// wanted.
struct LossTask {
    int width, height;
    const float* image;     // [H, W, 3], 0 to 1
    const uint8_t* target;  // [H, W, 3]
    const float* alpha;     // [H, W]; may be null
    const uint8_t* target_alpha;  // [H, W]; null means opaque
    const float *depth, *target_depth;  // [H, W]; both may be null; 0 is unknown
    float window[WINDOW];           // sums to one
    float max_depth_error;          // of |depth / target - 1|; beyond it the two show different surfaces
    // Weights of one colour of a pixel, one window, one pixel's alpha and depth.
    float absolute_weight, similarity_weight, alpha_weight, depth_weight;
    float *gradient, *alpha_gradient, *depth_gradient;  // all may be null
};

constexpr int MAX_LANES = 16;

struct AdamTask {
    float* values;           // [N, columns]
    const float* gradients;  // [N, columns]
    float *means, *squares;  // [N, columns], the running means of gradients and of their squares
    const int32_t* radii;    // [N], rows with 0 are not updated; may be null
    int64_t columns;
    float beta1, beta2, epsilon;
    // Bias-corrected. The first rates are repeated after the last, so that a vector can be loaded from any column.
    const float* rates;  // [columns + MAX_LANES]
    float square_scale;
};

struct Kernels {
    const char* name;
    // Returns true if all Gaussians of [begin, end) are finite.
    bool (*project)(const ProjectTask&, int64_t begin, int64_t end);
    // `sums` are those of the Gaussians from `begin` on; adds to `camera`, unless it is null.
    void (*project_backward)(const ProjectTask&, int64_t begin, int64_t end, const Sums* sums, const GaussianGradients&,
                             double* camera);
    // Size of `reach`.
    int64_t (*reach_size)(int64_t entries, int64_t tiles);
    void (*blend_tile)(const BlendTask&, int tile);
    void (*blend_tile_backward)(const BlendBackwardTask&, int tile);
    // Size of the scratch memory of loss_rows, in floats.
    int64_t (*loss_scratch)(const LossTask&);
    // Writes the loss of each of some rows, without the 1 in 1 - similarity, and their gradients.
    void (*loss_rows)(const LossTask&, int begin, int end, float* scratch, double* losses);
    void (*adam_rows)(const AdamTask&, int64_t begin, int64_t end);
    void (*fuse_points)(const FusionTask&, int64_t begin, int64_t end);
    void (*color_points)(const PointColorTask&, int64_t begin, int64_t end);
};

// The instruction sets that this machine has, the best first.
struct AvailableKernels {
    Kernels kernels[3];
    int count;
};
AvailableKernels available_kernels();

}  // namespace img2world
