#include "rasterizer.hpp"

#include <memory>

namespace img2world {
namespace {

// A multiple of every vector length, so that no vector is cut. Results do not depend on it.
constexpr int64_t GAUSSIANS_PER_PIECE = 1024;
constexpr int64_t TILES_PER_PIECE = 8;
constexpr uint32_t PREFETCH_DISTANCE = 32;
// Partial sums kept at once: more would leave the cache, and large scenes the memory.
constexpr uint32_t ENTRIES_PER_BAND = 1 << 18;

BlendTask make_task(const Blended& blended, const Picture& picture) {
    const TileLists& lists = blended.lists;
    const float* background = blended.background;
    // The forward kernel writes `reached`, the backward kernel reads it.
    uint32_t* reached = const_cast<uint32_t*>(blended.reached.data());
    return {lists.blobs.data(), lists.tile_start.data(), lists.entries.data(), reached,
            {background[0], background[1], background[2]}, picture};
}

int64_t partial_offset(uint32_t entry, uint32_t first_entry) {
    return static_cast<int64_t>(entry - first_entry) * PARTIALS;
}

// Where to cut the tiles so that each band has about ENTRIES_PER_BAND entries; the first is 0, the last all tiles.
std::vector<int64_t> cut_bands(const TileLists& lists) {
    std::vector<int64_t> cuts{0};
    for (int64_t tile = 1; tile < lists.num_tiles(); tile++) {
        if (lists.tile_start[tile + 1] - lists.tile_start[cuts.back()] > ENTRIES_PER_BAND) cuts.push_back(tile);
    }
    cuts.push_back(lists.num_tiles());
    return cuts;
}

size_t largest_band(const TileLists& lists, const std::vector<int64_t>& cuts) {
    size_t largest = 0;
    for (size_t i = 0; i + 1 < cuts.size(); i++) {
        largest = std::max<size_t>(largest, lists.tile_start[cuts[i + 1]] - lists.tile_start[cuts[i]]);
    }
    return largest;
}

void clear(const Projection& out, int64_t count) {
    std::fill_n(out.means, 2 * count, 0.0f);
    std::fill_n(out.whitenings, 3 * count, 0.0f);
    std::fill_n(out.depths, count, 0.0f);
    std::fill_n(out.opacities, count, 0.0f);
    std::fill_n(out.rgb, 3 * count, 0.0f);
}

// The partial sums of the entries from `first_entry` on.
struct Band {
    uint32_t first_entry, end_entry;
    const float* partials;
};

// Adds a rank's partial sums within a band to `sums`, from place `at` on, and returns where the next band goes on.
uint32_t add_partials(const TileLists& lists, const Band& band, uint32_t at, uint32_t stop, float* sums) {
    float total[PARTIALS];
    std::copy_n(sums, PARTIALS, total);
    for (; at < stop && lists.places[at] < band.end_entry; at++) {
        // What comes next is the following ranks', at places that no hardware could guess.
        const uint32_t ahead = lists.places[std::min<size_t>(at + PREFETCH_DISTANCE, lists.places.size() - 1)];
        if (ahead < band.end_entry) {
            const float* next = band.partials + partial_offset(ahead, band.first_entry);
            __builtin_prefetch(next);
            __builtin_prefetch(next + PARTIALS - 1);
        }
        const float* partial = band.partials + partial_offset(lists.places[at], band.first_entry);
        for (int k = 0; k < PARTIALS; k++) total[k] += partial[k];
    }
    std::copy_n(total, PARTIALS, sums);
    return at;
}

void prefetch(const Projection& in, int64_t i, const Projection& out) {
    __builtin_prefetch(in.whitenings + 3 * i);
    __builtin_prefetch(in.opacities + i);
    __builtin_prefetch(out.means + 2 * i, 1);
    __builtin_prefetch(out.whitenings + 3 * i, 1);
    __builtin_prefetch(out.opacities + i, 1);
    __builtin_prefetch(out.rgb + 3 * i, 1);
    __builtin_prefetch(out.depths + i, 1);
}

// From the sums over pixels to the gradients of one Gaussian.
void write_gradients(const float* sums, const Projection& in, int64_t i, const Projection& out) {
    const float* w = in.whitenings + 3 * i;
    const float x = sums[1], y = sums[2], xx = sums[3], xy = sums[4], yy = sums[5];
    const float u = w[0] * x + w[1] * y;
    out.means[2 * i] = w[0] * u;
    out.means[2 * i + 1] = w[1] * u + w[2] * w[2] * y;
    out.whitenings[3 * i] = -(w[0] * xx + w[1] * xy);
    out.whitenings[3 * i + 1] = -(w[0] * xy + w[1] * yy);
    out.whitenings[3 * i + 2] = -w[2] * yy;
    out.opacities[i] = sums[0] / in.opacities[i];
    for (int k = 0; k < 3; k++) out.rgb[3 * i + k] = sums[6 + k];
    out.depths[i] = sums[9];
}

}  // namespace

bool project(const Kernels& kernels, int threads, const Gaussians& in, const Camera& camera, const Projection& out) {
    Team team(threads);
    std::atomic<bool> finite{true};
    team.run_ranges(in.count, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t end) {
        if (!kernels.project(in, camera, begin, end, out)) finite = false;
    });
    return finite;
}

