// Which Gaussians each tile of the picture sees, front to back.
#pragma once

#include <vector>

#include "kernels.hpp"
#include "parallel.hpp"

namespace img2world {

struct TileLists {
    std::vector<uint32_t> order;       // the drawn Gaussians by depth; a "rank" is a place in it
    std::vector<Blob> blobs;           // [ranks]
    std::vector<uint32_t> tile_start;  // [tiles + 1] into entries
    std::vector<uint32_t> entries;     // ranks, rising within a tile
    std::vector<uint32_t> rank_start;  // [ranks + 1] into places
    std::vector<uint32_t> places;      // where in entries a rank is, rising: the tiles in their order

    int64_t num_tiles() const { return static_cast<int64_t>(tile_start.size()) - 1; }
    int64_t num_ranks() const { return static_cast<int64_t>(order.size()); }
};

// Throws std::length_error when there would be more than 2^32 entries.
TileLists list_tiles(const Projection& projection, int64_t count, int width, int height, Team& team);

}  // namespace img2world
