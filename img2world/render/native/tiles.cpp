#include "tiles.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "pixel_range.hpp"

namespace img2world {
namespace {

constexpr int RADIX_BITS = 8, RADIX = 1 << RADIX_BITS, MAX_PASSES = 4;
constexpr int64_t MIN_PIECE = 64;  // Gaussians; even a few can touch many tiles
constexpr int64_t PREFETCH_DISTANCE = 16;

// Columns of pixels that an ellipse can touch between two heights about its centre.
PixelRange columns_between(const Blob& blob, float low, float high, int width) {
    const auto end = [&](float end_y, float per_deviation) {
        const float at = std::min(std::max(end_y, low), high), v = blob.w2 * at;
        return blob.slope * at + per_deviation * std::sqrt(std::max(0.0f, blob.reach - v * v));
    };
    return pixels_within(blob.x + end(-blob.right_end_y, -blob.inverse_w0), blob.x + end(blob.right_end_y, blob.inverse_w0),
                         width);
}

}  // namespace

// Stable: equal depths keep their order.
void TileLists::sort_by_depth(const float* depths, int64_t count) {
    order_.resize(count);
    size_t drawn = 0;
    uint32_t lowest = UINT32_MAX, highest = 0;
    for (int64_t i = 0; i < count; i++) {
        if (depths[i] == 0) continue;
        // Positive floats are ordered like their bits.
        const uint32_t key = std::bit_cast<uint32_t>(depths[i]);
        order_[drawn++] = {key, static_cast<uint32_t>(i)};
        lowest = std::min(lowest, key);
        highest = std::max(highest, key);
    }
    order_.resize(drawn);
    other_.resize(drawn);
    if (drawn == 0) return;
    // The depths of a scene are close together: their common leading bits need no sorting.
    const int passes = (std::bit_width(highest - lowest) + RADIX_BITS - 1) / RADIX_BITS;
    std::array<std::array<uint32_t, RADIX>, MAX_PASSES> histograms{};
    for (size_t i = 0; i < drawn; i++) {
        SortItem& item = order_[i];
        item.key -= lowest;
        for (int pass = 0; pass < passes; pass++) histograms[pass][item.key >> (pass * RADIX_BITS) & (RADIX - 1)]++;
    }
    for (int pass = 0; pass < passes; pass++) {
        uint32_t sum = 0;
        for (uint32_t& place : histograms[pass]) place = std::exchange(sum, sum + place);
        for (size_t i = 0; i < drawn; i++) {
            other_[histograms[pass][order_[i].key >> (pass * RADIX_BITS) & (RADIX - 1)]++] = order_[i];
        }
        std::swap(order_, other_);
    }
}

void TileLists::touch(const ProjectTask& projected, int64_t begin, int64_t end, TilePiece& piece) {
    const int width = projected.camera.width, height = projected.camera.height, columns = (width + TILE - 1) / TILE;
    piece.tile_counts.assign(num_tiles(), 0);
    piece.spans.clear();
    for (int64_t rank = begin; rank < end; rank++) {
        __builtin_prefetch(projected.boxes + order_[std::min(rank + PREFETCH_DISTANCE, end - 1)].gaussian);
        const uint32_t gaussian = order_[rank].gaussian;
        const TileBox box = projected.boxes[gaussian];
        // In a box of few tiles there is little to gain from the ellipse itself.
        const bool is_small = box.bottom - box.top < 2 && box.right - box.left < 2;
        uint32_t touched = 0;
        for (int row = box.top; row <= box.bottom; row++) {
            int first = box.left, last = box.right;
            if (!is_small) {
                const Blob& blob = projected.blobs[gaussian];
                const float reach = blob.half_height, low = row * TILE + 0.5f - blob.y;
                const float high = std::min((row + 1) * TILE, height) - 0.5f - blob.y;
                const PixelRange pixels = columns_between(blob, std::max(low, -reach), std::min(high, reach), width);
                if (pixels.begin >= pixels.end) continue;
                first = pixels.begin / TILE, last = (pixels.end - 1) / TILE;
            }
            const uint32_t tile = static_cast<uint32_t>(row * columns + first), count = last - first + 1;
            piece.spans.push_back({gaussian, tile, count});
            for (uint32_t i = 0; i < count; i++) piece.tile_counts[tile + i]++;
            touched += count;
        }
        place_count[gaussian] = touched;
    }
}

// Turns the pieces' counts into the positions of their first entries, and sets the starts of tiles and Gaussians.
void TileLists::lay_out(int64_t num_pieces) {
    uint64_t total = 0;
    for (int64_t tile = 0; tile < num_tiles(); tile++) {
        tile_start[tile] = static_cast<uint32_t>(total);
        for (int64_t i = 0; i < num_pieces; i++) {
            const uint32_t count = pieces_[i].tile_counts[tile];
            pieces_[i].tile_counts[tile] = static_cast<uint32_t>(total);
            total += count;
        }
    }
    if (total > UINT32_MAX) throw std::length_error("the Gaussians cover more than 2^32 tiles of 16 x 16 pixels");
    tile_start[num_tiles()] = static_cast<uint32_t>(total);
    uint32_t place = 0;
    for (size_t i = 0; i < place_count.size(); i++) place_start[i] = std::exchange(place, place + place_count[i]);
    entries.resize(total);
    places.resize(total);
}

void TileLists::fill(int64_t begin, TilePiece& piece) {
    uint32_t gaussian = order_[begin].gaussian, place = place_start[gaussian];
    for (const TileSpan& span : piece.spans) {
        if (span.gaussian != gaussian) {
            gaussian = span.gaussian;
            place = place_start[gaussian];
        }
        for (uint32_t tile = span.first_tile; tile < span.first_tile + span.count; tile++) {
            const uint32_t entry = piece.tile_counts[tile]++;
            entries[entry] = gaussian;
            places[place++] = entry;
        }
    }
}

void TileLists::build(const ProjectTask& projected, ThreadPool& pool) {
    const int64_t count = projected.in.count, width = projected.camera.width, height = projected.camera.height;
    const int64_t columns = (width + TILE - 1) / TILE, rows = (height + TILE - 1) / TILE;
    sort_by_depth(projected.depths, count);
    tile_start.resize(columns * rows + 1);
    place_start.resize(count);
    place_count.resize(count);
    std::fill_n(place_count.data(), count, 0);
    const int64_t drawn = static_cast<int64_t>(order_.size());
    // The lists do not depend on how the Gaussians are cut into pieces.
    const int64_t num_pieces = std::clamp<int64_t>(drawn / MIN_PIECE, 1, pool.threads());
    const auto piece_begin = [&](int64_t i) { return drawn * i / num_pieces; };
    if (pieces_.size() < static_cast<size_t>(num_pieces)) pieces_.resize(num_pieces);
    pool.run(num_pieces, [&](int64_t i) { touch(projected, piece_begin(i), piece_begin(i + 1), pieces_[i]); });
    lay_out(num_pieces);
    if (drawn == 0) return;
    pool.run(num_pieces, [&](int64_t i) { fill(piece_begin(i), pieces_[i]); });
}

}  // namespace img2world
