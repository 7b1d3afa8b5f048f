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
    Float xx, yy;
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
    for (int k = 0; k < 3; k++) {
        in_world[k] = load_strided(mean + k, 3, count);
        from_camera[k] = in_world[k] - camera.center_in_world[k];
    }
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
    for (int k = 0; k < 4; k++) {
        out.quat[k] = load_strided(quat + k, 4, count);
        square += out.quat[k] * out.quat[k];
    }
    const Int usable = (square > MIN_QUAT_NORM * MIN_QUAT_NORM) & (square < 1e38f);
    out.inverse_norm = 1.0f / square_root(select(usable, square, splat(1.0f)));
    for (int k = 0; k < 4; k++) out.quat[k] *= out.inverse_norm;
    rotate(out);
    for (int k = 0; k < 3; k++) out.scale[k] = exp(load_strided(log_scale + k, 3, count));
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
    Float determinant = LOW_PASS * LOW_PASS + LOW_PASS * trace;
    for (int k = 0; k < 3; k++) {
        const int j = k == 2 ? 0 : k + 1;
        const Float minor = out.spread[0][k] * out.spread[1][j] - out.spread[0][j] * out.spread[1][k];
        determinant += minor * minor;
    }
    out.xx = covariance[0];
    out.yy = covariance[2];
    out.whitening[0] = square_root(out.yy / determinant);
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

INLINE bool all_finite(const Gaussians& in, int64_t first, int count) {
    return all_finite(in.means + 3 * first, 3 * count) && all_finite(in.quats + 4 * first, 4 * count) &&
           all_finite(in.log_scales + 3 * first, 3 * count) && all_finite(in.logit_opacities + first, count) &&
           all_finite(in.sh + 3 * in.bases * first, 3 * in.bases * count);
}

// Rounded half sides of the boxes where alpha >= 1/255, and 0 for what is not drawn.
INLINE void store_radii(const Projected& projected, const Camera& camera, const Float* screen_mean, Float opacity,
                        Float brightest, int count, int32_t* radii) {
    const Int drawable = projected.sane & (opacity >= MIN_ALPHA) & (brightest < MAX_EXTENT);
    for (int i = 0; i < count; i++) {
        radii[i] = 0;
        const float x = screen_mean[0][i], y = screen_mean[1][i];
        if (!drawable[i] || !(__builtin_fabsf(x) < MAX_EXTENT && __builtin_fabsf(y) < MAX_EXTENT)) continue;
        const float reach = 2 * __builtin_logf(opacity[i] / MIN_ALPHA);
        const float side_x = __builtin_ceilf(__builtin_sqrtf(reach * projected.xx[i]));
        const float side_y = __builtin_ceilf(__builtin_sqrtf(reach * projected.yy[i]));
        if (x + side_x > 0 && x - side_x < camera.width && y + side_y > 0 && y - side_y < camera.height) {
            radii[i] = static_cast<int32_t>(side_x > side_y ? side_x : side_y);
        }
    }
}

INLINE Float sigmoid(Float x) { return 1.0f / (1.0f + exp(-x)); }

}  // namespace

bool project(const Gaussians& in, const Camera& camera, int64_t begin, int64_t end, const Projection& out) {
    bool finite = true;
    for (int64_t first = begin; first < end; first += LANES) {
        const int count = end - first < LANES ? static_cast<int>(end - first) : LANES;
        finite = finite && all_finite(in, first, count);
        const Projected projected = project_lanes(in, first, count, camera);
        const Float opacity = sigmoid(load_strided(in.logit_opacities + first, 1, count));
        Float rgb[3];
        sh_colors(in.sh + 3 * in.bases * first, in.bases, count, projected.direction, rgb);
        Float screen_mean[2] = {camera.fx * projected.in_cam[0] * projected.inverse_z + camera.cx,
                                camera.fy * projected.in_cam[1] * projected.inverse_z + camera.cy};
        const Float brightest = maximum(rgb[0], maximum(rgb[1], rgb[2]));
        store_radii(projected, camera, screen_mean, opacity, brightest, count, out.radii + first);
        // A centre far off or behind the camera is of no use to anyone, and must not be NaN.
        for (int k = 0; k < 2; k++) {
            const Int fine = (screen_mean[k] > -MAX_EXTENT) & (screen_mean[k] < MAX_EXTENT);
            store_strided(out.means + 2 * first + k, 2, count, select(fine, screen_mean[k], Float{}));
        }
        for (int k = 0; k < 3; k++) {
            store_strided(out.whitenings + 3 * first + k, 3, count, projected.whitening[k]);
            store_strided(out.rgb + 3 * first + k, 3, count, rgb[k]);
        }
        store_strided(out.depths + first, 1, count, projected.in_cam[2]);
        store_strided(out.opacities + first, 1, count, opacity);
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
    Float rotation[9], quat[4];
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 3; j++) jacobian[i][j] = Float{};
    }
    for (int k = 0; k < 3; k++) {
        const Float a = spread[0][k], b = spread[1][k];
        store_strided(out.log_scales + 3 * first + k, 3, count,
                      select(drawn, a * p.spread[0][k] + b * p.spread[1][k], Float{}));
        for (int j = 0; j < 3; j++) {
            rotation[3 * j + k] = p.scale[k] * (a * p.jacobian[0][j] + b * p.jacobian[1][j]);
            jacobian[0][j] += a * p.scale[k] * p.rotation[3 * j + k];
            jacobian[1][j] += b * p.scale[k] * p.rotation[3 * j + k];
        }
    }
    rotation_backward(p, rotation, quat);
    for (int k = 0; k < 4; k++) store_strided(out.quats + 4 * first + k, 4, count, select(drawn, quat[k], Float{}));
}

