// The loss of a rendered view and its gradient: L1 and structural similarity of colours, L1 of alpha, and relative
// errors of depth.
//
// Channels are interleaved, so a row is 3 W floats and the same channel of the next pixel is 3 further on: the same
// loop serves all channels. Only windows that lie inside the picture count. They are blurred over rows first,
// several rows at once, so that each loaded value is used several times; then over columns, in strips that stay in the
// first-level cache. No value depends on where strips and pieces of rows begin.
#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

constexpr int CHANNELS = 3, MARGIN = CHANNELS * (WINDOW - 1);
// Rows processed at once, as many as there are registers for, and the rows that they need.
constexpr int ROWS = LANES == 16 ? 4 : 2, NEEDED = ROWS + WINDOW - 1;
// Floats of a row processed at once, alone and with those that their windows also cover.
constexpr int STRIP = 256, WIDE_STRIP = STRIP + 2 * LANES + MARGIN / LANES * LANES;
static_assert(STRIP % LANES == 0 && WIDE_STRIP >= STRIP + MARGIN + LANES && WIDE_STRIP % LANES == 0);
// Windowed means of x, y, x² + y², x y; maps of the derivatives by the means of x, x² and x y.
constexpr int MEANS = 4, MAPS = 3;

// Floats in a row; in a row of derivatives, which has zeros on both sides; and from one such row to the next.
INLINE int64_t row_size(const LossTask& task) { return CHANNELS * static_cast<int64_t>(task.width); }
INLINE int64_t map_size(const LossTask& task) { return row_size(task) + MARGIN; }
INLINE int64_t pitch(const LossTask& task) { return map_size(task) + LANES; }

// Sums over the rows of ROWS windows, the first of which begins at row 0 of `load_values(row, values)`.
template <int COUNT, typename Load>
INLINE void blur_rows(const float* window, const Load& load_values, Float (&sums)[COUNT][ROWS]) {
#pragma GCC unroll 16
    for (int row = 0; row < NEEDED; row++) {
        Float values[COUNT];
        load_values(row, values);
#pragma GCC unroll 4
        for (int j = 0; j < ROWS; j++) {
            if (row < j || row - j >= WINDOW) continue;
            for (int k = 0; k < COUNT; k++) sums[k][j] = fma(splat(window[row - j]), values[k], sums[k][j]);
        }
    }
}

INLINE Float blur_columns(const float* window, const float* in) {
    Float sum = window[0] * load(in);
#pragma GCC unroll 10
    for (int k = 1; k < WINDOW; k++) sum = fma(splat(window[k]), load(in + k * CHANNELS), sum);
    return sum;
}

template <int COUNT>
struct Strip {
    alignas(64) float values[COUNT][ROWS][WIDE_STRIP];
};

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

INLINE Float sign_of(Float a) { return select(a > 0.0f, splat(1.0f), select(a < 0.0f, splat(-1.0f), Float{})); }

// The last NEEDED rows of derivatives; others are zero.
struct Maps {
    float* rows;  // [NEEDED, MAPS], `pitch` apart, and one more that is zero
    int64_t pitch;
    int begin, end;  // the windows that exist

    float* find(int window, int k) const { return rows + (window % NEEDED * MAPS + k) * pitch; }
    const float* read(int window, int k) const {
        return window >= begin && window < end ? find(window, k) : rows + NEEDED * MAPS * pitch;
    }
};

// Writes the derivatives of the windows of ROWS rows from `first` on to `maps`, and the sum of each row's similarity.
INLINE void add_windows(const LossTask& task, int first, int end, const Maps& maps, double* similar) {
    const int64_t size = row_size(task), windows = size - MARGIN;
    const Int lane = lane_numbers();
    Float sums[ROWS] = {};
    Strip<MEANS> strip;
    for (int64_t begin = 0; begin < windows; begin += STRIP) {
        const int64_t stop = begin + STRIP < windows ? begin + STRIP : windows;
        for_vectors(begin, stop + MARGIN, size, [&](int64_t i, int count) __attribute__((always_inline)) {
            Float means[MEANS][ROWS] = {};
            blur_rows(task.window, [&](int row, Float* values) __attribute__((always_inline)) {
                // Windows that reach rows below the picture do not count.
                const int64_t place = (first + row < task.height ? first + row : task.height - 1) * size + i;
                const Float x = load_some(task.image + place, count), y = load_bytes(task.target + place, count);
                values[0] = x;
                values[1] = y;
                values[2] = fma(x, x, y * y);
                values[3] = x * y;
            }, means);
            for (int k = 0; k < MEANS; k++) {
                for (int j = 0; j < ROWS; j++) store(strip.values[k][j] + (i - begin), means[k][j]);
            }
        });
        for (int j = 0; j < ROWS && first + j < end; j++) {
            for_vectors(begin, stop, windows, [&](int64_t i, int count) __attribute__((always_inline)) {
                Float mean[MEANS];
                for (int k = 0; k < MEANS; k++) mean[k] = blur_columns(task.window, strip.values[k][j] + (i - begin));
                const Similarity s = similarity(mean[0], mean[1], mean[2], mean[3]);
                sums[j] += select(lane < count, s.value, Float{});
                store_some(maps.find(first + j, 0) + MARGIN + i, count, s.by_mean);
                store_some(maps.find(first + j, 1) + MARGIN + i, count, s.by_square);
                store_some(maps.find(first + j, 2) + MARGIN + i, count, s.by_product);
            });
        }
    }
    for (int j = 0; j < ROWS; j++) similar[j] = sum_of_lanes(sums[j]);
}

