// Gaussians in the world to Gaussians on the screen, forward and backward, one Gaussian in each lane.
#include "kernels.hpp"
#include "sh.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

// All that the backward pass needs again.
struct Projected {
    Float in_cam[3], inverse_z;
    Float slope[2];     // x / z and y / z, held near the picture's edges
    Int slope_free[2];  // where they are not held
    Float quat[4], inverse_norm;
    Float rotation[9], scale[3];
    Float jacobian[2][3];  // of the projection, in world axes
    Float spread[2][3];    // jacobian times rotation times scale: covariance = spread spread^T + low-pass
    Float xx, xy, yy;
    Float spread_determinant, determinant;  // of the covariance without and with the low-pass
    Float whitening[3];
    Float direction[3], inverse_distance;  // from the camera, unit length
    Int sane;
};

INLINE void rotate(Projected& out) {
    const Float w = out.quat[0], x = out.quat[1], y = out.quat[2], z = out.quat[3];
    out.rotation[0] = 1 - 2 * (y * y + z * z);
    out.rotation[1] = 2 * (x * y - w * z);
    out.rotation[2] = 2 * (x * z + w * y);
    out.rotation[3] = 2 * (x * y + w * z);
    out.rotation[4] = 1 - 2 * (x * x + z * z);
    out.rotation[5] = 2 * (y * z - w * x);
    out.rotation[6] = 2 * (x * z - w * y);
    out.rotation[7] = 2 * (y * z + w * x);
    out.rotation[8] = 1 - 2 * (x * x + y * y);
}

INLINE void place(const float* mean, int count, const Camera& camera, Projected& out) {
    const float* m = camera.cam_from_world;
    Float in_world[3], from_camera[3];
    load_columns(mean, count, in_world);
    for (int k = 0; k < 3; k++) from_camera[k] = in_world[k] - camera.center_in_world[k];
    for (int k = 0; k < 3; k++) {
        out.in_cam[k] = m[4 * k] * in_world[0] + m[4 * k + 1] * in_world[1] + m[4 * k + 2] * in_world[2] + m[4 * k + 3];
    }
    const Float square = from_camera[0] * from_camera[0] + from_camera[1] * from_camera[1] + from_camera[2] * from_camera[2];
    out.inverse_distance = 1.0f / square_root(maximum(square, splat(1e-24f)));
    for (int k = 0; k < 3; k++) out.direction[k] = from_camera[k] * out.inverse_distance;
    // What lies behind is masked later; this keeps it from dividing by zero.
    out.inverse_z = 1.0f / maximum(out.in_cam[2], splat(NEAR));
    const float focal[2] = {camera.fx, camera.fy}, center[2] = {camera.cx, camera.cy};
    const int size[2] = {camera.width, camera.height};
    for (int k = 0; k < 2; k++) {
        const float margin = JACOBIAN_MARGIN * size[k];
        const Float slope = out.in_cam[k] * out.inverse_z;
        out.slope[k] = minimum(maximum(slope, splat((-center[k] - margin) / focal[k])),
                               splat((size[k] - center[k] + margin) / focal[k]));
        out.slope_free[k] = out.slope[k] == slope;
        for (int j = 0; j < 3; j++) {
            out.jacobian[k][j] = focal[k] * out.inverse_z * (m[4 * k + j] - out.slope[k] * m[8 + j]);
        }
    }
}

