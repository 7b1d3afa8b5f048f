// Blobs to the pixels of one tile, front to back, forward and backward. A lane is a pixel.
//
// The backward pass runs front to back too: what is still to come behind a blob is the finished pixel less
// what has been passed, so nothing has to be stored per blob and pixel.
#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

// A vector covers one or more whole rows of a tile, or a part of one: then the tile has several groups of columns.
constexpr int ROWS_PER_VECTOR = LANES > TILE ? LANES / TILE : 1;
constexpr int GROUPS = LANES < TILE ? TILE / LANES : 1;
constexpr int GROUP_WIDTH = TILE / GROUPS;
constexpr int VECTORS = TILE / ROWS_PER_VECTOR;
// How often to look for finished rows.
constexpr uint32_t BATCH = 16;

struct Tile {
    int left, top;
    uint32_t begin, end;  // entries
    Float x[GROUPS], y;   // pixel centres; y of the first vector
};

INLINE Tile find_tile(const BlendTask& task, int index) {
    const int columns = (task.picture.width + TILE - 1) / TILE;
    Tile tile;
    tile.left = index % columns * TILE;
    tile.top = index / columns * TILE;
    tile.begin = task.tile_start[index];
    tile.end = task.tile_start[index + 1];
    for (int i = 0; i < LANES; i++) {
        for (int g = 0; g < GROUPS; g++) tile.x[g][i] = tile.left + g * GROUP_WIDTH + i % GROUP_WIDTH + 0.5f;
        tile.y[i] = tile.top + i / GROUP_WIDTH + 0.5f;
    }
    return tile;
}

// Asks for a blob that comes a little later: blobs of one tile are far apart in memory.
INLINE void prefetch(const BlendTask& task, const Tile& tile, uint32_t entry) {
    const uint32_t ahead = entry + 6 < tile.end ? entry + 6 : tile.end - 1;
    __builtin_prefetch(task.blobs + task.entries[ahead]);
}

// Calls use(lane, pixel) for the pixels of one vector that are inside the picture.
template <typename Use>
INLINE void for_pixels(const Tile& tile, int width, int height, int group, int vector, const Use& use) {
    for (int i = 0; i < LANES; i++) {
        const int x = tile.left + group * GROUP_WIDTH + i % GROUP_WIDTH;
        const int y = tile.top + vector * ROWS_PER_VECTOR + i / GROUP_WIDTH;
        if (x < width && y < height) use(i, static_cast<int64_t>(y) * width + x);
    }
}

// The vectors that a blob can reach, of those still open.
struct Span {
    int first, last;
};
INLINE Span reach(const Blob& blob, const Tile& tile, Span open) {
    const int first = (blob.first_row - tile.top) / ROWS_PER_VECTOR, last = (blob.last_row - tile.top) / ROWS_PER_VECTOR;
    return {first > open.first ? first : open.first, last < open.last ? last : open.last};
}

// Unclipped opacity of a blob at some pixels, and what is used of it: zero below 1/255.
struct Alpha {
    Float full, used;
};
INLINE Float log2_alpha(const Blob& blob, Float u_of_x, Float dy) {
    const Float u = fma(splat(blob.w1), dy, u_of_x), v = blob.w2 * dy;
    return minus_product(minus_product(splat(blob.log2_opacity), v, v), u, u);
}
INLINE Alpha alpha_from_log2(Float exponent, Float lowest) {
    Alpha alpha;
    alpha.full = exp2(exponent);
    alpha.used = select(exponent >= lowest, minimum(alpha.full, splat(MAX_ALPHA)), Float{});
    return alpha;
}
constexpr float LOG2_MIN_ALPHA = -7.994353436858858f;

struct Channels {
    Float through, red, green, blue, depth;
};

void write_pixels(const BlendTask& task, const Tile& tile, int group, int vector, Channels sum) {
    const Picture& out = task.picture;
    sum.red = fma(sum.through, splat(task.background[0]), sum.red);
    sum.green = fma(sum.through, splat(task.background[1]), sum.green);
    sum.blue = fma(sum.through, splat(task.background[2]), sum.blue);
    const Float alpha = 1.0f - sum.through;
    const Float depth = select(alpha > 0.0f, sum.depth / alpha, Float{});
    for_pixels(tile, out.width, out.height, group, vector, [&](int i, int64_t pixel) {
        out.rgb[3 * pixel] = sum.red[i];
        out.rgb[3 * pixel + 1] = sum.green[i];
        out.rgb[3 * pixel + 2] = sum.blue[i];
        out.alpha[pixel] = alpha[i];
        out.depth[pixel] = depth[i];
    });
}

