#include "loss.hpp"

#include <cmath>
#include <numeric>
#include <vector>

#include "buffer.hpp"

namespace img2world {
namespace {

// A piece repeats some work of the piece above, so it must not be too small.
constexpr int64_t MIN_ROWS = 32;
constexpr double SIGMA = 1.5;

void set_weights(LossTask& task, const LossWeights& weights) {
    double window[WINDOW], sum = 0;
    for (int k = 0; k < WINDOW; k++) sum += window[k] = std::exp(-0.5 * std::pow((k - WINDOW / 2) / SIGMA, 2));
    for (int k = 0; k < WINDOW; k++) task.window[k] = static_cast<float>(window[k] / sum);
    const double width = task.width, height = task.height, pixels = width * height;
    task.absolute_weight = static_cast<float>(weights.colors * (1 - weights.dssim_fraction) / (3 * pixels));
    const double windows = (width - WINDOW + 1) * (height - WINDOW + 1);
    task.similarity_weight = static_cast<float>(weights.colors * weights.dssim_fraction / (3 * windows));
    task.alpha_weight = static_cast<float>(weights.alpha / pixels);
    task.depth_weight = static_cast<float>(weights.depth / pixels);
    task.max_depth_error = static_cast<float>(weights.max_depth_error);
}

}  // namespace

double view_loss(const Kernels& kernels, ThreadPool& pool, LossTask task, const LossWeights& weights) {
    set_weights(task, weights);
    // Rows are summed one by one, so the result does not depend on how they are cut into pieces.
    const int64_t pieces = pool.threads() == 1 ? 1 : 2 * pool.threads();
    const int64_t rows = std::max((task.height + pieces - 1) / pieces, MIN_ROWS);
    const int64_t scratch_size = kernels.loss_scratch(task);
    // Kept for the next picture, one for each calling thread.
    static thread_local Buffer<float> scratch;
    scratch.resize((task.height + rows - 1) / rows * scratch_size);
    float* const scratch_data = scratch.data();
    std::vector<double> losses(task.height);
    pool.run_ranges(task.height, rows, [&](int64_t begin, int64_t end) {
        kernels.loss_rows(task, static_cast<int>(begin), static_cast<int>(end), scratch_data + begin / rows * scratch_size,
                          losses.data());
    });
    return std::accumulate(losses.begin(), losses.end(), weights.colors * weights.dssim_fraction);
}

}  // namespace img2world