INLINE void shape(const float* quat, const float* log_scale, int count, Projected& out) {
    Float square = {};
    load_columns(quat, count, out.quat);
    for (int k = 0; k < 4; k++) square += out.quat[k] * out.quat[k];
    const Int usable = (square > MIN_QUAT_NORM * MIN_QUAT_NORM) & (square < 1e38f);
    out.inverse_norm = 1.0f / square_root(select(usable, square, splat(1.0f)));
    for (int k = 0; k < 4; k++) out.quat[k] *= out.inverse_norm;
    rotate(out);
    load_columns(log_scale, count, out.scale);
    for (int k = 0; k < 3; k++) out.scale[k] = exp(out.scale[k]);
    Float covariance[3] = {splat(LOW_PASS), Float{}, splat(LOW_PASS)}, trace = {};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 2; i++) {
            const Float* jacobian = out.jacobian[i];
            out.spread[i][k] = out.scale[k] * (jacobian[0] * out.rotation[k] + jacobian[1] * out.rotation[3 + k] +
                                               jacobian[2] * out.rotation[6 + k]);
        }
        const Float a = out.spread[0][k], b = out.spread[1][k];
        trace += a * a + b * b;
        covariance[0] += a * a;
        covariance[1] += a * b;
        covariance[2] += b * b;
    }
    // The sum of squared minors (Cauchy-Binet) has no cancellation: xx yy - xy² is negative for long thin Gaussians.
    out.spread_determinant = Float{};
    for (int k = 0; k < 3; k++) {
        const int j = k == 2 ? 0 : k + 1;
        const Float minor = out.spread[0][k] * out.spread[1][j] - out.spread[0][j] * out.spread[1][k];
        out.spread_determinant += minor * minor;
    }
    out.determinant = LOW_PASS * LOW_PASS + LOW_PASS * trace + out.spread_determinant;
    out.xx = covariance[0];
    out.xy = covariance[1];
    out.yy = covariance[2];
    out.whitening[0] = square_root(out.yy / out.determinant);
    out.whitening[1] = -covariance[1] / out.yy * out.whitening[0];
    out.whitening[2] = 1.0f / square_root(out.yy);
    out.sane = usable & (out.in_cam[2] > NEAR) & (out.in_cam[2] < FAR) & (out.xx < MAX_EXTENT * MAX_EXTENT) &
               (out.yy < MAX_EXTENT * MAX_EXTENT);
}

INLINE Projected project_lanes(const Gaussians& in, int64_t first, int count, const Camera& camera) {
    Projected out;
    place(in.means + 3 * first, count, camera, out);
    shape(in.quats + 4 * first, in.log_scales + 3 * first, count, out);
    return out;
}

INLINE bool all_finite(const float* values, int64_t count) {
    // Zero times a number is zero, but zero times infinity or NaN is NaN, and stays it in a sum.
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

INLINE Float sigmoid(Float x) { return 1.0f / (1.0f + exp(-x)); }

INLINE Float absolute(Float a) { return maximum(a, -a); }

// For a in [0, 2^31).
INLINE Float round_up(Float a) {
    const Float down = __builtin_convertvector(__builtin_convertvector(a, Int), Float);
    return select(down < a, down + 1.0f, down);
}

// Half sides of the boxes where alpha >= 1/255, and 0 for what is not drawn.
INLINE Float find_radius(const Projected& projected, const Camera& camera, const Float* screen_mean,
                         Float log2_opacity, Float brightest) {
    constexpr float LOG2_MAX_RATIO = 7.994353436858858f, TWICE_LN_2 = 1.3862943611198906f;
    const Float x = screen_mean[0], y = screen_mean[1];
    const Int drawable = projected.sane & (log2_opacity >= -LOG2_MAX_RATIO) & (brightest < MAX_EXTENT) &
                         (absolute(x) < MAX_EXTENT) & (absolute(y) < MAX_EXTENT);
    const Float reach = TWICE_LN_2 * (log2_opacity + LOG2_MAX_RATIO);
    const Float side_x = round_up(square_root(select(drawable, reach * projected.xx, Float{})));
    const Float side_y = round_up(square_root(select(drawable, reach * projected.yy, Float{})));
    const Int seen = drawable & (x + side_x > 0.0f) & (x - side_x < static_cast<float>(camera.width)) & (y + side_y > 0.0f) &
                     (y - side_y < static_cast<float>(camera.height));
    return select(seen, maximum(side_x, side_y), Float{});
}

// Mip-Splatting (Yu et al. 2024, equation 9): what the low-pass widens, it makes fainter.
INLINE Float log2_compensation(const Projected& p) {
    return 0.5f * log2(maximum(p.spread_determinant, splat(1e-30f)) / p.determinant);
}

// The tiles between two places on the screen, pixel centres being what counts.
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
    // A little larger than exact, so that rounding loses no pixel that counts.
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
        // A centre far off or behind the camera is of no use to anyone, and must not be NaN.
        for (int k = 0; k < 2; k++) {
            const Int fine = (screen_mean[k] > -MAX_EXTENT) & (screen_mean[k] < MAX_EXTENT);
            screen_mean[k] = select(fine, screen_mean[k], Float{});
        }
        store_columns(task.screen_means + 2 * first, count, screen_mean);
    }
    return finite;
}

