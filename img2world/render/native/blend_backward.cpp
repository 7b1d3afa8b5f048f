// From the gradients of one tile's pixels to sums for each of its blobs.
//
// This runs front to back too: the contribution of what is behind a blob is the finished pixel minus what has been
// passed, so nothing has to be stored per blob and pixel.
#include "blocks.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

// Upstream gradients of some pixels, and their product with what is behind the blobs passed so far.
struct Upstream {
    Float transmittance, behind;
    Float red, green, blue, depth, alpha;  // depth: of the sum of weighted depths; alpha: of the sum of weights
};

template <bool GEOMETRY>
INLINE Upstream read_upstream(const BlendBackwardTask& task, const Block& block) {
    const Picture& drawn = task.forward.picture;
    Float gradient[3], color[3];
    read_block(task.rgb, block, drawn, gradient);
    read_block(drawn.rgb, block, drawn, color);
    Upstream up = {};
    up.transmittance = initial_transmittance(block, drawn);
    up.red = gradient[0];
    up.green = gradient[1];
    up.blue = gradient[2];
    up.behind = color[0] * up.red + color[1] * up.green + color[2] * up.blue;
    if (GEOMETRY) {
        Float alpha[1], depth[1], of_alpha[1], of_depth[1];
        read_block(drawn.alpha, block, drawn, alpha);
        read_block(drawn.depth, block, drawn, depth);
        read_block(task.alpha, block, drawn, of_alpha);
        read_block(task.depth, block, drawn, of_depth);
        // depth = sum / alpha, so a change of alpha changes the depth too. Without alpha there is none.
        const Int hit = alpha[0] > 0.0f;
        up.depth = select(hit, of_depth[0] / alpha[0], Float{});
        up.alpha = select(hit, of_alpha[0] - up.depth * depth[0], Float{});
        up.behind += of_alpha[0] * alpha[0];
    }
    return up;
}

// Moves past some blobs at some pixels. Returns their weights and dL / d(ln alpha).
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
        const Float weight = alphas.used[g] * pixel.transmittance;
        pixel.behind = minus_product(pixel.behind, weight, value[g]);
        pixel.transmittance = minus_product(pixel.transmittance, alphas.used[g], pixel.transmittance);
        // More alpha shows more of the blob and less of everything behind it.
        gradients[g] = select(alphas.has_gradient[g], minus_product(weight * value[g], pixel.behind, ratio[g]), Float{});
        weights[g] = weight;
    }
}

// What the values of a pixel are multiplied by in each sum of a blob, as rows of 16: its e by the even ones, its
// weight by the odd ones. Those of e are 1, x, y, x², x y and y² from the middle of the tile.
constexpr int SUMS = 16, USED_SUMS = 12, PARTS = (USED_SUMS + LANES - 1) / LANES;
struct Factors {
    Float rows[LANES][PARTS];
};
INLINE Factors find_factors(const Upstream& pixel, const Block& block, const Tile& tile) {
    const Float x = block.x - (tile.left + 0.5f * TILE), y = block.y - (tile.top + 0.5f * TILE), none = {};
    const Float values[SUMS] = {splat(1.0f), pixel.red, x, pixel.green, y, pixel.blue, x * x, pixel.depth,
                                x * y, none, y * y, none, none, none, none, none};
    Factors factors;
    for (int part = 0; part < PARTS; part++) {
        Float rows[LANES];
        for (int i = 0; i < LANES; i++) rows[i] = values[part * LANES + i];
        transpose(rows);
        for (int i = 0; i < LANES; i++) factors.rows[i][part] = rows[i];
    }
    return factors;
}

// Adds the sums over a block's pixels to those of some blobs.
INLINE void add_pixels(const Float* gradients, const Float* weights, const Factors& factors, Sums* const* out) {
    alignas(64) float pairs[GROUP][2 * LANES];
    for (int g = 0; g < GROUP; g++) store_pairs(pairs[g], gradients[g], weights[g]);
    // Out of the compiler's sight: a broadcast from memory is free, one from a register takes the place of a product.
    asm("" : "+m"(pairs));
    for (int part = 0; part < PARTS; part++) {
        // Two sums side by side: each step of one waits for the step before.
        Float sums[2][GROUP] = {};
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            const Float factor = factors.rows[i][part];
            for (int g = 0; g < GROUP; g++) sums[i % 2][g] = fma(splat_pair(pairs[g] + 2 * i), factor, sums[i % 2][g]);
        }
        for (int g = 0; g < GROUP; g++) {
            float* place = out[g]->values + part * LANES;
            store(place, load(place) + (sums[0][g] + sums[1][g]));
        }
    }
}

