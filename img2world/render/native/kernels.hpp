// The inner loops, compiled once for each instruction set, and the plain data they work on.
//
// The files behind this table (project.cpp, blend.cpp, image_loss.cpp) hold no standard containers and
// no other templates with external linkage: the linker keeps one copy of those, and it could be the one
// with instructions that this machine lacks.
#pragma once

#include <cstdint>

#include "constants.hpp"

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

struct GaussianGradients {
    float *means, *quats, *log_scales, *logit_opacities, *sh;
};

// Gaussians on the screen. `whitenings` w turn an offset in pixels into standard deviations:
// u = w0 dx + w1 dy, v = w2 dy. It is the Cholesky factor of the inverse covariance: unlike the inverse
// itself it keeps its precision for long thin Gaussians, and u² + v² cannot become negative.
struct Projection {
    float *means, *whitenings, *depths, *opacities, *rgb;  // [N, 2], [N, 3], [N], [N], [N, 3]
    int32_t* radii;                                        // [N], 0 where nothing is drawn
};

struct ProjectionGradients {
    const float *means, *whitenings, *depths, *opacities, *rgb;
};

// One Gaussian as the pixel loops want it: one cache line.
struct alignas(64) Blob {
    float x, y;
    float w0, w1, w2;  // whitening times sqrt(log2(e) / 2), so that log2(alpha) = log2_opacity - u² - v²
    float log2_opacity;
    float red, green, blue, depth;
    int32_t first_row, last_row;  // pixel rows that it can reach
};

struct Picture {
    int width, height;
    float *rgb, *alpha, *depth;  // [H, W, 3], [H, W], [H, W]
};

struct BlendTask {
    const Blob* blobs;           // front to back
    const uint32_t* tile_start;  // [tiles + 1] into entries
    const uint32_t* entries;     // which blobs a tile sees, front to back
    uint32_t* reached;           // [tiles, TILE] how many entries each row of a tile went through
    float background[3];
    Picture picture;
};

// Sums over the pixels of a tile for one blob: with e = dL / d(ln alpha) and (dx, dy) from the blob's
// centre to the pixel, the sums of e, e dx, e dy, e dx², e dx dy, e dy², then dL / d(red, green, blue, depth).
constexpr int PARTIALS = 10;

struct BlendBackwardTask {
    BlendTask forward;
    const float *rgb, *alpha, *depth;  // upstream gradients; alpha and depth may be null together
    float* partials;                   // [entries from `first_entry` on, PARTIALS]
    uint32_t first_entry;
};

// Side of the windows of structural similarity.
constexpr int WINDOW = 11;
// Derivatives of the similarity with respect to the windows' means of x, x² and x y.
constexpr int MAPS = 3;

struct LossTask {
    int width, height;
    const float *image, *target;               // [H, W, 3]
    float window[WINDOW];                      // sums to one
    float absolute_weight, similarity_weight;  // what a pixel and a window count in the loss
    float* maps;                               // [MAPS, H - WINDOW + 1, W, 3], spread over columns; may be null
    float* gradient;                           // [H, W, 3]
};

struct Kernels {
    const char* name;
    // Returns whether all Gaussians of [begin, end) are finite.
    bool (*project)(const Gaussians&, const Camera&, int64_t begin, int64_t end, const Projection&);
    void (*project_backward)(const Gaussians&, const Camera&, int64_t begin, int64_t end, const Projection& forward,
                             const ProjectionGradients&, const GaussianGradients&);
    void (*blend_tile)(const BlendTask&, int tile);
    void (*blend_tile_backward)(const BlendBackwardTask&, int tile);
    // Floats that similarity_rows needs; they must be finite.
    int64_t (*loss_scratch)(const LossTask&);
    // The sum of the similarities of some rows of windows; fills their maps.
    double (*similarity_rows)(const LossTask&, int begin, int end, float* scratch);
    // The sum of the absolute differences of some rows of pixels.
    double (*absolute_rows)(const LossTask&, int begin, int end);
    // Needs the maps of all windows that the rows of pixels are in.
    void (*loss_gradient_rows)(const LossTask&, int begin, int end);
};

// The sets of instructions that this machine has, the best first.
struct AvailableKernels {
    Kernels kernels[3];
    int count;
};
AvailableKernels available_kernels();

}  // namespace img2world
