// The Gaussians that each tile of the picture sees, front to back.
#pragma once

#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace img2world {

// Tiles of one row that a Gaussian touches.
struct TileSpan {
    uint32_t gaussian, first_tile, count;
};

// What one piece of the sorted Gaussians touches.
struct TilePiece {
    std::vector<TileSpan> spans;
    std::vector<uint32_t> tile_counts;  // [tiles]; later the position in entries of the next one
};

struct SortItem {
    uint32_t key, gaussian;
};

// Buffers are kept from picture to picture, so that memory is allocated only when they have to grow.
class TileLists {
   public:
    // Throws std::length_error when there would be more than 2^32 entries.
    void build(const ProjectTask& projected, ThreadPool& pool);

    Buffer<uint32_t> tile_start;   // [tiles + 1] into entries
    Buffer<uint32_t> entries;      // Gaussians, nearest first within a tile
    Buffer<uint32_t> place_start;  // [N] into places, for those drawn
    Buffer<uint32_t> place_count;  // [N] 0 for those not drawn
    Buffer<uint32_t> places;       // positions in entries of each Gaussian, ascending

    int64_t num_tiles() const { return static_cast<int64_t>(tile_start.size()) - 1; }

   private:
    void sort_by_depth(const float* depths, int64_t count);
    void touch(const ProjectTask& projected, int64_t begin, int64_t end, TilePiece& piece);
    void lay_out(int64_t num_pieces);
    void fill(int64_t begin, TilePiece& piece);

    Buffer<SortItem> order_, other_;  // the drawn Gaussians, nearest first
    std::vector<TilePiece> pieces_;
};

}  // namespace img2world
