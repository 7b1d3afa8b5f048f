#include "rasterizer.hpp"

namespace img2world {
namespace {

// A multiple of every vector length, so that no vector is cut. The sums for the camera depend on it, so it must not
// depend on the number of threads.
constexpr int64_t GAUSSIANS_PER_PIECE = 256;
constexpr int64_t TILES_PER_PIECE = 2;
constexpr uint32_t PREFETCH_DISTANCE = 24;
// Sums kept at once, 64 bytes each; all those of a large scene would fill the memory.
constexpr uint32_t ENTRIES_PER_BAND = 1 << 20;

// Boundaries of bands of tiles with about ENTRIES_PER_BAND entries each, from 0 to the number of tiles.
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

}  // namespace

BlendTask Frame::blend_task(const Picture& picture) {
    return {blobs_.data(), lists_.tile_start.data(), lists_.entries.data(), reach_.data(),
            {background_[0], background_[1], background_[2]}, picture};
}

bool Frame::draw(const Kernels& kernels, ThreadPool& pool, ProjectTask task, const float background[3], const Picture& out) {
    std::copy_n(background, 3, background_);
    blobs_.resize(task.in.count);
    boxes_.resize(task.in.count);
    depths_.resize(task.in.count);
    task.blobs = blobs_.data();
    task.boxes = boxes_.data();
    task.depths = depths_.data();
    std::atomic<bool> finite{true};
    pool.run_ranges(task.in.count, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t end) {
        if (!kernels.project(task, begin, end)) finite = false;
    });
    if (!finite) return false;
    lists_.build(task, pool);
    reach_.resize(kernels.reach_size(num_entries(), lists_.num_tiles()));
    const BlendTask blend = blend_task(out);
    pool.run_ranges(lists_.num_tiles(), TILES_PER_PIECE, [&](int64_t begin, int64_t end) {
        for (int64_t tile = begin; tile < end; tile++) kernels.blend_tile(blend, static_cast<int>(tile));
    });
    return true;
}

// Adds the sums of a band's entries to those of some Gaussians, in `out`.
void Frame::add_band(int64_t begin, int64_t end, uint32_t first_entry, uint32_t end_entry, Sums* out) {
    const uint32_t* places = lists_.places.data();
    const size_t last = lists_.places.size() - 1;
    for (int64_t i = begin; i < end; i++) {
        const uint32_t stop = lists_.place_start[i] + lists_.place_count[i];
        uint32_t place = next_place_[i];
        Sums total = out[i - begin];
        for (; place < stop && places[place] < end_entry; place++) {
            // Places are in the order of Gaussians, entries in that of tiles: no hardware prefetcher can predict them.
            const uint32_t ahead = places[std::min<size_t>(place + PREFETCH_DISTANCE, last)];
            if (ahead < end_entry) __builtin_prefetch(entry_sums_.data() + (ahead - first_entry));
            const Sums& sums = entry_sums_[places[place] - first_entry];
            for (int k = 0; k < 16; k++) total.values[k] += sums.values[k];
        }
        next_place_[i] = place;
        out[i - begin] = total;
    }
}

void Frame::backward(const Kernels& kernels, ThreadPool& pool, ProjectTask task, const Picture& picture,
                     const PictureGradients& upstream, const GaussianGradients& out, double* camera) {
    task.blobs = blobs_.data();
    const std::vector<int64_t> cuts = cut_bands(lists_);
    const size_t bands = cuts.size() - 1;
    entry_sums_.resize(largest_band(lists_, cuts));
    next_place_.resize(task.in.count);
    std::copy_n(lists_.place_start.data(), task.in.count, next_place_.data());
    if (bands > 1) {
        gaussian_sums_.resize(task.in.count);
        std::fill_n(gaussian_sums_.data(), task.in.count, Sums{});
    }
    camera_sums_.assign((task.in.count + GAUSSIANS_PER_PIECE - 1) / GAUSSIANS_PER_PIECE * CAMERA_VALUES, 0.0);
    // Each pair of tile and Gaussian has its own sums, added up in tile order, whatever the threads do.
    for (size_t band = 0; band < bands; band++) {
        const uint32_t first_entry = lists_.tile_start[cuts[band]], end_entry = lists_.tile_start[cuts[band + 1]];
        const BlendBackwardTask blend{blend_task(picture), upstream.rgb, upstream.alpha, upstream.depth,
                                      entry_sums_.data(), first_entry};
        pool.run_ranges(cuts[band + 1] - cuts[band], TILES_PER_PIECE, [&](int64_t begin, int64_t end) {
            for (int64_t tile = begin; tile < end; tile++) {
                kernels.blend_tile_backward(blend, static_cast<int>(cuts[band] + tile));
            }
        });
        pool.run_ranges(task.in.count, GAUSSIANS_PER_PIECE, [&](int64_t begin, int64_t end) {
            Sums some[GAUSSIANS_PER_PIECE] = {};
            Sums* sums = bands > 1 ? gaussian_sums_.data() + begin : some;
            if (end_entry > first_entry) add_band(begin, end, first_entry, end_entry, sums);
            if (band + 1 < bands) return;
            double* piece_sums = &camera_sums_[begin / GAUSSIANS_PER_PIECE * CAMERA_VALUES];
            kernels.project_backward(task, begin, end, sums, out, camera == nullptr ? nullptr : piece_sums);
        });
    }
    if (camera == nullptr) return;
    std::fill_n(camera, CAMERA_VALUES, 0.0);
    for (size_t i = 0; i < camera_sums_.size(); i++) camera[i % CAMERA_VALUES] += camera_sums_[i];
}

}  // namespace img2world
