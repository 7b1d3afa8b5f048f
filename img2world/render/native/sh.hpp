// Colours from spherical harmonics, forward and backward, one Gaussian per lane.
// Signs and order are those of core/sh.py. Included by projected.hpp only.
#pragma once

#include "columns.hpp"

namespace img2world {
namespace {

constexpr float SH_C0 = 0.28209479177387814f, SH_C1 = 0.4886025119029199f;
constexpr float SH_C2[] = {1.0925484305920792f, 0.31539156525252005f, 0.5462742152960396f};
constexpr float SH_C3[] = {0.5900435899266435f, 2.890611442640554f, 0.4570457994644658f, 0.3731763325901154f,
                           1.445305721320277f};
constexpr int MAX_BASES = 16;

INLINE void sh_basis(int bases, Float x, Float y, Float z, Float* basis) {
    basis[0] = splat(SH_C0);
    if (bases == 1) return;
    basis[1] = -SH_C1 * y;
    basis[2] = SH_C1 * z;
    basis[3] = -SH_C1 * x;
    if (bases == 4) return;
    const Float xx = x * x, yy = y * y, zz = z * z;
    basis[4] = SH_C2[0] * x * y;
    basis[5] = -SH_C2[0] * y * z;
    basis[6] = SH_C2[1] * (2 * zz - xx - yy);
    basis[7] = -SH_C2[0] * x * z;
    basis[8] = SH_C2[2] * (xx - yy);
    if (bases == 9) return;
    basis[9] = -SH_C3[0] * y * (3 * xx - yy);
    basis[10] = SH_C3[1] * x * y * z;
    basis[11] = -SH_C3[2] * y * (4 * zz - xx - yy);
    basis[12] = SH_C3[3] * z * (2 * zz - 3 * xx - 3 * yy);
    basis[13] = -SH_C3[2] * x * (4 * zz - xx - yy);
    basis[14] = SH_C3[4] * z * (xx - yy);
    basis[15] = -SH_C3[0] * x * (xx - 3 * yy);
}

// Turns dL / d(basis) into dL / d(x, y, z).
INLINE void sh_basis_backward(int bases, Float x, Float y, Float z, const Float* g, Float* direction) {
    Float dx = {}, dy = {}, dz = {};
    if (bases > 1) {
        dx = -SH_C1 * g[3];
        dy = -SH_C1 * g[1];
        dz = SH_C1 * g[2];
    }
    if (bases > 4) {
        dx += SH_C2[0] * (y * g[4] - z * g[7]) - 2 * SH_C2[1] * x * g[6] + 2 * SH_C2[2] * x * g[8];
        dy += SH_C2[0] * (x * g[4] - z * g[5]) - 2 * SH_C2[1] * y * g[6] - 2 * SH_C2[2] * y * g[8];
        dz += -SH_C2[0] * (y * g[5] + x * g[7]) + 4 * SH_C2[1] * z * g[6];
    }
    if (bases > 9) {
        const Float xx = x * x, yy = y * y, zz = z * z, xy = x * y, yz = y * z, xz = x * z;
        dx += -6 * SH_C3[0] * xy * g[9] + SH_C3[1] * yz * g[10] + 2 * SH_C3[2] * xy * g[11] - 6 * SH_C3[3] * xz * g[12] -
              SH_C3[2] * (4 * zz - 3 * xx - yy) * g[13] + 2 * SH_C3[4] * xz * g[14] - 3 * SH_C3[0] * (xx - yy) * g[15];
        dy += -3 * SH_C3[0] * (xx - yy) * g[9] + SH_C3[1] * xz * g[10] - SH_C3[2] * (4 * zz - xx - 3 * yy) * g[11] -
              6 * SH_C3[3] * yz * g[12] + 2 * SH_C3[2] * xy * g[13] - 2 * SH_C3[4] * yz * g[14] + 6 * SH_C3[0] * xy * g[15];
        dz += SH_C3[1] * xy * g[10] - 8 * SH_C3[2] * yz * g[11] + SH_C3[3] * (6 * zz - 3 * xx - 3 * yy) * g[12] -
              8 * SH_C3[2] * xz * g[13] + SH_C3[4] * (xx - yy) * g[14];
    }
    direction[0] = dx;
    direction[1] = dy;
    direction[2] = dz;
}

// max(0, 0.5 + basis . sh) of `count` Gaussians.
INLINE void sh_colors(const float* sh, int bases, int count, const Float* direction, Float* rgb) {
    Float basis[MAX_BASES];
    sh_basis(bases, direction[0], direction[1], direction[2], basis);
    for (int c = 0; c < 3; c++) rgb[c] = splat(0.5f);
    if (bases == 1) {
        Float value[3];
        load_columns(sh, count, value);
        for (int c = 0; c < 3; c++) rgb[c] = fma(basis[0], value[c], rgb[c]);
    } else {
        for (int k = 0; k < bases; k++) {
            for (int c = 0; c < 3; c++) rgb[c] = fma(basis[k], load_strided(sh + 3 * k + c, 3 * bases, count), rgb[c]);
        }
    }
    for (int c = 0; c < 3; c++) rgb[c] = maximum(rgb[c], Float{});
}

// From dL / d(rgb), zero where the colour was clamped at zero, to the coefficients, which are stored, and the direction.
INLINE void sh_backward(const float* sh, int bases, int count, const Float* direction, const Float* rgb, float* out,
                        Float* direction_gradient) {
    Float basis[MAX_BASES], basis_gradient[MAX_BASES];
    sh_basis(bases, direction[0], direction[1], direction[2], basis);
    if (bases == 1) {
        // A constant colour does not depend on the direction.
        const Float constant[3] = {basis[0] * rgb[0], basis[0] * rgb[1], basis[0] * rgb[2]};
        store_columns(out, count, constant);
        return;
    }
    for (int k = 0; k < bases; k++) {
        basis_gradient[k] = Float{};
        for (int c = 0; c < 3; c++) {
            const Float value = load_strided(sh + 3 * k + c, 3 * bases, count);
            basis_gradient[k] = fma(rgb[c], value, basis_gradient[k]);
            store_strided(out + 3 * k + c, 3 * bases, count, basis[k] * rgb[c]);
        }
    }
    sh_basis_backward(bases, direction[0], direction[1], direction[2], basis_gradient, direction_gradient);
}

}  // namespace
}  // namespace img2world
