#include "rasterizer.hpp"

#include <memory>

namespace img2world {
namespace {

// A multiple of every vector length, so that no vector is cut. Results do not depend on it.
constexpr int64_t GAUSSIANS_PER_PIECE = 1024;
constexpr int64_t TILES_PER_PIECE = 8;
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

// Adds the partial sums of one rank within [.., end) of the entries, and returns where to go on.
uint32_t add_partials(const TileLists& lists, uint32_t at, uint32_t stop, uint32_t end, uint32_t first_entry,
                      const float* partials, float* sums) {
    for (; at < stop && lists.places[at] < end; at++) {
        const float* partial = partials + static_cast<int64_t>(lists.places[at] - first_entry) * PARTIALS;
        for (int k = 0; k < PARTIALS; k++) sums[k] += partial[k];
    }
    return at;
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
    std::vector<float> sums(ranks * PARTIALS);
    std::vector<uint32_t> next(lists.rank_start.begin(), lists.rank_start.begin() + ranks);
    std::unique_ptr<float[]> partials;
    size_t capacity = 0;
    // Each pair of tile and Gaussian has its own partial sums, added up in tile order: no thread can change the result.
    for (int64_t first = 0, end; first < lists.num_tiles(); first = end) {
        const uint32_t first_entry = lists.tile_start[first];
        for (end = first + 1; end < lists.num_tiles(); end++) {
            if (lists.tile_start[end + 1] - first_entry > ENTRIES_PER_BAND) break;
        }
        const uint32_t end_entry = lists.tile_start[end];
        if (const size_t needed = static_cast<size_t>(end_entry - first_entry) * PARTIALS; needed > capacity) {
            partials = std::make_unique_for_overwrite<float[]>(capacity = needed);
        }
        const BlendBackwardTask task{make_task(blended, picture), upstream.rgb, upstream.alpha, upstream.depth,
                                     partials.get(), first_entry};
        team.run_ranges(end - first, TILES_PER_PIECE, [&](int64_t begin, int64_t stop) {
            for (int64_t tile = begin; tile < stop; tile++) {
                kernels.blend_tile_backward(task, static_cast<int>(first + tile));
            }
        });
        team.run_ranges(ranks, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t stop) {
            for (int64_t rank = begin; rank < stop; rank++) {
                next[rank] = add_partials(lists, next[rank], lists.rank_start[rank + 1], end_entry, first_entry,
                                          partials.get(), &sums[rank * PARTIALS]);
            }
        });
    }
    std::fill(out.means, out.means + 2 * count, 0.0f);
    std::fill(out.whitenings, out.whitenings + 3 * count, 0.0f);
    std::fill(out.depths, out.depths + count, 0.0f);
    std::fill(out.opacities, out.opacities + count, 0.0f);
    std::fill(out.rgb, out.rgb + 3 * count, 0.0f);
    team.run_ranges(ranks, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t stop) {
        for (int64_t rank = begin; rank < stop; rank++) {
            write_gradients(&sums[rank * PARTIALS], in, lists.order[rank], out);
        }
    });
}

}  // namespace img2world
