// The tiles of a picture cut into blocks of pixels, and which blobs reach which block.
//
// A tile is drawn in blocks of as many pixels as a vector has lanes. First it is found out which blobs can reach
// which block, with a blob in each lane; then each block goes through its own list of blobs, with a pixel in each
// lane and no branch that a processor could guess wrong. Included by blend.cpp and blend_backward.cpp only.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace {

constexpr int BLOCK_WIDTH = 4, BLOCK_HEIGHT = LANES / BLOCK_WIDTH;
constexpr int COLUMNS = TILE / BLOCK_WIDTH, BANDS = TILE / BLOCK_HEIGHT;
// Blobs of a tile taken at once, so that they and what is known of them stay in the first cache.
constexpr int CHUNK = 128;
constexpr uint32_t PREFETCH_DISTANCE = 24;
// Blobs worked on side by side: each waits long for its own results, so another one fills the time.
constexpr int GROUP = 4;

// Some blobs of a tile, and what decides where they reach, a blob in each lane. One more blob is seen nowhere.
struct Chunk {
    int count;
    Blob blobs[CHUNK + 1];
    float x[CHUNK + 1], y[CHUNK + 1], w2[CHUNK], slope[CHUNK], inverse_w0[CHUNK], reach[CHUNK], half_height[CHUNK],
        right_end_y[CHUNK];
};

// The blobs of a chunk that reach each block of a band, front to back. Behind each list there is room for a vector,
// and the one that is seen nowhere fills the last group.
struct Lists {
    uint32_t count[COLUMNS];
    uint32_t blobs[COLUMNS][CHUNK + LANES];
};

struct Tile {
    int left, top;
    uint32_t begin, end;  // entries
};

INLINE Tile find_tile(const BlendTask& task, int index) {
    const int columns = (task.picture.width + TILE - 1) / TILE;
    return {index % columns * TILE, index / columns * TILE, task.tile_start[index], task.tile_start[index + 1]};
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
    chunk.x[CHUNK] = chunk.y[CHUNK] = 0;
    for (int i = 0; i < chunk.count; i += LANES) {
        Float fields[16];
        load_rows(&chunk.blobs[i].x, LANES, fields);
        store(chunk.x + i, fields[0]);
        store(chunk.y + i, fields[1]);
        store(chunk.w2 + i, fields[4]);
        store(chunk.slope + i, fields[10]);
        store(chunk.inverse_w0 + i, fields[11]);
        store(chunk.reach + i, fields[12]);
        store(chunk.half_height + i, fields[14]);
        store(chunk.right_end_y + i, fields[15]);
    }
}