// Writes the gradient of ROWS rows of pixels from `first` on; `maps` has all their windows.
INLINE void find_gradient(const LossTask& task, int first, int end, const Maps& maps) {
    const int64_t size = row_size(task);
    Strip<MAPS> strip;
    for (int64_t begin = 0; begin < size; begin += STRIP) {
        const int64_t stop = begin + STRIP < size ? begin + STRIP : size;
        for (int64_t i = begin; i < stop + MARGIN; i += LANES) {
            Float spread[MAPS][ROWS] = {};
            // Windows are symmetric, so the adjoint of their mean is the same blur.
            blur_rows(task.window, [&](int row, Float* values) __attribute__((always_inline)) {
                for (int k = 0; k < MAPS; k++) values[k] = load(maps.read(first + row - (WINDOW - 1), k) + i);
            }, spread);
            for (int k = 0; k < MAPS; k++) {
                for (int j = 0; j < ROWS; j++) store(strip.values[k][j] + (i - begin), spread[k][j]);
            }
        }
        for (int j = 0; j < ROWS && first + j < end; j++) {
            const int64_t row = (first + j) * size;
            for_vectors(begin, stop, size, [&](int64_t i, int count) __attribute__((always_inline)) {
                Float sums[MAPS];
                for (int k = 0; k < MAPS; k++) sums[k] = blur_columns(task.window, strip.values[k][j] + (i - begin));
                const Float x = load_some(task.image + row + i, count), y = load_bytes(task.target + row + i, count);
                const Float similar = sums[0] + 2.0f * x * sums[1] + y * sums[2];
                const Float gradient = task.absolute_weight * sign_of(x - y) - task.similarity_weight * similar;
                store_some(task.gradient + row + i, count, gradient);
            });
        }
    }
}

INLINE double absolute_row(const LossTask& task, int row) {
    const int64_t size = row_size(task);
    Float sum = {};
    for_vectors(0, size, size, [&](int64_t i, int count) __attribute__((always_inline)) {
        const int64_t place = row * size + i;
        const Float difference = load_some(task.image + place, count) - load_bytes(task.target + place, count);
        sum += maximum(difference, -difference);
    });
    return task.absolute_weight * sum_of_lanes(sum);
}

INLINE double alpha_row(const LossTask& task, int row) {
    Float sum = {};
    for_vectors(0, task.width, task.width, [&](int64_t i, int count) __attribute__((always_inline)) {
        const int64_t place = static_cast<int64_t>(row) * task.width + i;
        // Without a target everything should be opaque.
        const Float target = task.target_alpha == nullptr ? splat(1.0f) : load_bytes(task.target_alpha + place, count);
        const Float difference = select(lane_numbers() < count, load_some(task.alpha + place, count) - target, Float{});
        sum += maximum(difference, -difference);
        if (task.alpha_gradient != nullptr) {
            store_some(task.alpha_gradient + place, count, task.alpha_weight * sign_of(difference));
        }
    });
    return task.alpha_weight * sum_of_lanes(sum);
}

INLINE double depth_row(const LossTask& task, int row) {
    Float sum = {};
    for_vectors(0, task.width, task.width, [&](int64_t i, int count) __attribute__((always_inline)) {
        const int64_t place = static_cast<int64_t>(row) * task.width + i;
        const Float target = load_some(task.target_depth + place, count), depth = load_some(task.depth + place, count);
        const Int known = target > 0.0f;
        const Float inverse = 1.0f / select(known, target, splat(1.0f)), error = depth * inverse - 1.0f;
        const Float size = maximum(error, -error);
        const Int counts = known & (size < task.max_depth_error);
        sum += select(counts, size, Float{});
        if (task.depth_gradient != nullptr) {
            const Float gradient = select(counts, task.depth_weight * sign_of(error) * inverse, Float{});
            store_some(task.depth_gradient + place, count, gradient);
        }
    });
    return task.depth_weight * sum_of_lanes(sum);
}

}  // namespace

int64_t loss_scratch(const LossTask& task) { return (NEEDED * MAPS + 1) * pitch(task); }

void loss_rows(const LossTask& task, int begin, int end, float* scratch, double* losses) {
    const int windows = task.height - WINDOW + 1;
    for (int row = begin; row < end; row++) {
        losses[row] = absolute_row(task, row);
        if (task.alpha != nullptr) losses[row] += alpha_row(task, row);
        if (task.depth != nullptr) losses[row] += depth_row(task, row);
    }
    // Pixels are in windows that begin above them; a window counts for the row where it begins.
    const int first = begin < WINDOW - 1 ? 0 : begin - (WINDOW - 1), last = end < windows ? end : windows;
    std::memset(scratch, 0, loss_scratch(task) * sizeof(float));
    Maps maps{scratch, pitch(task), first, first};
    int done = begin;
    for (int window = first; window < last; window += ROWS) {
        maps.end = window + ROWS < last ? window + ROWS : last;
        double similar[ROWS];
        add_windows(task, window, maps.end, maps, similar);
        for (int row = window < begin ? begin : window; row < maps.end; row++) {
            losses[row] -= task.similarity_weight * similar[row - window];
        }
        if (task.gradient == nullptr) continue;
        // The last rows of the picture are in no further window.
        const int ready = maps.end < last ? maps.end : end;
        for (; done < ready; done += ROWS) find_gradient(task, done, ready < done + ROWS ? ready : done + ROWS, maps);
        done = done < ready ? done : ready < begin ? begin : ready;
    }
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
