// The loss of a rendered view.
#pragma once

#include "kernels.hpp"
#include "parallel.hpp"

namespace img2world {

struct LossWeights {
    double colors, dssim_fraction, alpha, depth, max_depth_error;
};

// colors ((1 - fraction) mean |image - target| + fraction (1 - mean SSIM)) + alpha mean |alpha - target|
// + depth mean |depth / target - 1|, and the gradients that the task asks for. Sets the task's window and weights.
// Pictures are at least WINDOW wide and high.
double view_loss(const Kernels& kernels, ThreadPool& pool, LossTask task, const LossWeights& weights);

}  // namespace img2world