// The ellipse cut by a band is an interval of columns, so this loses no block and adds none.
INLINE void list_band(const Chunk& chunk, const Tile& tile, int band, Lists& lists) {
    const float low_row = tile.top + band * BLOCK_HEIGHT + 0.5f, high_row = low_row + (BLOCK_HEIGHT - 1);
    for (uint32_t& count : lists.count) count = 0;
    for (int i = 0; i < chunk.count; i += LANES) {
        const Float x = load(chunk.x + i) - static_cast<float>(tile.left), y = load(chunk.y + i);
        const Float half_height = load(chunk.half_height + i), right_end_y = load(chunk.right_end_y + i);
        const Float low = maximum(low_row - y, -half_height), high = minimum(high_row - y, half_height);
        const Float right_y = minimum(maximum(right_end_y, low), high), left_y = minimum(maximum(-right_end_y, low), high);
        const Float w2 = load(chunk.w2 + i), slope = load(chunk.slope + i), reach = load(chunk.reach + i);
        const Float right_v = w2 * right_y, left_v = w2 * left_y, inverse_w0 = load(chunk.inverse_w0 + i);
        const Float right = square_root(maximum(minus_product(reach, right_v, right_v), Float{}));
        const Float left = square_root(maximum(minus_product(reach, left_v, left_v), Float{}));
        const Float end = fma(inverse_w0, right, fma(slope, right_y, x));
        const Float begin = minus_product(fma(slope, left_y, x), inverse_w0, left);
        const int rest = chunk.count - i;
        const uint32_t there = bits_at_least(high, low) & (rest < LANES ? (1u << rest) - 1 : ~0u);
        for (int column = 0; column < COLUMNS; column++) {
            const float first = column * BLOCK_WIDTH + 0.5f, last = first + (BLOCK_WIDTH - 1);
            const uint32_t bits = there & bits_at_least(end, splat(first)) & bits_at_least(splat(last), begin);
            lists.count[column] = append_numbers(bits, i, lists.blobs[column], lists.count[column]);
        }
    }
    for (int column = 0; column < COLUMNS; column++) {
        for (int i = 0; i < LANES; i++) lists.blobs[column][lists.count[column] + i] = CHUNK;
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

// Where the pixels of a block are from its corner on.
INLINE Int pixel_offsets(int width) {
    const Int lane = lane_numbers();
    return (lane >> 2) * width + (lane & 3);
}
static_assert(BLOCK_WIDTH == 4);

// Calls use(lane, pixel) for the pixels of a block that are inside the picture.
template <typename Use>
INLINE void for_pixels(const Block& block, const Picture& picture, const Use& use) {
    for (int i = 0; i < LANES; i++) {
        const int x = block.left + i % BLOCK_WIDTH, y = block.top + i / BLOCK_WIDTH;
        if (x < picture.width && y < picture.height) use(i, static_cast<int64_t>(y) * picture.width + x);
    }
}

// One channel of a picture, zero outside of it.
INLINE Float read_channel(const float* values, int channels, const Block& block, const Picture& picture) {
    if (block.whole) {
        return gather_at(values + channels * corner_of(block, picture.width), pixel_offsets(picture.width) * channels);
    }
    Float out = {};
    for_pixels(block, picture, [&](int i, int64_t pixel) { out[i] = values[channels * pixel]; });
    return out;
}

INLINE void write_channel(float* values, int channels, const Block& block, const Picture& picture, Float in) {
    if (block.whole) {
        scatter_at(values + channels * corner_of(block, picture.width), pixel_offsets(picture.width) * channels, in);
        return;
    }
    for_pixels(block, picture, [&](int i, int64_t pixel) { values[channels * pixel] = in[i]; });
}

// How much of the light behind comes through: one at first, none where there is no picture.
INLINE Float full_light(const Block& block, const Picture& picture) {
    if (block.whole) return splat(1.0f);
    Float light = {};
    for_pixels(block, picture, [&](int i, int64_t) { light[i] = 1.0f; });
    return light;
}

INLINE bool is_open(Float through) { return bits_at_least(through, splat(MIN_TRANSMITTANCE)) != 0; }

// Opacities of some blobs at some pixels: zero below 1/255. Where one is clipped it has no slope.
struct Alphas {
    Float used[GROUP];
    Int sloped[GROUP];
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
    for (int g = 0; g < GROUP; g++) alphas.sloped[g] = alphas.used[g] < MAX_ALPHA;
    for (int g = 0; g < GROUP; g++) {
        alphas.used[g] = select(exponent[g] >= LOG2_MIN_ALPHA, minimum(alphas.used[g], splat(MAX_ALPHA)), Float{});
    }
    return alphas;
}

// Calls use(block, number, list, count) for the blocks of a tile and the blobs of a chunk that reach them.
template <typename Use>
INLINE void for_blocks(const Chunk& chunk, const Tile& tile, const Picture& picture, const Use& use) {
    Lists lists;
    for (int band = 0; band < BANDS; band++) {
        list_band(chunk, tile, band, lists);
        for (int column = 0; column < COLUMNS; column++) {
            use(find_block(tile, band, column, picture), band * COLUMNS + column, lists.blobs[column], lists.count[column]);
        }
    }
}

}  // namespace
}  // namespace img2world
