// One step of Adam (Kingma and Ba 2015, algorithm 1) for the rows that are drawn in an image.
#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {

void adam_rows(const AdamTask& task, int64_t begin, int64_t end) {
    int64_t row = begin;
    while (row < end) {
        if (task.radii != nullptr && task.radii[row] == 0) {
            row++;
            continue;
        }
        int64_t stop = row + 1;
        while (stop < end && (task.radii == nullptr || task.radii[stop] != 0)) stop++;
        int64_t column = 0;
        for (int64_t i = row * task.columns; i < stop * task.columns; i += LANES) {
            const int64_t rest = stop * task.columns - i;
            const int count = rest < LANES ? static_cast<int>(rest) : LANES;
            const Float gradient = load_some(task.gradients + i, count);
            const Float mean = load_some(task.means + i, count), square = load_some(task.squares + i, count);
            const Float new_mean = fma(gradient - mean, splat(1 - task.beta1), mean);
            const Float new_square = fma(fma(gradient, gradient, -square), splat(1 - task.beta2), square);
            const Float move = new_mean / (square_root(new_square) * task.square_scale + task.epsilon);
            store_some(task.means + i, count, new_mean);
            store_some(task.squares + i, count, new_square);
            const Float rates = load(task.rates + column), value = load_some(task.values + i, count);
            store_some(task.values + i, count, minus_product(value, rates, move));
            for (column += LANES; column >= task.columns;) column -= task.columns;
        }
        row = stop;
    }
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
