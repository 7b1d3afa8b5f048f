#include "loss.hpp"

#include <cmath>
#include <numeric>
#include <vector>

#include "buffer.hpp"

namespace img2world {
namespace {

// The sums of a picture are added band by band, so the bands must not depend on the number of threads.
constexpr int64_t ROWS_PER_BAND = 32;
constexpr double SIGMA = 1.5;

LossTask make_task(const float* image, const float* target, int width, int height, float weight, float* gradient) {
    LossTask task{width, height, image, target, {}, 0, 0, nullptr, gradient};
    double window[WINDOW], sum = 0;
    for (int k = 0; k < WINDOW; k++) sum += window[k] = std::exp(-0.5 * std::pow((k - WINDOW / 2) / SIGMA, 2));
    for (int k = 0; k < WINDOW; k++) task.window[k] = static_cast<float>(window[k] / sum);
    task.absolute_weight = static_cast<float>((1.0 - weight) / (3.0 * width * height));
    task.similarity_weight = static_cast<float>(weight / (3.0 * (width - WINDOW + 1) * (height - WINDOW + 1)));
    return task;
}

}  // namespace

double l1_dssim(const Kernels& kernels, Team& team, const float* image, const float* target, int width, int height,
                float weight, float* gradient) {
    LossTask task = make_task(image, target, width, height, weight, gradient);
    const int64_t windows = height - WINDOW + 1;
    // Kept for the next picture. Threads that call this at the same time have their own.
    static thread_local Buffer<float> maps;
    if (gradient != nullptr) {
        maps.resize(MAPS * windows * width * 3);
        task.maps = maps.data();
    }
    std::vector<double> similar((windows + ROWS_PER_BAND - 1) / ROWS_PER_BAND);
    std::vector<double> absolute((height + ROWS_PER_BAND - 1) / ROWS_PER_BAND);
    team.run_ranges(windows, ROWS_PER_BAND, [&](int64_t begin, int64_t end) {
        std::vector<float> scratch(kernels.loss_scratch(task));
        similar[begin / ROWS_PER_BAND] =
            kernels.similarity_rows(task, static_cast<int>(begin), static_cast<int>(end), scratch.data());
    });
    team.run_ranges(height, ROWS_PER_BAND, [&](int64_t begin, int64_t end) {
        absolute[begin / ROWS_PER_BAND] = kernels.absolute_rows(task, static_cast<int>(begin), static_cast<int>(end));
        if (gradient != nullptr) kernels.loss_gradient_rows(task, static_cast<int>(begin), static_cast<int>(end));
    });
    const double mean_similar = std::accumulate(similar.begin(), similar.end(), 0.0) / (3.0 * windows * (width - WINDOW + 1));
    const double mean_absolute = std::accumulate(absolute.begin(), absolute.end(), 0.0) / (3.0 * width * height);
    return (1.0 - weight) * mean_absolute + weight * (1.0 - mean_similar);
}

}  // namespace img2world
