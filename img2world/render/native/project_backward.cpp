// From sums over pixels to the gradients of the Gaussians and of the camera.
#include "projected.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
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

// From dL / d(spread) to dL / d(jacobian) and to the gradients of scales and quaternions, which are stored.
INLINE void covariance_backward(const Projected& p, const Float spread[2][3], const GaussianGradients& out, int64_t first,
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

// Sums over Gaussians of the values listed at CAMERA_VALUES, still one per lane.
struct CameraSums {
    Float pose[12], center[3], focal[2], principal_point[2];
};

// Adds dL / d(position in camera space) and dL / d(camera), given dL / d(jacobian) and dL / d(screen mean).
INLINE void mean_backward(const Projected& p, const Camera& camera, const Float jacobian[2][3],
                           const Float* screen_mean, Float* in_cam, CameraSums& sums) {
    const float* m = camera.cam_from_world;
    const float focal[2] = {camera.fx, camera.fy};
    Float inverse_z = {};
    for (int k = 0; k < 2; k++) {
        const Float* j = jacobian[k];
        const Float direct = j[0] * m[4 * k] + j[1] * m[4 * k + 1] + j[2] * m[4 * k + 2];
        const Float forward = j[0] * m[8] + j[1] * m[9] + j[2] * m[10];
        const Float bent = direct - p.slope[k] * forward, scale = focal[k] * p.inverse_z;
        inverse_z += focal[k] * bent + focal[k] * screen_mean[k] * p.in_cam[k];
        const Float of_slope = -scale * forward, slope = select(p.slope_unclamped[k], of_slope, Float{});
        inverse_z += slope * p.in_cam[k];
        in_cam[k] += slope * p.inverse_z + scale * screen_mean[k];
        // A clamped slope moves with the edge of the picture: (edge - c) / f.
        const Float clamped = select(p.slope_unclamped[k], Float{}, of_slope) / focal[k];
        sums.focal[k] += p.inverse_z * bent + screen_mean[k] * p.in_cam[k] * p.inverse_z - clamped * p.slope[k];
        sums.principal_point[k] += screen_mean[k] - clamped;
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
    // Where nothing is left but the low-pass, the factor is constant.
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
    CameraSums lane_sums = {};
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
            // Values of Gaussians that are not drawn may be infinite or NaN.
            spread[0][k] = select(drawn, spread[0][k], Float{});
            spread[1][k] = select(drawn, spread[1][k], Float{});
        }
        covariance_backward(p, spread, out, first, count, drawn, jacobian);
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
        mean_backward(p, camera, jacobian, screen_mean, in_cam, lane_sums);
        for (int k = 0; k < 3; k++) rgb[k] = sums[6 + k];
        if (task.colors != nullptr) {
            store_columns(out.colors + 3 * first, count, rgb);
        } else {
            // Colours clamped at zero have no gradient.
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
            const Float from_direction = select(drawn, (direction[k] - along * p.direction[k]) * p.inverse_distance, Float{});
            mean[k] = m[k] * in_cam[0] + m[4 + k] * in_cam[1] + m[8 + k] * in_cam[2] + from_direction;
            for (int i = 0; i < 3; i++) lane_sums.pose[4 * i + k] += in_cam[i] * in_world[k];
            lane_sums.pose[4 * k + 3] += in_cam[k];
            lane_sums.center[k] -= from_direction;
        }
        store_columns(out.means + 3 * first, count, mean);
        const Float opacity = sigmoid(load_strided(in.logit_opacities + first, 1, count));
        store_strided(out.logit_opacities + first, 1, count, sums[0] * (1.0f - opacity));
    }
    if (camera_sums == nullptr) return;
    add_lanes(lane_sums.pose, 12, camera_sums);
    add_lanes(lane_sums.center, 3, camera_sums + 12);
    add_lanes(lane_sums.focal, 2, camera_sums + 15);
    add_lanes(lane_sums.principal_point, 2, camera_sums + 17);
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
