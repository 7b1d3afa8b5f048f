// From the gradients of one tile's pixels to sums for each of its blobs.
//
// This runs front to back too: what is still to come behind a blob is the finished pixel less what has been
// passed, so nothing has to be stored per blob and pixel.
#include "blocks.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

// Upstream gradients of some pixels, and what of the loss is still to come behind the blobs passed.
struct Upstream {
    Float through, behind;
    Float red, green, blue, depth, alpha;  // depth: of the sum of weighted depths; alpha: of the sum of weights
};

template <bool GEOMETRY>
INLINE Upstream read_upstream(const BlendBackwardTask& task, const Block& block) {
    const Picture& drawn = task.forward.picture;
    const auto read = [&](const float* values, int channels) { return read_channel(values, channels, block, drawn); };
    Upstream up = {};
    up.through = full_light(block, drawn);
    up.red = read(task.rgb, 3);
    up.green = read(task.rgb + 1, 3);
    up.blue = read(task.rgb + 2, 3);
    up.behind = read(drawn.rgb, 3) * up.red + read(drawn.rgb + 1, 3) * up.green + read(drawn.rgb + 2, 3) * up.blue;
    if (GEOMETRY) {
        // depth = sum / alpha, so a change of alpha changes the depth too. Without alpha there is none.
        const Float alpha = read(drawn.alpha, 1), of_alpha = read(task.alpha, 1);
        const Int hit = alpha > 0.0f;
        up.depth = select(hit, read(task.depth, 1) / alpha, Float{});
        up.alpha = select(hit, of_alpha - up.depth * read(drawn.depth, 1), Float{});
        up.behind += of_alpha * alpha;
    }
    return up;
}

// Passes some blobs at some pixels: gives their weights, and dL / d(ln alpha).
template <bool GEOMETRY>
INLINE void pass(const Blob* const* blobs, const Block& block, Upstream& pixel, Float* weights, Float* gradients) {
    const Alphas alphas = find_alphas(blobs, block);
    Float value[GROUP], ratio[GROUP];
    for (int g = 0; g < GROUP; g++) value[g] = blobs[g]->red * pixel.red;
    for (int g = 0; g < GROUP; g++) value[g] = fma(splat(blobs[g]->green), pixel.green, value[g]);
    for (int g = 0; g < GROUP; g++) value[g] = fma(splat(blobs[g]->blue), pixel.blue, value[g]);
    if (GEOMETRY) {
        for (int g = 0; g < GROUP; g++) value[g] += fma(splat(blobs[g]->depth), pixel.depth, pixel.alpha);
    }
    for (int g = 0; g < GROUP; g++) ratio[g] = alphas.used[g] * reciprocal(1.0f - alphas.used[g]);
    for (int g = 0; g < GROUP; g++) {
        const Float weight = alphas.used[g] * pixel.through;
        pixel.behind = minus_product(pixel.behind, weight, value[g]);
        pixel.through -= weight;
        // More alpha shows more of the blob, and less of all that is behind it.
        gradients[g] = select(alphas.sloped[g], minus_product(weight * value[g], pixel.behind, ratio[g]), Float{});
        weights[g] = weight;
    }
}

// Sums over a block's pixels of a quantity e: of e, e x, e y, e x², e x y, e y², from the block's middle.
// `pixels` are vectors with a blob in each lane.
INLINE void find_moments(const Float* pixels, Float* moments) {
    for (int k = 0; k < 6; k++) moments[k] = Float{};
    for (int row = 0; row < BLOCK_HEIGHT; row++) {
        const Float* e = pixels + row * BLOCK_WIDTH;
        const float y = row - 0.5f * (BLOCK_HEIGHT - 1);
        // x is -1.5, -0.5, 0.5 and 1.5.
        const Float outer = e[0] + e[3], inner = e[1] + e[2], sum = outer + inner;
        const Float of_x = fma(splat(1.5f), e[3] - e[0], 0.5f * (e[2] - e[1]));
        moments[0] += sum;
        moments[1] += of_x;
        moments[2] = fma(splat(y), sum, moments[2]);
        moments[3] += fma(splat(2.25f), outer, 0.25f * inner);
        moments[4] = fma(splat(y), of_x, moments[4]);
        moments[5] = fma(splat(y * y), sum, moments[5]);
    }
}