namespace {

// From dL / d(whitening) to dL / d(xx, xy, yy); nothing cancels in this form.
INLINE void whitening_backward(const Float* w, const Float* gradient, Float* covariance) {
    const Float half = 0.5f * (w[0] * gradient[0] + w[1] * gradient[1]);
    const Float inverse_yy = w[2] * w[2];
    covariance[0] = -half * w[0] * w[0];
    covariance[1] = -2 * half * w[0] * w[1] - gradient[1] * w[0] * inverse_yy;
    covariance[2] = -half * w[1] * w[1] - gradient[1] * w[1] * inverse_yy - 0.5f * gradient[2] * w[2] * inverse_yy;
}

INLINE void rotation_backward(const Projected& p, const Float* d, Float* quat) {
    const Float w = p.quat[0], x = p.quat[1], y = p.quat[2], z = p.quat[3];
    quat[0] = 2 * (x * (d[7] - d[5]) + y * (d[2] - d[6]) + z * (d[3] - d[1]));
    quat[1] = 2 * (y * (d[1] + d[3]) + z * (d[2] + d[6]) + w * (d[7] - d[5]) - 2 * x * (d[4] + d[8]));
    quat[2] = 2 * (x * (d[1] + d[3]) + z * (d[5] + d[7]) + w * (d[2] - d[6]) - 2 * y * (d[0] + d[8]));
    quat[3] = 2 * (x * (d[2] + d[6]) + y * (d[5] + d[7]) + w * (d[3] - d[1]) - 2 * z * (d[0] + d[4]));
    const Float along = quat[0] * w + quat[1] * x + quat[2] * y + quat[3] * z;
    for (int k = 0; k < 4; k++) quat[k] = (quat[k] - along * p.quat[k]) * p.inverse_norm;
}

// From dL / d(spread) to the jacobian, and to the shape, which is stored.
INLINE void shape_backward(const Projected& p, const Float spread[2][3], const GaussianGradients& out, int64_t first,
                           int count, Int drawn, Float jacobian[2][3]) {
    Float rotation[9], quat[4], log_scale[3];
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 3; j++) jacobian[i][j] = Float{};
    }
    for (int k = 0; k < 3; k++) {
        const Float a = spread[0][k], b = spread[1][k];
        log_scale[k] = select(drawn, a * p.spread[0][k] + b * p.spread[1][k], Float{});
        for (int j = 0; j < 3; j++) {
            rotation[3 * j + k] = p.scale[k] * (a * p.jacobian[0][j] + b * p.jacobian[1][j]);
            jacobian[0][j] += a * p.scale[k] * p.rotation[3 * j + k];
            jacobian[1][j] += b * p.scale[k] * p.rotation[3 * j + k];
        }
    }
    rotation_backward(p, rotation, quat);
    for (int k = 0; k < 4; k++) quat[k] = select(drawn, quat[k], Float{});
    store_columns(out.log_scales + 3 * first, count, log_scale);
    store_columns(out.quats + 4 * first, count, quat);
}

// Sums over Gaussians of what CAMERA_VALUES names, still one for each lane.
struct CameraSums {
    Float pose[12], center[3], focal[2], middle[2];
};

