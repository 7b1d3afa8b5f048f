// L1 and structural similarity of rows of a picture, with gradient.
//
// Channels are interleaved, so a row is 3 W floats and the same channel of the next pixel is 3 further on:
// the same loop serves all channels. Windows are those that lie inside the picture.
#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

constexpr int CHANNELS = 3;
// Room behind each row, so that the last vector may run over its end.
constexpr int SLACK = 16;
constexpr int MARGIN = CHANNELS * (WINDOW - 1);

// Floats from one scratch row to the next.
INLINE int64_t pitch(const LossTask& task) { return CHANNELS * static_cast<int64_t>(task.width) + 2 * MARGIN + SLACK; }

// out[i] = sum of weights[k] in[i + k step] for i < count, and up to SLACK more.
INLINE void correlate(const float* in, int64_t step, const float* weights, int64_t count, float* out) {
    for (int64_t i = 0; i < count; i += LANES) {
        Float sum = weights[0] * load(in + i);
        for (int k = 1; k < WINDOW; k++) sum = fma(splat(weights[k]), load(in + i + k * step), sum);
        store(out + i, sum);
    }
}

// What the windows are taken of: x, y, x² + y², x y.
constexpr int MEANS = 4;

// The means over the columns of the windows of picture row `row`, into rows of `out` that are `stride` apart.
INLINE void blur_row(const LossTask& task, int row, float* scratch, float* out, int64_t stride) {
    const int64_t size = CHANNELS * static_cast<int64_t>(task.width), length = pitch(task);
    float *x = scratch, *y = x + length, *squares = y + length, *product = squares + length;
    std::memcpy(x, task.image + row * size, size * sizeof(float));
    std::memcpy(y, task.target + row * size, size * sizeof(float));
    for (int64_t i = 0; i < size; i += LANES) {
        const Float a = load(x + i), b = load(y + i);
        store(squares + i, fma(a, a, b * b));
        store(product + i, a * b);
    }
    for (int k = 0; k < MEANS; k++) {
        correlate(scratch + k * length, CHANNELS, task.window, size - MARGIN, out + k * stride);
    }
}

// Mean over the rows of the windows; the rows go round in a ring, `first` being the oldest.
INLINE Float blur_column(const float* ring, int64_t length, int first, const float* weights, int64_t i) {
    Float sum = {};
    for (int k = 0; k < WINDOW; k++) {
        const int place = first + k < WINDOW ? first + k : first + k - WINDOW;
        sum = fma(splat(weights[k]), load(ring + place * length + i), sum);
    }
    return sum;
}

// Similarity, and its derivatives with respect to the means of x, of x² and of x y.
struct Similarity {
    Float value, by_mean, by_square, by_product;
};

// Wang et al. 2004, "Image Quality Assessment", equation 13, with its constants for values from 0 to 1.
INLINE Similarity similarity(Float x, Float y, Float squares, Float product) {
    constexpr float C1 = 0.01f * 0.01f, C2 = 0.03f * 0.03f;
    const Float xy = x * y, means = fma(x, x, y * y);
    const Float a1 = 2.0f * xy + C1, a2 = 2.0f * (product - xy) + C2, b1 = means + C1, b2 = squares - means + C2;
    const Float inverse = 1.0f / (b1 * b2);
    Similarity out;
    out.value = a1 * a2 * inverse;
    const Float per_b1 = out.value * inverse * b2, per_b2 = out.value * inverse * b1;
    out.by_mean = 2.0f * (y * (a2 - a1) * inverse + x * (per_b2 - per_b1));
    out.by_square = -per_b2;
    out.by_product = 2.0f * a1 * inverse;
    return out;
}

INLINE double sum_of_lanes(Float a) {
    double sum = 0;
    for (int i = 0; i < LANES; i++) sum += a[i];
    return sum;
}

}  // namespace

int64_t loss_scratch(const LossTask& task) { return (2 * MEANS + MEANS * WINDOW) * pitch(task) + SLACK; }