void project_backward(const Kernels& kernels, int threads, const Gaussians& in, const Camera& camera,
                      const Projection& forward, const ProjectionGradients& upstream, const GaussianGradients& out) {
    Team team(threads);
    team.run_ranges(in.count, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t end) {
        kernels.project_backward(in, camera, begin, end, forward, upstream, out);
    });
}

Blended blend(const Kernels& kernels, int threads, const Projection& in, int64_t count, const float background[3],
              const Picture& out) {
    Team team(threads);
    Blended blended{list_tiles(in, count, out.width, out.height, team), {}, {background[0], background[1], background[2]}};
    blended.reached.resize(blended.lists.num_tiles() * TILE);
    const BlendTask task = make_task(blended, out);
    team.run_ranges(blended.lists.num_tiles(), TILES_PER_PIECE, [&](int64_t begin, int64_t end) {
        for (int64_t tile = begin; tile < end; tile++) kernels.blend_tile(task, static_cast<int>(tile));
    });
    return blended;
}

void blend_backward(const Kernels& kernels, int threads, const Blended& blended, const Projection& in, int64_t count,
                    const Picture& picture, const PictureGradients& upstream, const Projection& out) {
    Team team(threads);
    const TileLists& lists = blended.lists;
    const int64_t ranks = lists.num_ranks();
    clear(out, count);
    const std::vector<int64_t> cuts = cut_bands(lists);
    const auto partials = std::make_unique_for_overwrite<float[]>(largest_band(lists, cuts) * PARTIALS);
    std::vector<float> sums(ranks * PARTIALS);
    std::vector<uint32_t> next(lists.rank_start.begin(), lists.rank_start.begin() + ranks);
    // Each pair of tile and Gaussian has its own partial sums, added up in tile order: no thread can change the result.
    for (size_t i = 0; i + 1 < cuts.size(); i++) {
        const Band band{lists.tile_start[cuts[i]], lists.tile_start[cuts[i + 1]], partials.get()};
        const BlendBackwardTask task{make_task(blended, picture), upstream.rgb, upstream.alpha, upstream.depth,
                                     partials.get(), band.first_entry};
        team.run_ranges(cuts[i + 1] - cuts[i], TILES_PER_PIECE, [&](int64_t begin, int64_t end) {
            for (int64_t tile = begin; tile < end; tile++) {
                kernels.blend_tile_backward(task, static_cast<int>(cuts[i] + tile));
            }
        });
        const bool last = i + 2 == cuts.size();
        team.run_ranges(ranks, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t end) {
            for (int64_t rank = begin; rank < end; rank++) {
                if (last) prefetch(in, lists.order[std::min<int64_t>(rank + PREFETCH_DISTANCE, ranks - 1)], out);
                float* sum = &sums[rank * PARTIALS];
                next[rank] = add_partials(lists, band, next[rank], lists.rank_start[rank + 1], sum);
                if (last) write_gradients(sum, in, lists.order[rank], out);
            }
        });
    }
}

}  // namespace img2world