// From dL / d(jacobian) and dL / d(screen mean) to the position in camera space, which is added to, and the camera.
INLINE void place_backward(const Projected& p, const Camera& camera, const Float jacobian[2][3],
                           const Float* screen_mean, Float* in_cam, CameraSums& sums) {
    const float* m = camera.cam_from_world;
    const float focal[2] = {camera.fx, camera.fy};
    Float inverse_z = {};
    for (int k = 0; k < 2; k++) {
        const Float* j = jacobian[k];
        const Float own = j[0] * m[4 * k] + j[1] * m[4 * k + 1] + j[2] * m[4 * k + 2];
        const Float forward = j[0] * m[8] + j[1] * m[9] + j[2] * m[10];
        const Float bent = own - p.slope[k] * forward, scale = focal[k] * p.inverse_z;
        inverse_z += focal[k] * bent + focal[k] * screen_mean[k] * p.in_cam[k];
        const Float of_slope = -scale * forward, slope = select(p.slope_free[k], of_slope, Float{});
        inverse_z += slope * p.in_cam[k];
        in_cam[k] += slope * p.inverse_z + scale * screen_mean[k];
        // A slope that is held moves with the edge of the picture: (edge - c) / f.
        const Float held = select(p.slope_free[k], Float{}, of_slope) / focal[k];
        sums.focal[k] += p.inverse_z * bent + screen_mean[k] * p.in_cam[k] * p.inverse_z - held * p.slope[k];
        sums.middle[k] += screen_mean[k] - held;
        for (int i = 0; i < 3; i++) {
            sums.pose[4 * k + i] += scale * j[i];
            sums.pose[8 + i] -= scale * p.slope[k] * j[i];
        }
    }
    in_cam[2] -= inverse_z * p.inverse_z * p.inverse_z;
}

// Adds dL / d(covariance) of the factor that antialiasing puts on the opacity, given dL / d(ln opacity).
INLINE void compensation_backward(const Projected& p, Float gradient, Float* covariance) {
    const Float xx = p.xx - LOW_PASS, yy = p.yy - LOW_PASS;
    // Where there is nothing but low-pass the factor is held.
    const Int free = p.spread_determinant > 1e-30f;
    const Float without = select(free, 0.5f * gradient / p.spread_determinant, Float{});
    const Float with = select(free, 0.5f * gradient / p.determinant, Float{});
    covariance[0] += yy * without - p.yy * with;
    covariance[1] -= 2.0f * (p.xy * without - p.xy * with);
    covariance[2] += xx * without - p.xx * with;
}

// dL / d(screen mean, whitening) from the sums over pixels.
INLINE void sums_backward(const Projected& p, const Float* sums, Float* screen_mean, Float* whitening) {
    const Float* w = p.whitening;
    const Float u = w[0] * sums[1] + w[1] * sums[2];
    screen_mean[0] = w[0] * u;
    screen_mean[1] = w[1] * u + w[2] * w[2] * sums[2];
    whitening[0] = -(w[0] * sums[3] + w[1] * sums[4]);
    whitening[1] = -(w[0] * sums[4] + w[1] * sums[5]);
    whitening[2] = -w[2] * sums[5];
}

INLINE void add_lanes(const Float* sums, int count, double* out) {
    for (int k = 0; k < count; k++) {
        for (int i = 0; i < LANES; i++) out[k] += sums[k][i];
    }
}

}  // namespace