double similarity_rows(const LossTask& task, int begin, int end, float* scratch) {
    const int64_t size = CHANNELS * static_cast<int64_t>(task.width), count = size - MARGIN, length = pitch(task);
    // Derivatives have zeros on both sides, so that they can be spread over the pixels of their windows.
    float* derivatives = scratch + MEANS * length;
    float* ring = derivatives + MEANS * length;
    const Int lane = lane_numbers();
    double sum = 0;
    for (int row = begin; row < end + WINDOW - 1; row++) {
        blur_row(task, row, scratch, ring + row % WINDOW * length, WINDOW * length);
        const int window = row - (WINDOW - 1);
        if (window < begin) continue;
        Float row_sum = {};
        for (int64_t i = 0; i < count; i += LANES) {
            Float mean[MEANS];
            for (int k = 0; k < MEANS; k++) {
                mean[k] = blur_column(ring + k * WINDOW * length, length, window % WINDOW, task.window, i);
            }
            const Similarity s = similarity(mean[0], mean[1], mean[2], mean[3]);
            const Int inside = lane < static_cast<int32_t>(count - i < LANES ? count - i : LANES);
            row_sum += select(inside, s.value, Float{});
            store(derivatives + MARGIN + i, select(inside, s.by_mean, Float{}));
            store(derivatives + length + MARGIN + i, select(inside, s.by_square, Float{}));
            store(derivatives + 2 * length + MARGIN + i, select(inside, s.by_product, Float{}));
        }
        sum += sum_of_lanes(row_sum);
        if (task.maps == nullptr) continue;
        for (int k = 0; k < MAPS; k++) {
            // The window is symmetric, so this is its own transpose.
            correlate(derivatives + k * length, CHANNELS, task.window, size, scratch);
            const int64_t place = k * static_cast<int64_t>(task.height - WINDOW + 1) + window;
            std::memcpy(task.maps + place * size, scratch, size * sizeof(float));
        }
    }
    return sum;
}

double absolute_rows(const LossTask& task, int begin, int end) {
    const int64_t size = CHANNELS * static_cast<int64_t>(task.width);
    double sum = 0;
    for (int row = begin; row < end; row++) {
        const float *x = task.image + row * size, *y = task.target + row * size;
        float row_sum = 0;
        for (int64_t i = 0; i < size; i++) row_sum += __builtin_fabsf(x[i] - y[i]);
        sum += row_sum;
    }
    return sum;
}

void loss_gradient_rows(const LossTask& task, int begin, int end) {
    const int64_t size = CHANNELS * static_cast<int64_t>(task.width);
    const int windows = task.height - WINDOW + 1;
    for (int row = begin; row < end; row++) {
        const int first = row < WINDOW ? 0 : row - WINDOW + 1, last = row < windows ? row : windows - 1;
        const float *x = task.image + row * size, *y = task.target + row * size;
        float* out = task.gradient + row * size;
        for (int64_t i = 0; i < size; i += LANES) {
            const int width = size - i < LANES ? static_cast<int>(size - i) : LANES;
            Float sums[MAPS] = {};
            for (int window = first; window <= last; window++) {
                const Float weight = splat(task.window[row - window]);
                for (int k = 0; k < MAPS; k++) {
                    const float* map = task.maps + (k * static_cast<int64_t>(windows) + window) * size + i;
                    sums[k] = fma(weight, load_some(map, width), sums[k]);
                }
            }
            const Float a = load_some(x + i, width), b = load_some(y + i, width), difference = a - b;
            const Float sign = select(difference > 0.0f, splat(1.0f), select(difference < 0.0f, splat(-1.0f), Float{}));
            const Float spread = sums[0] + 2.0f * a * sums[1] + b * sums[2];
            store_some(out + i, width, task.absolute_weight * sign - task.similarity_weight * spread);
        }
    }
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
