// The tiles of a picture cut into blocks of pixels, and which blobs reach which block.
//
// A tile is drawn in blocks of as many pixels as a vector has lanes. A first pass finds which blobs reach which block,
// with one blob per lane; then each block goes transmittance its own list of blobs, with one pixel per lane and without
// unpredictable branches. Included by blend.cpp and blend_backward.cpp only.
#pragma once

#include "columns.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace {

constexpr int BLOCK_WIDTH = 4, BLOCK_HEIGHT = LANES / BLOCK_WIDTH;
constexpr int COLUMNS = TILE / BLOCK_WIDTH, BANDS = TILE / BLOCK_HEIGHT, BLOCKS = COLUMNS * BANDS;
// Blobs of a tile that are processed at once, so that they and their lists stay in the first-level cache.
constexpr int CHUNK = 128;
constexpr uint32_t PREFETCH_DISTANCE = 24;
// Blobs processed side by side, to hide the latency of the arithmetic.
constexpr int GROUP = 4;

// Some blobs of a tile, and behind them an invisible one that pads lists.
struct Chunk {
    int count;
    Blob blobs[CHUNK + 1];
};

// The blobs of a chunk that reach each block of a band, front to back. Each list has room for one more vector, and its
// last group is padded with the invisible blob.
struct Lists {
    uint32_t count[COLUMNS];
    uint32_t blobs[COLUMNS][CHUNK + LANES];
};

struct Tile {
    int left, top;
    uint32_t begin, end;  // entries
    // Which of its blobs reach which block: for each vector of blobs and each block a number with a bit per lane.
    uint16_t* reach;
};

INLINE Tile find_tile(const BlendTask& task, int index) {
    const int columns = (task.picture.width + TILE - 1) / TILE;
    const uint32_t begin = task.tile_start[index], end = task.tile_start[index + 1];
    // This leaves room for at least as many vectors as each tile has.
    const int64_t vector = begin / LANES + index;
    return {index % columns * TILE, index / columns * TILE, begin, end, task.reach + vector * BLOCKS};
}

INLINE void load_chunk(const BlendTask& task, uint32_t begin, uint32_t end, Chunk& chunk) {
    chunk.count = static_cast<int>(end - begin < CHUNK ? end - begin : CHUNK);
    for (int i = 0; i < chunk.count; i++) {
        const uint32_t ahead = begin + i + PREFETCH_DISTANCE;
        __builtin_prefetch(task.blobs + task.entries[ahead < end ? ahead : end - 1]);
        chunk.blobs[i] = task.blobs[task.entries[begin + i]];
    }
    chunk.blobs[CHUNK] = {};
    chunk.blobs[CHUNK].log2_opacity = -100.0f;
}

// Finds the blocks that the blobs of a chunk reach. An ellipse cuts a band in an interval of columns, so the result is
// exact.
INLINE void find_reach(const Chunk& chunk, const Tile& tile, uint16_t* reach) {
    for (int i = 0; i < chunk.count; i += LANES, reach += BLOCKS) {
        Float fields[16];
        load_rows(&chunk.blobs[i].x, LANES, fields);
        const Float x = fields[0] - static_cast<float>(tile.left), y = fields[1] - static_cast<float>(tile.top);
        const Float w2 = fields[4], slope = fields[10], inverse_w0 = fields[11], extent = fields[12];
        const Float half_height = fields[14], right_end_y = fields[15];
        const int rest = chunk.count - i;
        const uint32_t exist = rest < LANES ? (1u << rest) - 1 : (1u << LANES) - 1;
        for (int band = 0; band < BANDS; band++) {
            const float first_row = band * BLOCK_HEIGHT + 0.5f, last_row = first_row + (BLOCK_HEIGHT - 1);
            const Float low = maximum(first_row - y, -half_height), high = minimum(last_row - y, half_height);
            const Float right_y = minimum(maximum(right_end_y, low), high), left_y = minimum(maximum(-right_end_y, low), high);
            const Float right_v = w2 * right_y, left_v = w2 * left_y;
            const Float right = square_root(maximum(minus_product(extent, right_v, right_v), Float{}));
            const Float left = square_root(maximum(minus_product(extent, left_v, left_v), Float{}));
            const Float end = fma(inverse_w0, right, fma(slope, right_y, x));
            const Float begin = minus_product(fma(slope, left_y, x), inverse_w0, left);
            const uint32_t there = bits_at_least(high, low) & exist;
            for (int column = 0; column < COLUMNS; column++) {
                const float first = column * BLOCK_WIDTH + 0.5f, last = first + (BLOCK_WIDTH - 1);
                const uint32_t bits = there & bits_at_least(end, splat(first)) & bits_at_least(splat(last), begin);
                reach[band * COLUMNS + column] = static_cast<uint16_t>(bits);
            }
        }
    }
}