// From dL / d(jacobian) and dL / d(screen mean) to the position in camera space, which is added to.
INLINE void place_backward(const Projected& p, const Camera& camera, const Float jacobian[2][3],
                           const Float* screen_mean, Float* in_cam) {
    const float* m = camera.cam_from_world;
    const float focal[2] = {camera.fx, camera.fy};
    Float inverse_z = {};
    for (int k = 0; k < 2; k++) {
        const Float* j = jacobian[k];
        const Float own = j[0] * m[4 * k] + j[1] * m[4 * k + 1] + j[2] * m[4 * k + 2];
        const Float forward = j[0] * m[8] + j[1] * m[9] + j[2] * m[10];
        inverse_z += focal[k] * (own - p.slope[k] * forward) + focal[k] * screen_mean[k] * p.in_cam[k];
        const Float slope = select(p.slope_free[k], -focal[k] * p.inverse_z * forward, Float{});
        inverse_z += slope * p.in_cam[k];
        in_cam[k] += slope * p.inverse_z + focal[k] * screen_mean[k] * p.inverse_z;
    }
    in_cam[2] -= inverse_z * p.inverse_z * p.inverse_z;
}

}  // namespace

void project_backward(const Gaussians& in, const Camera& camera, int64_t begin, int64_t end, const Projection& forward,
                      const ProjectionGradients& upstream, const GaussianGradients& out) {
    const float* m = camera.cam_from_world;
    for (int64_t first = begin; first < end; first += LANES) {
        const int count = end - first < LANES ? static_cast<int>(end - first) : LANES;
        Int drawn = {};
        for (int i = 0; i < count; i++) drawn[i] = forward.radii[first + i] > 0 ? -1 : 0;
        Projected p = project_lanes(in, first, count, camera);
        Float whitening[3], covariance[3], rgb[3], screen_mean[2], direction[3], spread[2][3], jacobian[2][3];
        for (int k = 0; k < 3; k++) {
            whitening[k] = load_strided(upstream.whitenings + 3 * first + k, 3, count);
            // Colours are held at zero, where they have no slope.
            const Int lit = drawn & (load_strided(forward.rgb + 3 * first + k, 3, count) > 0.0f);
            rgb[k] = select(lit, load_strided(upstream.rgb + 3 * first + k, 3, count), Float{});
            p.direction[k] = select(drawn, p.direction[k], Float{});
        }
        for (int k = 0; k < 2; k++) screen_mean[k] = load_strided(upstream.means + 2 * first + k, 2, count);
        whitening_backward(p.whitening, whitening, covariance);
        for (int k = 0; k < 3; k++) {
            spread[0][k] = 2 * covariance[0] * p.spread[0][k] + covariance[1] * p.spread[1][k];
            spread[1][k] = covariance[1] * p.spread[0][k] + 2 * covariance[2] * p.spread[1][k];
        }
        shape_backward(p, spread, out, first, count, drawn, jacobian);
        Float in_cam[3] = {Float{}, Float{}, load_strided(upstream.depths + first, 1, count)};
        place_backward(p, camera, jacobian, screen_mean, in_cam);
        sh_backward(in.sh + 3 * in.bases * first, in.bases, count, p.direction, rgb,
                    out.sh + 3 * in.bases * first, direction);
        const Float along = direction[0] * p.direction[0] + direction[1] * p.direction[1] + direction[2] * p.direction[2];
        for (int k = 0; k < 3; k++) {
            const Float mean = m[k] * in_cam[0] + m[4 + k] * in_cam[1] + m[8 + k] * in_cam[2] +
                               (direction[k] - along * p.direction[k]) * p.inverse_distance;
            store_strided(out.means + 3 * first + k, 3, count, select(drawn, mean, Float{}));
        }
        const Float opacity = sigmoid(load_strided(in.logit_opacities + first, 1, count));
        const Float logit = load_strided(upstream.opacities + first, 1, count) * opacity * (1.0f - opacity);
        store_strided(out.logit_opacities + first, 1, count, select(drawn, logit, Float{}));
    }
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