INLINE bool is_open(const Channels (*sums)[GROUPS], int vector) {
    for (int g = 0; g < GROUPS; g++) {
        if (any_at_least(sums[vector][g].through, splat(MIN_TRANSMITTANCE))) return true;
    }
    return false;
}

}  // namespace

void blend_tile(const BlendTask& task, int index) {
    const Tile tile = find_tile(task, index);
    const Float lowest = splat(LOG2_MIN_ALPHA);
    Channels sums[VECTORS][GROUPS] = {};
    for (auto& row : sums) {
        for (Channels& sum : row) sum.through = splat(1.0f);
    }
    uint32_t* reached = task.reached + static_cast<int64_t>(index) * TILE;
    for (int v = 0; v < VECTORS; v++) reached[v] = tile.begin;
    Span open{0, VECTORS - 1};
    for (uint32_t batch = tile.begin; batch < tile.end && open.first <= open.last; batch += BATCH) {
        const uint32_t batch_end = tile.end - batch < BATCH ? tile.end : batch + BATCH;
        for (uint32_t entry = batch; entry < batch_end; entry++) {
            prefetch(task, tile, entry);
            const Blob& blob = task.blobs[task.entries[entry]];
            const Span span = reach(blob, tile, open);
            Float u_of_x[GROUPS];
            for (int g = 0; g < GROUPS; g++) u_of_x[g] = blob.w0 * (tile.x[g] - blob.x);
            for (int v = span.first; v <= span.last; v++) {
                const Float dy = tile.y - blob.y + static_cast<float>(v * ROWS_PER_VECTOR);
                for (int g = 0; g < GROUPS; g++) {
                    const Float exponent = log2_alpha(blob, u_of_x[g], dy);
                    if (!any_at_least(exponent, lowest)) continue;
                    Channels& sum = sums[v][g];
                    const Float weight = alpha_from_log2(exponent, lowest).used * sum.through;
                    sum.through -= weight;
                    sum.red = fma(weight, splat(blob.red), sum.red);
                    sum.green = fma(weight, splat(blob.green), sum.green);
                    sum.blue = fma(weight, splat(blob.blue), sum.blue);
                    sum.depth = fma(weight, splat(blob.depth), sum.depth);
                }
            }
        }
        for (int v = open.first; v <= open.last; v++) reached[v] = batch_end;
        while (open.first <= open.last && !is_open(sums, open.first)) open.first++;
        while (open.first <= open.last && !is_open(sums, open.last)) open.last--;
    }
    for (int v = 0; v < VECTORS; v++) {
        for (int g = 0; g < GROUPS; g++) write_pixels(task, tile, g, v, sums[v][g]);
    }
}

