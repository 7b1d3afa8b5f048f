// Blobs to the pixels of one tile, front to back.
#include "blocks.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

struct Channels {
    Float through, red, green, blue, depth;
};

INLINE void blend_block(const Chunk& chunk, const uint32_t* list, uint32_t count, const Block& block, Channels& out) {
    Channels sum = out;
    for (uint32_t begin = 0; begin < count && is_open(sum.through); begin += LANES) {
        const uint32_t end = count - begin < LANES ? count : begin + LANES;
        for (uint32_t k = begin; k < end; k += GROUP) {
            const Blob* blobs[GROUP];
            for (int g = 0; g < GROUP; g++) blobs[g] = chunk.blobs + list[k + g];
            const Alphas alphas = find_alphas(blobs, block);
            for (int g = 0; g < GROUP; g++) {
                const Float weight = alphas.used[g] * sum.through;
                sum.through -= weight;
                sum.red = fma(weight, splat(blobs[g]->red), sum.red);
                sum.green = fma(weight, splat(blobs[g]->green), sum.green);
                sum.blue = fma(weight, splat(blobs[g]->blue), sum.blue);
                sum.depth = fma(weight, splat(blobs[g]->depth), sum.depth);
            }
        }
    }
    out = sum;
}

void write_pixels(const BlendTask& task, const Block& block, Channels sum) {
    const Picture& out = task.picture;
    sum.red = fma(sum.through, splat(task.background[0]), sum.red);
    sum.green = fma(sum.through, splat(task.background[1]), sum.green);
    sum.blue = fma(sum.through, splat(task.background[2]), sum.blue);
    const Float alpha = 1.0f - sum.through;
    const Float depth = select(alpha > 0.0f, sum.depth / alpha, Float{});
    write_channel(out.rgb, 3, block, out, sum.red);
    write_channel(out.rgb + 1, 3, block, out, sum.green);
    write_channel(out.rgb + 2, 3, block, out, sum.blue);
    write_channel(out.alpha, 1, block, out, alpha);
    write_channel(out.depth, 1, block, out, depth);
}

}  // namespace

void blend_tile(const BlendTask& task, int index) {
    const Tile tile = find_tile(task, index);
    Channels sums[BANDS * COLUMNS] = {};
    for (int i = 0; i < BANDS * COLUMNS; i++) {
        sums[i].through = full_light(find_block(tile, i / COLUMNS, i % COLUMNS, task.picture), task.picture);
    }
    Chunk chunk;
    bool open = true;
    for (uint32_t begin = tile.begin; begin < tile.end && open; begin += CHUNK) {
        load_chunk(task, begin, tile.end, chunk);
        open = false;
        for_blocks(chunk, tile, task.picture, [&](const Block& block, int i, const uint32_t* list, uint32_t count) {
            blend_block(chunk, list, count, block, sums[i]);
            open |= is_open(sums[i].through);
        });
    }
    for (int i = 0; i < BANDS * COLUMNS; i++) write_pixels(task, find_block(tile, i / COLUMNS, i % COLUMNS, task.picture), sums[i]);
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