INLINE void list_band(const Chunk& chunk, const uint16_t* reach, int band, Lists& lists) {
    for (int column = 0; column < COLUMNS; column++) {
        const uint16_t* bits = reach + band * COLUMNS + column;
        uint32_t* blobs = lists.blobs[column];
        uint32_t count = 0;
        for (int i = 0; i < chunk.count; i += LANES, bits += BLOCKS) count = append_numbers(*bits, i, blobs, count);
        lists.count[column] = count;
        for (int i = 0; i < LANES; i++) blobs[count + i] = CHUNK;
    }
}

struct Block {
    int left, top;
    bool whole;  // all its pixels are inside the picture
    Float x, y;  // pixel centres
};

INLINE Block find_block(const Tile& tile, int band, int column, const Picture& picture) {
    Float x, y;
    for (int i = 0; i < LANES; i++) {
        x[i] = i % BLOCK_WIDTH + 0.5f;
        y[i] = i / BLOCK_WIDTH + 0.5f;
    }
    const int left = tile.left + column * BLOCK_WIDTH, top = tile.top + band * BLOCK_HEIGHT;
    const bool whole = left + BLOCK_WIDTH <= picture.width && top + BLOCK_HEIGHT <= picture.height;
    return {left, top, whole, x + static_cast<float>(left), y + static_cast<float>(top)};
}

INLINE int64_t corner_of(const Block& block, int width) { return static_cast<int64_t>(block.top) * width + block.left; }
static_assert(BLOCK_WIDTH == 4 && BLOCK_HEIGHT == QUADS);

// Calls use(lane, pixel) for the pixels of a block that are inside the picture.
template <typename Use>
INLINE void for_pixels(const Block& block, const Picture& picture, const Use& use) {
    for (int i = 0; i < LANES; i++) {
        const int x = block.left + i % BLOCK_WIDTH, y = block.top + i / BLOCK_WIDTH;
        if (x < picture.width && y < picture.height) use(i, static_cast<int64_t>(y) * picture.width + x);
    }
}

// The channels of a block of a picture, zero outside.
template <int CHANNELS>
INLINE void read_block(const float* values, const Block& block, const Picture& picture, Float (&out)[CHANNELS]) {
    for (int k = 0; k < CHANNELS; k++) out[k] = Float{};
    if (!block.whole) {
        for_pixels(block, picture, [&](int i, int64_t pixel) {
            for (int k = 0; k < CHANNELS; k++) out[k][i] = values[CHANNELS * pixel + k];
        });
        return;
    }
    const float* corner = values + CHANNELS * corner_of(block, picture.width);
    Quad quads[CHANNELS][BLOCK_HEIGHT];
    for (int row = 0; row < BLOCK_HEIGHT; row++) {
        Quad pixels[CHANNELS];
        load_pixels(corner + CHANNELS * static_cast<int64_t>(picture.width) * row, pixels);
        for (int k = 0; k < CHANNELS; k++) quads[k][row] = pixels[k];
    }
    for (int k = 0; k < CHANNELS; k++) out[k] = join(quads[k]);
}