namespace {

// Upstream gradients of some pixels, and what of the loss is still to come behind the blobs passed.
struct Upstream {
    Float through, behind;
    Float red, green, blue, depth, alpha;  // depth: of the sum of weighted depths; alpha: of the sum of weights
};

template <bool GEOMETRY>
INLINE Upstream read_upstream(const BlendBackwardTask& task, const Tile& tile, int group, int vector) {
    Upstream up = {};
    const Picture& drawn = task.forward.picture;
    up.through = splat(1.0f);
    for_pixels(tile, drawn.width, drawn.height, group, vector, [&](int i, int64_t pixel) {
        const float *rgb = drawn.rgb + 3 * pixel, *gradient = task.rgb + 3 * pixel;
        up.red[i] = gradient[0];
        up.green[i] = gradient[1];
        up.blue[i] = gradient[2];
        up.behind[i] = rgb[0] * gradient[0] + rgb[1] * gradient[1] + rgb[2] * gradient[2];
        if (GEOMETRY && drawn.alpha[pixel] > 0) {
            // depth = sum / alpha, so a change of alpha changes the depth too.
            up.depth[i] = task.depth[pixel] / drawn.alpha[pixel];
            up.alpha[i] = task.alpha[pixel] - up.depth[i] * drawn.depth[pixel];
            up.behind[i] += task.alpha[pixel] * drawn.alpha[pixel];
        }
    });
    return up;
}

// Sums over pixels so far of what PARTIALS names.
struct Moments {
    Float one, x, y, xx, xy, yy, red, green, blue, depth;
};

// Writes the sums over lanes.
INLINE void store_sums(const Moments& sums, float* out) {
    const Four first = sum_lanes(sums.one, sums.x, sums.y, sums.xx);
    const Four second = sum_lanes(sums.xy, sums.yy, sums.red, sums.green);
    const Four third = sum_lanes(sums.blue, sums.depth, Float{}, Float{});
    std::memcpy(out, &first, sizeof first);
    std::memcpy(out + 4, &second, sizeof second);
    std::memcpy(out + 8, &third, 2 * sizeof(float));
}

// Goes past a blob at some pixels: adds its share of colour and depth, and returns dL / d(ln alpha).
template <bool GEOMETRY>
INLINE Float pass(const Blob& blob, Alpha alpha, Upstream& pixel, Moments& sums) {
    const Float weight = alpha.used * pixel.through;
    Float value = fma(splat(blob.blue), pixel.blue, fma(splat(blob.green), pixel.green, blob.red * pixel.red));
    if (GEOMETRY) {
        value += fma(splat(blob.depth), pixel.depth, pixel.alpha);
        sums.depth = fma(weight, pixel.depth, sums.depth);
    }
    sums.red = fma(weight, pixel.red, sums.red);
    sums.green = fma(weight, pixel.green, sums.green);
    sums.blue = fma(weight, pixel.blue, sums.blue);
    pixel.behind = minus_product(pixel.behind, weight, value);
    pixel.through -= weight;
    // More alpha shows more of the blob, and less of all that is behind it. Clipped alpha has no slope.
    const Float hidden = pixel.behind * alpha.used * reciprocal(1.0f - alpha.used);
    return select(alpha.full < MAX_ALPHA, fma(weight, value, -hidden), Float{});
}

// Goes past a blob at one group of columns.
template <bool GEOMETRY>
INLINE void pass_columns(const Blob& blob, const Tile& tile, int group, Span span, Upstream (*pixels)[GROUPS],
                         Moments& sums) {
    const Float dx = tile.x[group] - blob.x, u_of_x = blob.w0 * dx, lowest = splat(LOG2_MIN_ALPHA);
    // dx is the same in all rows, so the moments in x wait until the rows are added up.
    Float one = {}, y = {}, yy = {};
    for (int v = span.first; v <= span.last; v++) {
        const Float dy = tile.y - blob.y + static_cast<float>(v * ROWS_PER_VECTOR);
        const Float exponent = log2_alpha(blob, u_of_x, dy);
        if (!any_at_least(exponent, lowest)) continue;
        const Float gradient = pass<GEOMETRY>(blob, alpha_from_log2(exponent, lowest), pixels[v][group], sums);
        const Float gradient_y = gradient * dy;
        one += gradient;
        y += gradient_y;
        yy = fma(gradient_y, dy, yy);
    }
    const Float one_x = one * dx;
    sums.one += one;
    sums.x += one_x;
    sums.xx = fma(one_x, dx, sums.xx);
    sums.y += y;
    sums.xy = fma(y, dx, sums.xy);
    sums.yy += yy;
}

template <bool GEOMETRY>
INLINE void backward(const BlendBackwardTask& task, int index) {
    const BlendTask& forward = task.forward;
    const Tile tile = find_tile(forward, index);
    const uint32_t* reached = forward.reached + static_cast<int64_t>(index) * TILE;
    Upstream pixels[VECTORS][GROUPS];
    uint32_t last = tile.begin;
    for (int v = 0; v < VECTORS; v++) {
        for (int g = 0; g < GROUPS; g++) pixels[v][g] = read_upstream<GEOMETRY>(task, tile, g, v);
        last = reached[v] > last ? reached[v] : last;
    }
    float* out = task.partials + static_cast<int64_t>(tile.begin - task.first_entry) * PARTIALS;
    Span open{0, VECTORS - 1};
    for (uint32_t entry = tile.begin; entry < last; entry++, out += PARTIALS) {
        prefetch(forward, tile, entry);
        while (open.first <= open.last && reached[open.first] <= entry) open.first++;
        while (open.first <= open.last && reached[open.last] <= entry) open.last--;
        const Blob& blob = forward.blobs[forward.entries[entry]];
        const Span span = reach(blob, tile, open);
        Moments sums = {};
        for (int g = 0; g < GROUPS; g++) pass_columns<GEOMETRY>(blob, tile, g, span, pixels, sums);
        store_sums(sums, out);
    }
    // Entries behind what no light passes.
    for (uint32_t entry = last; entry < tile.end; entry++, out += PARTIALS) {
        for (int k = 0; k < PARTIALS; k++) out[k] = 0;
    }
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
