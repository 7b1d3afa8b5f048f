// The loss of a rendered picture: L1 and structural dissimilarity.
#pragma once

#include "kernels.hpp"
#include "parallel.hpp"

namespace img2world {

// (1 - weight) mean |image - target| + weight (1 - mean SSIM), and its gradient with respect to the image
// unless `gradient` is null. Pictures are [H, W, 3], at least WINDOW on each side.
double l1_dssim(const Kernels& kernels, Team& team, const float* image, const float* target, int width, int height,
                float weight, float* gradient);

}  // namespace img2world
