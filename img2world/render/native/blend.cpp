// Blobs to the pixels of one tile, front to back, forward and backward.
//
// A tile is drawn in blocks of as many pixels as a vector has lanes. First it is found out which blobs can reach
// which block, with a blob in each lane; then each block goes through its own list of blobs, with a pixel in each
// lane and no branch that a processor could guess wrong. The backward pass runs front to back too: what is still to
// come behind a blob is the finished pixel less what has been passed, so nothing has to be stored per blob and pixel.
#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
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
