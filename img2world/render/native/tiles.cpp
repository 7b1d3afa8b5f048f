#include "tiles.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace img2world {
namespace {

constexpr int RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, RADIX_PASSES = 3;
constexpr int64_t PIECE = 2048;
constexpr int64_t PREFETCH_DISTANCE = 16;

// The drawn Gaussians, nearest first, equal depths in their own order.
std::vector<uint32_t> sort_by_depth(const Projection& projection, int64_t count) {
    struct Item {
        uint32_t key, index;
    };
    std::vector<Item> items, other;
    items.reserve(count);
    std::array<std::array<uint32_t, RADIX>, RADIX_PASSES> histograms{};
    for (int64_t i = 0; i < count; i++) {
        if (projection.radii[i] == 0) continue;
        // The bits of positive floats sort as the floats do.
        const uint32_t key = std::bit_cast<uint32_t>(projection.depths[i]);
        items.push_back({key, static_cast<uint32_t>(i)});
        for (int pass = 0; pass < RADIX_PASSES; pass++) histograms[pass][key >> (pass * RADIX_BITS) & (RADIX - 1)]++;
    }
    other.resize(items.size());
    for (int pass = 0; pass < RADIX_PASSES; pass++) {
        uint32_t sum = 0;
        for (uint32_t& place : histograms[pass]) place = std::exchange(sum, sum + place);
        for (const Item& item : items) other[histograms[pass][item.key >> (pass * RADIX_BITS) & (RADIX - 1)]++] = item;
        items.swap(other);
    }
    std::vector<uint32_t> order(items.size());
    for (size_t rank = 0; rank < items.size(); rank++) order[rank] = items[rank].index;
    return order;
}

// The pixels whose centres are within [low, high], as a half-open range inside [0, size).
struct Range {
    int begin, end;
};
Range pixels_within(float low, float high, int size) {
    // Held in range before they become integers: other floats have no defined value as one. They are
    // above zero then, where the conversion rounds down.
    const float limit = static_cast<float>(size);
    const float first = std::min(std::max(low - 0.5f, 0.0f), limit), end = std::min(std::max(high + 0.5f, 0.0f), limit);
    const int begin = static_cast<int>(first);
    return {begin + (static_cast<float>(begin) < first), static_cast<int>(end)};
}

// The ellipse where a Gaussian has alpha 1/255, about its centre. Each line y = const cuts it at
// x = slope y ± sqrt(reach - (w2 y)²) / w0, and its right end is where the derivative of that is zero.
struct Ellipse {
    float x, y, slope, w2, inverse_w0;
    float reach;        // u² + v² on the edge
    float half_height;
    float right_end_y;  // the left end is opposite
    float log2_opacity;

    // Columns of pixels it can touch between two heights.
    Range columns(float low, float high, int width) const {
        return pixels_within(x + end(-right_end_y, low, high, -inverse_w0), x + end(right_end_y, low, high, inverse_w0), width);
    }