template <bool GEOMETRY>
INLINE void backward_block(const Chunk& chunk, const uint32_t* list, uint32_t count, const Block& block,
                           const Factors& factors, Upstream& out, Sums* sums) {
    Upstream pixel = out;
    for (uint32_t begin = 0; begin < count && is_open(pixel.transmittance); begin += LANES) {
        const uint32_t end = count - begin < LANES ? count : begin + LANES;
        for (uint32_t k = begin; k < end; k += GROUP) {
            const Blob* blobs[GROUP];
            for (int g = 0; g < GROUP; g++) blobs[g] = chunk.blobs + list[k + g];
            Float gradients[GROUP], weights[GROUP];
            pass<GEOMETRY>(blobs, block, pixel, weights, gradients);
            Sums* places[GROUP];
            for (int g = 0; g < GROUP; g++) places[g] = sums + list[k + g];
            add_pixels(gradients, weights, factors, places);
        }
    }
    out = pixel;
}

// Moves the moments from the centre of the tile to the blob, which is at (-dx, -dy) from there.
INLINE void shift_moments(Float dx, Float dy, Float* moments) {
    const Float one = moments[0], x = moments[1], y = moments[2];
    moments[1] = fma(dx, one, x);
    moments[2] = fma(dy, one, y);
    moments[3] = fma(dx, x + moments[1], moments[3]);
    moments[4] = fma(dx, y, fma(dy, moments[1], moments[4]));
    moments[5] = fma(dy, y + moments[2], moments[5]);
}

// Reorders the sums as `Sums` describes them, with moments about the blobs.
INLINE void finish_sums(const Chunk& chunk, const Tile& tile, const Sums* sums, Sums* out) {
    for (int first = 0; first < chunk.count; first += LANES) {
        const int count = chunk.count - first < LANES ? chunk.count - first : LANES;
        Float in[SUMS], values[SUMS] = {};
        load_rows(sums[first].values, count, in);
        for (int k = 0; k < 6; k++) values[k] = in[2 * k];
        for (int k = 0; k < 4; k++) values[6 + k] = in[2 * k + 1];
        const Float x = gather(&chunk.blobs[first].x, sizeof(Blob) / sizeof(float));
        const Float y = gather(&chunk.blobs[first].y, sizeof(Blob) / sizeof(float));
        shift_moments(tile.left + 0.5f * TILE - x, tile.top + 0.5f * TILE - y, values);
        for (int part = 0; part < SUMS; part += LANES) {
            Float rows[LANES];
            for (int i = 0; i < LANES; i++) rows[i] = values[part + i];
            transpose(rows);
            for (int i = 0; i < count; i++) store(out[first + i].values + part, rows[i]);
        }
    }
}

template <bool GEOMETRY>
INLINE void backward(const BlendBackwardTask& task, int index) {
    const Picture& picture = task.forward.picture;
    const Tile tile = find_tile(task.forward, index);
    Upstream pixels[BLOCKS];
    Factors factors[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        const Block block = find_block(tile, i / COLUMNS, i % COLUMNS, picture);
        pixels[i] = read_upstream<GEOMETRY>(task, block);
        factors[i] = find_factors(pixels[i], block, tile);
    }
    Sums* out = task.sums + (tile.begin - task.first_entry);
    // The blob that pads lists has sums too.
    Sums sums[CHUNK + 1];
    Chunk chunk;
    bool open = true;
    uint32_t begin = tile.begin;
    for (; begin < tile.end && open; begin += CHUNK) {
        load_chunk(task.forward, begin, tile.end, chunk);
        std::memset(static_cast<void*>(sums), 0, chunk.count * sizeof(Sums));
        open = false;
        const uint16_t* reach = tile.reach + (begin - tile.begin) / LANES * BLOCKS;
        for_blocks(chunk, tile, reach, picture, [&](const Block& block, int i, const uint32_t* list, uint32_t count) {
            backward_block<GEOMETRY>(chunk, list, count, block, factors[i], pixels[i], sums);
            open |= is_open(pixels[i].transmittance);
        });
        finish_sums(chunk, tile, sums, out + (begin - tile.begin));
    }
    // The blobs that are hidden entirely.
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
