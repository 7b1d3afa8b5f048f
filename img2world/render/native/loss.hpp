// The loss of a rendered view.
#pragma once

#include "kernels.hpp"
#include "parallel.hpp"

namespace img2world {

struct LossWeights {
    double colors, dssim_share, alpha, depth, max_depth_error;
};

// colors ((1 - share) mean |image - target| + share (1 - mean SSIM)) + alpha mean |alpha - target| + depth mean |depth / target - 1|,
// and the gradients that the task asks for. The task's window and weights are set here. Pictures are at least WINDOW on
// each side.
double view_loss(const Kernels& kernels, ThreadPool& pool, LossTask task, const LossWeights& weights);

}  // namespace img2world
