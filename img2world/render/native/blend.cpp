// Blends the blobs of one tile into its pixels, front to back.
#include "blocks.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

struct Channels {
    Float transmittance, red, green, blue, depth;
};

INLINE void blend_block(const Chunk& chunk, const uint32_t* list, uint32_t count, const Block& block, Channels& out) {
    Channels sum = out;
    for (uint32_t begin = 0; begin < count && is_open(sum.transmittance); begin += LANES) {
        const uint32_t end = count - begin < LANES ? count : begin + LANES;
        for (uint32_t k = begin; k < end; k += GROUP) {
            const Blob* blobs[GROUP];
            for (int g = 0; g < GROUP; g++) blobs[g] = chunk.blobs + list[k + g];
            const Alphas alphas = find_alphas(blobs, block);
            for (int g = 0; g < GROUP; g++) {
                const Float weight = alphas.used[g] * sum.transmittance;
                sum.transmittance = minus_product(sum.transmittance, alphas.used[g], sum.transmittance);
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
    sum.red = fma(sum.transmittance, splat(task.background[0]), sum.red);
    sum.green = fma(sum.transmittance, splat(task.background[1]), sum.green);
    sum.blue = fma(sum.transmittance, splat(task.background[2]), sum.blue);
    const Float alpha = 1.0f - sum.transmittance;
    const Float depth = select(alpha > 0.0f, sum.depth / alpha, Float{});
    write_block<3>(out.rgb, block, out, {sum.red, sum.green, sum.blue});
    write_block<1>(out.alpha, block, out, {alpha});
    write_block<1>(out.depth, block, out, {depth});
}

}  // namespace

int64_t reach_size(int64_t entries, int64_t tiles) { return (entries / LANES + tiles) * BLOCKS; }

void blend_tile(const BlendTask& task, int index) {
    const Tile tile = find_tile(task, index);
    const Picture& picture = task.picture;
    Channels sums[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        const Block block = find_block(tile, i / COLUMNS, i % COLUMNS, picture);
        sums[i] = {initial_transmittance(block, picture), Float{}, Float{}, Float{}, Float{}};
        prefetch_block<3, true>(picture.rgb, block, picture);
        prefetch_block<1, true>(picture.alpha, block, picture);
        prefetch_block<1, true>(picture.depth, block, picture);
    }
    Chunk chunk;
    bool open = true;
    for (uint32_t begin = tile.begin; begin < tile.end && open; begin += CHUNK) {
        load_chunk(task, begin, tile.end, chunk);
        uint16_t* reach = tile.reach + (begin - tile.begin) / LANES * BLOCKS;
        find_reach(chunk, tile, reach);
        open = false;
        for_blocks(chunk, tile, reach, picture, [&](const Block& block, int i, const uint32_t* list, uint32_t count) {
            blend_block(chunk, list, count, block, sums[i]);
            open |= is_open(sums[i].transmittance);
        });
    }
    for (int i = 0; i < BLOCKS; i++) write_pixels(task, find_block(tile, i / COLUMNS, i % COLUMNS, picture), sums[i]);
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