// From the block's middle to the blob's, which is (-dx, -dy) from there.
INLINE void shift_moments(Float dx, Float dy, Float* moments) {
    const Float one = moments[0], x = moments[1], y = moments[2];
    moments[1] = fma(dx, one, x);
    moments[2] = fma(dy, one, y);
    moments[3] = fma(dx, x + moments[1], moments[3]);
    moments[4] = fma(dx, y, fma(dy, moments[1], moments[4]));
    moments[5] = fma(dy, y + moments[2], moments[5]);
}

// Adds lane i of each value to the sums of blob list[i].
INLINE void add_to_sums(const Float (&values)[16], const uint32_t* list, Sums* sums) {
    for (int part = 0; part < NUM_SUMS; part += LANES) {
        Float rows[LANES];
        for (int i = 0; i < LANES; i++) rows[i] = values[part + i];
        transpose(rows);
        for (int i = 0; i < LANES; i++) {
            float* place = sums[list[i]].values + part;
            store(place, load(place) + rows[i]);
        }
    }
}

template <bool GEOMETRY>
INLINE void backward_block(const Chunk& chunk, const uint32_t* list, uint32_t count, const Block& block, Upstream& out, Sums* sums) {
    Upstream pixel = out;
    const float middle_x = block.left + 0.5f * BLOCK_WIDTH, middle_y = block.top + 0.5f * BLOCK_HEIGHT;
    for (uint32_t begin = 0; begin < count && is_open(pixel.through); begin += LANES) {
        const int batch = static_cast<int>(count - begin < LANES ? count - begin : LANES);
        Float gradients[LANES], weights[LANES], values[16] = {};
        int done = 0;
        for (; done < batch; done += GROUP) {
            const Blob* blobs[GROUP];
            for (int g = 0; g < GROUP; g++) blobs[g] = chunk.blobs + list[begin + done + g];
            pass<GEOMETRY>(blobs, block, pixel, weights + done, gradients + done);
        }
        for (; done < LANES; done++) gradients[done] = weights[done] = Float{};
        // From a vector for each blob to a vector for each pixel.
        transpose(gradients);
        transpose(weights);
        find_moments(gradients, values);
        const Int places = load_numbers(list + begin);
        shift_moments(middle_x - gather_at(chunk.x, places), middle_y - gather_at(chunk.y, places), values);
        for (int i = 0; i < LANES; i++) {
            values[6] = fma(weights[i], splat(pixel.red[i]), values[6]);
            values[7] = fma(weights[i], splat(pixel.green[i]), values[7]);
            values[8] = fma(weights[i], splat(pixel.blue[i]), values[8]);
            if (GEOMETRY) values[9] = fma(weights[i], splat(pixel.depth[i]), values[9]);
        }
        add_to_sums(values, list + begin, sums);
    }
    out = pixel;
}

template <bool GEOMETRY>
INLINE void backward(const BlendBackwardTask& task, int index) {
    const Tile tile = find_tile(task.forward, index);
    Upstream pixels[BANDS * COLUMNS];
    for (int i = 0; i < BANDS * COLUMNS; i++) {
        pixels[i] = read_upstream<GEOMETRY>(task, find_block(tile, i / COLUMNS, i % COLUMNS, task.forward.picture));
    }
    Sums* out = task.sums + (tile.begin - task.first_entry);
    // What lists are filled up with has sums too.
    Sums sums[CHUNK + 1];
    Chunk chunk;
    bool open = true;
    uint32_t begin = tile.begin;
    for (; begin < tile.end && open; begin += CHUNK) {
        load_chunk(task.forward, begin, tile.end, chunk);
        std::memset(static_cast<void*>(sums), 0, chunk.count * sizeof(Sums));
        open = false;
        for_blocks(chunk, tile, task.forward.picture, [&](const Block& block, int i, const uint32_t* list, uint32_t count) {
            backward_block<GEOMETRY>(chunk, list, count, block, pixels[i], sums);
            open |= is_open(pixels[i].through);
        });
        std::memcpy(static_cast<void*>(out + (begin - tile.begin)), sums, chunk.count * sizeof(Sums));
    }
    // Blobs behind what no light passes.
    if (begin < tile.end) std::memset(static_cast<void*>(out + (begin - tile.begin)), 0, (tile.end - begin) * sizeof(Sums));
}

}  // namespace

void blend_tile_backward(const BlendBackwardTask& task, int index) {
    if (task.alpha != nullptr) {
        backward<true>(task, index);
    } else {
        backward<false>(task, index);
    }
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