void project_backward(const ProjectTask& task, int64_t begin, int64_t end, const Sums* pixel_sums,
                      const GaussianGradients& out, double* camera_sums) {
    const Gaussians& in = task.in;
    const Camera& camera = task.camera;
    const float* m = camera.cam_from_world;
    CameraSums of_camera = {};
    for (int64_t first = begin; first < end; first += LANES) {
        const int count = end - first < LANES ? static_cast<int>(end - first) : LANES;
        Int drawn = {};
        std::memcpy(&drawn, task.radii + first, count * sizeof(int32_t));
        drawn = drawn > 0;
        Projected p = project_lanes(in, first, count, camera);
        Float sums[16], whitening[3], covariance[3], rgb[3], screen_mean[2], direction[3] = {}, spread[2][3], jacobian[2][3];
        load_rows(pixel_sums[first - begin].values, count, sums);
        for (int k = 0; k < NUM_SUMS; k++) sums[k] = select(drawn, sums[k], Float{});
        sums_backward(p, sums, screen_mean, whitening);
        whitening_backward(p.whitening, whitening, covariance);
        if (task.antialiased) compensation_backward(p, sums[0], covariance);
        for (int k = 0; k < 3; k++) {
            spread[0][k] = 2 * covariance[0] * p.spread[0][k] + covariance[1] * p.spread[1][k];
            spread[1][k] = covariance[1] * p.spread[0][k] + 2 * covariance[2] * p.spread[1][k];
            // What is not drawn may be infinite or NaN in any of these.
            spread[0][k] = select(drawn, spread[0][k], Float{});
            spread[1][k] = select(drawn, spread[1][k], Float{});
        }
        shape_backward(p, spread, out, first, count, drawn, jacobian);
        for (int k = 0; k < 3; k++) {
            p.direction[k] = select(drawn, p.direction[k], Float{});
            p.in_cam[k] = select(drawn, p.in_cam[k], Float{});
            for (int i = 0; i < 2; i++) jacobian[i][k] = select(drawn, jacobian[i][k], Float{});
        }
        for (int k = 0; k < 2; k++) {
            p.slope[k] = select(drawn, p.slope[k], Float{});
            screen_mean[k] = select(drawn, screen_mean[k], Float{});
        }
        store_columns(out.screen_means + 2 * first, count, screen_mean);
        Float in_cam[3] = {Float{}, Float{}, sums[9]};
        place_backward(p, camera, jacobian, screen_mean, in_cam, of_camera);
        for (int k = 0; k < 3; k++) rgb[k] = sums[6 + k];
        if (task.colors != nullptr) {
            store_columns(out.colors + 3 * first, count, rgb);
        } else {
            // Colours are held at zero, where they have no slope.
            for (int k = 0; k < 3; k++) {
                rgb[k] = select(load_strided(&task.blobs[first].red + k, 16, count) > 0.0f, rgb[k], Float{});
            }
            sh_backward(in.sh + 3 * in.bases * first, in.bases, count, p.direction, rgb,
                        out.sh + 3 * in.bases * first, direction);
        }
        const Float along = direction[0] * p.direction[0] + direction[1] * p.direction[1] + direction[2] * p.direction[2];
        Float mean[3], in_world[3];
        load_columns(in.means + 3 * first, count, in_world);
        for (int k = 0; k < 3; k++) {
            const Float of_view = select(drawn, (direction[k] - along * p.direction[k]) * p.inverse_distance, Float{});
            mean[k] = m[k] * in_cam[0] + m[4 + k] * in_cam[1] + m[8 + k] * in_cam[2] + of_view;
            for (int i = 0; i < 3; i++) of_camera.pose[4 * i + k] += in_cam[i] * in_world[k];
            of_camera.pose[4 * k + 3] += in_cam[k];
            of_camera.center[k] -= of_view;
        }
        store_columns(out.means + 3 * first, count, mean);
        const Float opacity = sigmoid(load_strided(in.logit_opacities + first, 1, count));
        store_strided(out.logit_opacities + first, 1, count, sums[0] * (1.0f - opacity));
    }
    if (camera_sums == nullptr) return;
    add_lanes(of_camera.pose, 12, camera_sums);
    add_lanes(of_camera.center, 3, camera_sums + 12);
    add_lanes(of_camera.focal, 2, camera_sums + 15);
    add_lanes(of_camera.middle, 2, camera_sums + 17);
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