template <int CHANNELS>
INLINE void write_block(float* values, const Block& block, const Picture& picture, const Float (&in)[CHANNELS]) {
    if (!block.whole) {
        for_pixels(block, picture, [&](int i, int64_t pixel) {
            for (int k = 0; k < CHANNELS; k++) values[CHANNELS * pixel + k] = in[k][i];
        });
        return;
    }
    float* corner = values + CHANNELS * corner_of(block, picture.width);
    Quad quads[CHANNELS][BLOCK_HEIGHT];
    for (int k = 0; k < CHANNELS; k++) split(in[k], quads[k]);
    for (int row = 0; row < BLOCK_HEIGHT; row++) {
        Quad pixels[CHANNELS];
        for (int k = 0; k < CHANNELS; k++) pixels[k] = quads[k][row];
        store_pixels(corner + CHANNELS * static_cast<int64_t>(picture.width) * row, pixels);
    }
}

// Prefetches the memory of a block, which takes longer than drawing it: call this well before.
template <int CHANNELS, bool TO_WRITE>
INLINE void prefetch_block(const float* values, const Block& block, const Picture& picture) {
    const float* corner = values + CHANNELS * corner_of(block, picture.width);
    for (int row = 0; row < BLOCK_HEIGHT && block.top + row < picture.height; row++) {
        __builtin_prefetch(corner + CHANNELS * static_cast<int64_t>(picture.width) * row, TO_WRITE);
    }
}

// The transmittance to begin with: one inside the picture, zero outside.
INLINE Float initial_transmittance(const Block& block, const Picture& picture) {
    if (block.whole) return splat(1.0f);
    Float light = {};
    for_pixels(block, picture, [&](int i, int64_t) { light[i] = 1.0f; });
    return light;
}

INLINE bool is_open(Float transmittance) { return bits_at_least(transmittance, splat(MIN_TRANSMITTANCE)) != 0; }

// Opacities of some blobs at some pixels, zero below 1/255; and where they have a gradient, which clipped ones do not.
struct Alphas {
    Float used[GROUP];
    Int has_gradient[GROUP];
};
INLINE Alphas find_alphas(const Blob* const* blobs, const Block& block) {
    constexpr float LOG2_MIN_ALPHA = -7.994353436858858f;
    Float dx[GROUP], dy[GROUP], exponent[GROUP];
    for (int g = 0; g < GROUP; g++) dx[g] = block.x - blobs[g]->x;
    for (int g = 0; g < GROUP; g++) dy[g] = block.y - blobs[g]->y;
    for (int g = 0; g < GROUP; g++) dx[g] = blobs[g]->w0 * dx[g];
    for (int g = 0; g < GROUP; g++) dx[g] = fma(splat(blobs[g]->w1), dy[g], dx[g]);
    for (int g = 0; g < GROUP; g++) dy[g] = blobs[g]->w2 * dy[g];
    for (int g = 0; g < GROUP; g++) exponent[g] = minus_product(splat(blobs[g]->log2_opacity), dy[g], dy[g]);
    for (int g = 0; g < GROUP; g++) exponent[g] = minus_product(exponent[g], dx[g], dx[g]);
    Alphas alphas;
    exp2_each(exponent, alphas.used);
    for (int g = 0; g < GROUP; g++) alphas.has_gradient[g] = alphas.used[g] < MAX_ALPHA;
    for (int g = 0; g < GROUP; g++) {
        alphas.used[g] = select(exponent[g] >= LOG2_MIN_ALPHA, minimum(alphas.used[g], splat(MAX_ALPHA)), Float{});
    }
    return alphas;
}

// Calls use(block, number, list, count) for the blocks of a tile and the blobs of a chunk that reach them.
template <typename Use>
INLINE void for_blocks(const Chunk& chunk, const Tile& tile, const uint16_t* reach, const Picture& picture, const Use& use) {
    Lists lists;
    for (int band = 0; band < BANDS; band++) {
        list_band(chunk, reach, band, lists);
        for (int column = 0; column < COLUMNS; column++) {
            use(find_block(tile, band, column, picture), band * COLUMNS + column, lists.blobs[column], lists.count[column]);
        }
    }
}

}  // namespace
}  // namespace img2world
