// Gaussians projected into the image plane, one per lane. Included by project.cpp and project_backward.cpp only.
#pragma once

#include "columns.hpp"
#include "kernels.hpp"
#include "sh.hpp"
#include "simd.hpp"

namespace img2world {
namespace {

// Everything that the backward pass needs, too.
struct Projected {
    Float in_cam[3], inverse_z;
    Float slope[2];     // x / z and y / z, clamped outside the picture
    Int slope_unclamped[2];
    Float quat[4], inverse_norm;
    Float rotation[9], scale[3];
    Float jacobian[2][3];  // of the projection, by world coordinates
    Float spread[2][3];    // jacobian times rotation times scale: covariance = spread spread^T + low-pass
    Float xx, xy, yy;
    Float spread_determinant, determinant;  // of the covariance without and with the low-pass
    Float whitening[3];
    Float direction[3], inverse_distance;  // from the camera, unit length
    Int drawable;
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

INLINE void project_mean(const float* mean, int count, const Camera& camera, Projected& out) {
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
    // Avoids a division by zero; what lies behind the camera is masked later.
    out.inverse_z = 1.0f / maximum(out.in_cam[2], splat(NEAR));
    const float focal[2] = {camera.fx, camera.fy}, center[2] = {camera.cx, camera.cy};
    const int size[2] = {camera.width, camera.height};
    for (int k = 0; k < 2; k++) {
        const float margin = JACOBIAN_MARGIN * size[k];
        const Float slope = out.in_cam[k] * out.inverse_z;
        out.slope[k] = minimum(maximum(slope, splat((-center[k] - margin) / focal[k])),
                               splat((size[k] - center[k] + margin) / focal[k]));
        out.slope_unclamped[k] = out.slope[k] == slope;
        for (int j = 0; j < 3; j++) {
            out.jacobian[k][j] = focal[k] * out.inverse_z * (m[4 * k + j] - out.slope[k] * m[8 + j]);
        }
    }
}

INLINE void project_covariance(const float* quat, const float* log_scale, int count, Projected& out) {
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
    out.drawable = usable & (out.in_cam[2] > NEAR) & (out.in_cam[2] < FAR) & (out.xx < MAX_EXTENT * MAX_EXTENT) &
               (out.yy < MAX_EXTENT * MAX_EXTENT);
}

INLINE Projected project_lanes(const Gaussians& in, int64_t first, int count, const Camera& camera) {
    Projected out;
    project_mean(in.means + 3 * first, count, camera, out);
    project_covariance(in.quats + 4 * first, in.log_scales + 3 * first, count, out);
    return out;
}

INLINE Float sigmoid(Float x) { return 1.0f / (1.0f + exp(-x)); }

}  // namespace
}  // namespace img2world
