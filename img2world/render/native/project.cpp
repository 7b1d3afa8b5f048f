// Projects Gaussians into the image plane.
#include "projected.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

INLINE bool all_finite(const float* values, int64_t count) {
    // Zero times a finite number is zero, but zero times infinity or NaN is NaN, and so is every sum with it.
    Float sum = {};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) sum += 0.0f * load(values + i);
    float rest = 0;
    for (; i < count; i++) rest += 0.0f * values[i];
    return !any_not_zero(sum) && rest == 0;
}

INLINE bool all_finite(const ProjectTask& task, int64_t first, int count) {
    const Gaussians& in = task.in;
    return all_finite(in.means + 3 * first, 3 * count) && all_finite(in.quats + 4 * first, 4 * count) &&
           all_finite(in.log_scales + 3 * first, 3 * count) && all_finite(in.logit_opacities + first, count) &&
           (task.colors == nullptr ? all_finite(in.sh + 3 * in.bases * first, 3 * in.bases * count)
                                   : all_finite(task.colors + 3 * first, 3 * count));
}

INLINE Float absolute(Float a) { return maximum(a, -a); }

// For a in [0, 2^31).
INLINE Float round_up(Float a) {
    const Float down = __builtin_convertvector(__builtin_convertvector(a, Int), Float);
    return select(down < a, down + 1.0f, down);
}

// Half the larger side of each box where alpha >= 1/255, 0 for what is not drawn.
INLINE Float find_radius(const Projected& projected, const Camera& camera, const Float* screen_mean,
                         Float log2_opacity, Float brightest) {
    constexpr float LOG2_MAX_RATIO = 7.994353436858858f, TWICE_LN_2 = 1.3862943611198906f;
    const Float x = screen_mean[0], y = screen_mean[1];
    const Int drawable = projected.drawable & (log2_opacity >= -LOG2_MAX_RATIO) & (brightest < MAX_EXTENT) &
                         (absolute(x) < MAX_EXTENT) & (absolute(y) < MAX_EXTENT);
    const Float reach = TWICE_LN_2 * (log2_opacity + LOG2_MAX_RATIO);
    const Float side_x = round_up(square_root(select(drawable, reach * projected.xx, Float{})));
    const Float side_y = round_up(square_root(select(drawable, reach * projected.yy, Float{})));
    const Int seen = drawable & (x + side_x > 0.0f) & (x - side_x < static_cast<float>(camera.width)) & (y + side_y > 0.0f) &
                     (y - side_y < static_cast<float>(camera.height));
    return select(seen, maximum(side_x, side_y), Float{});
}

// Mip-Splatting (Yu et al. 2024, equation 9): Gaussians are fainter by as much as the low-pass widens them.
INLINE Float log2_compensation(const Projected& p) {
    return 0.5f * log2(maximum(p.spread_determinant, splat(1e-30f)) / p.determinant);
}

// The tiles whose pixel centres are between two positions on the screen.
INLINE void store_tiles(Float low, Float high, int size, int count, uint16_t* first, uint16_t* last) {
    const Float end = splat(static_cast<float>((size - 1) / TILE));
    const Int low_tile = __builtin_convertvector(minimum(maximum((low - 0.5f) / TILE, Float{}), end), Int);
    const Int high_tile = __builtin_convertvector(minimum(maximum((high - 0.5f) / TILE, Float{}), end), Int);
    for (int i = 0; i < count; i++) {
        first[i * sizeof(TileBox) / sizeof(uint16_t)] = static_cast<uint16_t>(low_tile[i]);
        last[i * sizeof(TileBox) / sizeof(uint16_t)] = static_cast<uint16_t>(high_tile[i]);
    }
}

INLINE void store_blobs(const ProjectTask& task, const Projected& p, const Float* mean, Float log2_opacity, const Float* rgb,
                        int64_t first, int count) {
    constexpr float ROOT = 0.84932180028801904f;  // sqrt(log2(e) / 2)
    constexpr float LOG2_MAX_RATIO = 7.994353436858858f;
    const Float w0 = ROOT * p.whitening[0], w1 = ROOT * p.whitening[1], w2 = ROOT * p.whitening[2];
    const Float inverse_w0 = 1.0f / w0, slope = -w1 * inverse_w0;
    // A little larger than exact, so that rounding loses no pixel.
    const Float reach = (log2_opacity + LOG2_MAX_RATIO) * (1 + 1e-5f) + 1e-4f, root = square_root(reach);
    const Float half_height = root / w2, shear = square_root(w1 * w1 + w2 * w2);
    const Float half_width = inverse_w0 * root * shear / w2;
    const Float fields[16] = {mean[0], mean[1], w0, w1, w2, log2_opacity, rgb[0], rgb[1], rgb[2], p.in_cam[2],
                              slope, inverse_w0, reach, half_width, half_height,
                              -w1 * half_height / shear};
    for (int part = 0; part < 16; part += LANES) {
        Float rows[LANES];
        for (int i = 0; i < LANES; i++) rows[i] = fields[part + i];
        transpose(rows);
        for (int i = 0; i < count; i++) store(reinterpret_cast<float*>(task.blobs + first + i) + part, rows[i]);
    }
    TileBox* boxes = task.boxes + first;
    store_tiles(mean[0] - half_width, mean[0] + half_width, task.camera.width, count, &boxes->left, &boxes->right);
    store_tiles(mean[1] - half_height, mean[1] + half_height, task.camera.height, count, &boxes->top, &boxes->bottom);
}

}  // namespace

bool project(const ProjectTask& task, int64_t begin, int64_t end) {
    const Gaussians& in = task.in;
    const Camera& camera = task.camera;
    bool finite = true;
    for (int64_t first = begin; first < end; first += LANES) {
        const int count = end - first < LANES ? static_cast<int>(end - first) : LANES;
        finite = finite && all_finite(task, first, count);
        const Projected projected = project_lanes(in, first, count, camera);
        Float log2_opacity = -log2(1.0f + exp(-load_strided(in.logit_opacities + first, 1, count)));
        if (task.antialiased) log2_opacity += log2_compensation(projected);
        Float rgb[3], brightest = Float{};
        if (task.colors == nullptr) {
            sh_colors(in.sh + 3 * in.bases * first, in.bases, count, projected.direction, rgb);
        } else {
            load_columns(task.colors + 3 * first, count, rgb);
        }
        for (int k = 0; k < 3; k++) brightest = maximum(brightest, absolute(rgb[k]));
        Float screen_mean[2] = {camera.fx * projected.in_cam[0] * projected.inverse_z + camera.cx,
                                camera.fy * projected.in_cam[1] * projected.inverse_z + camera.cy};
        const Float radius = find_radius(projected, camera, screen_mean, log2_opacity, brightest);
        store_blobs(task, projected, screen_mean, log2_opacity, rgb, first, count);
        const Int radii = __builtin_convertvector(radius, Int);
        std::memcpy(task.radii + first, &radii, count * sizeof(int32_t));
        store_some(task.depths + first, count, select(radius > 0.0f, projected.in_cam[2], Float{}));
        // Centres far away or behind the camera have no meaning, but must not be NaN.
        for (int k = 0; k < 2; k++) {
            const Int fine = (screen_mean[k] > -MAX_EXTENT) & (screen_mean[k] < MAX_EXTENT);
            screen_mean[k] = select(fine, screen_mean[k], Float{});
        }
        store_columns(task.screen_means + 2 * first, count, screen_mean);
    }
    return finite;
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