   private:
    float end(float end_y, float low, float high, float per_deviation) const {
        const float at = std::min(std::max(end_y, low), high), v = w2 * at;
        return slope * at + per_deviation * std::sqrt(std::max(0.0f, reach - v * v));
    }
};

Ellipse find_ellipse(const Projection& projection, int64_t i) {
    constexpr float LOG2_MAX_RATIO = 7.994353436858858f, TWICE_LN_2 = 1.3862943611198906f;
    const float *mean = projection.means + 2 * i, *w = projection.whitenings + 3 * i;
    Ellipse ellipse{mean[0], mean[1], -w[1] / w[0], w[2], 1.0f / w[0], 0, 0, 0, std::log2(projection.opacities[i])};
    // A little larger than exact, so that rounding loses no pixel that counts.
    ellipse.reach = TWICE_LN_2 * (ellipse.log2_opacity + LOG2_MAX_RATIO) * (1 + 1e-5f) + 1e-4f;
    const float root = std::sqrt(ellipse.reach);
    ellipse.half_height = root / w[2];
    ellipse.right_end_y = -w[1] * ellipse.half_height / std::sqrt(w[1] * w[1] + w[2] * w[2]);
    return ellipse;
}

// Ranks are in no order in memory, so each access would wait for it. Asks for what is needed some ranks later.
void prefetch(const Projection& projection, int64_t i) {
    __builtin_prefetch(projection.means + 2 * i);
    __builtin_prefetch(projection.whitenings + 3 * i);
    __builtin_prefetch(projection.depths + i);
    __builtin_prefetch(projection.opacities + i);
    __builtin_prefetch(projection.rgb + 3 * i);
}

void fill_blob(const Projection& projection, int64_t i, float log2_opacity, Range rows, Blob& blob) {
    constexpr float ROOT = 0.84932180028801904f;  // sqrt(log2(e) / 2)
    const float *mean = projection.means + 2 * i, *w = projection.whitenings + 3 * i, *rgb = projection.rgb + 3 * i;
    blob.x = mean[0];
    blob.y = mean[1];
    blob.w0 = ROOT * w[0];
    blob.w1 = ROOT * w[1];
    blob.w2 = ROOT * w[2];
    blob.log2_opacity = log2_opacity;
    blob.red = rgb[0];
    blob.green = rgb[1];
    blob.blue = rgb[2];
    blob.depth = projection.depths[i];
    blob.first_row = rows.begin;
    blob.last_row = rows.end - 1;
}

// Tiles of one row that a Gaussian touches.
struct Span {
    uint32_t rank, first_tile, count;
};

// What one piece of the ranks touches.
struct Piece {
    std::vector<Span> spans;
    std::vector<uint32_t> tile_counts;  // [tiles], then where in entries its next one goes
};

Piece touch_tiles(const Projection& projection, TileLists& lists, int64_t begin, int64_t end, int width, int height) {
    const int columns = (width + TILE - 1) / TILE;
    Piece piece;
    piece.tile_counts.resize(lists.num_tiles());
    piece.spans.reserve(4 * (end - begin));
    for (int64_t rank = begin; rank < end; rank++) {
        prefetch(projection, lists.order[std::min(rank + PREFETCH_DISTANCE, end - 1)]);
        const Ellipse ellipse = find_ellipse(projection, lists.order[rank]);
        const float reach = ellipse.half_height;
        const Range rows = pixels_within(ellipse.y - reach, ellipse.y + reach, height);
        fill_blob(projection, lists.order[rank], ellipse.log2_opacity, rows, lists.blobs[rank]);
        uint32_t touched = 0;
        for (int row = rows.begin / TILE; row * TILE < rows.end; row++) {
            const float low = std::max(row * TILE, rows.begin) + 0.5f - ellipse.y;
            const float high = std::min(row * TILE + TILE, rows.end) - 0.5f - ellipse.y;
            const Range pixels = ellipse.columns(std::max(low, -reach), std::min(high, reach), width);
            if (pixels.begin >= pixels.end) continue;
            const int first = pixels.begin / TILE, last = (pixels.end - 1) / TILE;
            const uint32_t tile = static_cast<uint32_t>(row * columns + first), count = last - first + 1;
            piece.spans.push_back({static_cast<uint32_t>(rank), tile, count});
            for (uint32_t i = 0; i < count; i++) piece.tile_counts[tile + i]++;
            touched += count;
        }
        lists.rank_start[rank + 1] = touched;
    }
    return piece;
}

// Turns the pieces' counts into the places of their first entries, and fills the starts of tiles and ranks.
void lay_out(std::vector<Piece>& pieces, TileLists& lists) {
    uint64_t total = 0;
    for (int64_t tile = 0; tile < lists.num_tiles(); tile++) {
        lists.tile_start[tile] = static_cast<uint32_t>(total);
        for (Piece& piece : pieces) {
            const uint32_t count = piece.tile_counts[tile];
            piece.tile_counts[tile] = static_cast<uint32_t>(total);
            total += count;
        }
    }
    if (total > UINT32_MAX) throw std::length_error("the Gaussians cover more than 2^32 tiles of 8 x 8 pixels");
    lists.tile_start[lists.num_tiles()] = static_cast<uint32_t>(total);
    for (int64_t rank = 0; rank < lists.num_ranks(); rank++) lists.rank_start[rank + 1] += lists.rank_start[rank];
    lists.entries.resize(total);
    lists.places.resize(total);
}

}  // namespace

TileLists list_tiles(const Projection& projection, int64_t count, int width, int height, Team& team) {
    const int64_t columns = (width + TILE - 1) / TILE, rows = (height + TILE - 1) / TILE;
    TileLists lists;
    lists.order = sort_by_depth(projection, count);
    lists.blobs.resize(lists.num_ranks());
    lists.tile_start.resize(columns * rows + 1);
    lists.rank_start.resize(lists.num_ranks() + 1);
    // However the ranks are cut into pieces, the lists come out the same.
    const int64_t num_pieces = std::clamp<int64_t>(lists.num_ranks() / PIECE, 1, team.threads());
    const auto piece_begin = [&](int64_t i) { return lists.num_ranks() * i / num_pieces; };
    std::vector<Piece> pieces(num_pieces);
    team.run(num_pieces, [&](int64_t i) {
        pieces[i] = touch_tiles(projection, lists, piece_begin(i), piece_begin(i + 1), width, height);
    });
    lay_out(pieces, lists);
    team.run(num_pieces, [&](int64_t i) {
        uint32_t* place = lists.places.data() + lists.rank_start[piece_begin(i)];
        for (const Span& span : pieces[i].spans) {
            for (uint32_t tile = span.first_tile; tile < span.first_tile + span.count; tile++) {
                const uint32_t entry = pieces[i].tile_counts[tile]++;
                lists.entries[entry] = span.rank;
                *place++ = entry;
            }
        }
    });
    return lists;
}

}  // namespace img2world
