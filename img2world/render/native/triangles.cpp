#include "triangles.hpp"

#include <cmath>

#include "pixel_range.hpp"

namespace img2world {
namespace {

constexpr int ROWS_PER_BAND = 32;
constexpr int64_t VERTICES_PER_PIECE = 16384, FACES_PER_PIECE = 16384;

}  // namespace

ProjectedMesh::ProjectedMesh(const TriangleMesh& mesh, const Pinhole& camera, int rows_per_band, ThreadPool& pool)
    : mesh_(mesh),
      camera_(camera),
      rows_per_band_(rows_per_band),
      num_bands_((camera.height + rows_per_band - 1) / rows_per_band),
      corners_(mesh.num_vertices),
      // Faces are sorted in pieces of a fixed size, so the picture is the same for any number of threads.
      pieces_((mesh.num_faces + FACES_PER_PIECE - 1) / FACES_PER_PIECE, FacesOfBands(num_bands_)) {
    pool.run_ranges(mesh.num_vertices, VERTICES_PER_PIECE, [&](int64_t begin, int64_t end) { project(begin, end); });
    pool.run_ranges(mesh.num_faces, FACES_PER_PIECE,
                    [&](int64_t begin, int64_t end) { sort(begin, end, pieces_[begin / FACES_PER_PIECE]); });
}

void ProjectedMesh::project(int64_t begin, int64_t end) {
    const float* m = camera_.cam_from_mesh;
    for (int64_t i = begin; i < end; i++) {
        const float* v = mesh_.vertices + 3 * i;
        const float x = m[0] * v[0] + m[1] * v[1] + m[2] * v[2] + m[3];
        const float y = m[4] * v[0] + m[5] * v[1] + m[6] * v[2] + m[7];
        const float z = m[8] * v[0] + m[9] * v[1] + m[10] * v[2] + m[11], inverse_z = 1.0f / z;
        const float column = camera_.fx * x * inverse_z + camera_.cx, row = camera_.fy * y * inverse_z + camera_.cy;
        const bool is_finite = std::isfinite(column) && std::isfinite(row);
        corners_[i] = {column, row, inverse_z, is_finite && z >= camera_.near};
    }
}

void ProjectedMesh::sort(int64_t begin, int64_t end, FacesOfBands& faces) const {
    for (int64_t face = begin; face < end; face++) {
        const int32_t* index = mesh_.faces + 3 * face;
        const Corner &a = corners_[index[0]], &b = corners_[index[1]], &c = corners_[index[2]];
        if (!(a.can_be_drawn && b.can_be_drawn && c.can_be_drawn)) continue;
        const auto [first, end_row] = pixels_within(std::min({a.y, b.y, c.y}), std::max({a.y, b.y, c.y}), camera_.height);
        if (first >= end_row) continue;
        for (int band = first / rows_per_band_; band <= (end_row - 1) / rows_per_band_; band++) {
            faces[band].push_back(static_cast<int32_t>(face));
        }
    }
}

void ProjectedMesh::draw_band(int band, TriangleHit* hits) const {
    const int begin = first_row(band), rows = num_rows(band);
    const int64_t pixels = static_cast<int64_t>(camera_.width) * rows;
    std::fill(hits, hits + pixels, TriangleHit{-1, INFINITY, 0.0f, 0.0f});
    for (const FacesOfBands& faces : pieces_) {
        for (const int32_t face : faces[band]) draw_face(face, begin, begin + rows, hits);
    }
}

void ProjectedMesh::draw_face(int32_t face, int row_begin, int row_end, TriangleHit* hits) const {
    const int32_t* index = mesh_.faces + 3 * static_cast<int64_t>(face);
    // Copies, because the compiler cannot know that writing hits leaves the corners alone.
    const Corner a = corners_[index[0]], b = corners_[index[1]], c = corners_[index[2]];
    const float ab_x = b.x - a.x, ab_y = b.y - a.y, ac_x = c.x - a.x, ac_y = c.y - a.y;
    const float area = ab_x * ac_y - ac_x * ab_y;
    if (!(std::fabs(area) > 1e-12f)) return;
    const PixelRange columns = pixels_within(std::min({a.x, b.x, c.x}), std::max({a.x, b.x, c.x}), camera_.width);
    const PixelRange rows = pixels_within(std::min({a.y, b.y, c.y}), std::max({a.y, b.y, c.y}), camera_.height);
    const float inverse_area = 1.0f / area;
    const float alpha_a = mesh_.alphas[index[0]], alpha_b = mesh_.alphas[index[1]], alpha_c = mesh_.alphas[index[2]];
    for (int y = std::max(rows.begin, row_begin); y < std::min(rows.end, row_end); y++) {
        TriangleHit* const row = hits + static_cast<int64_t>(y - row_begin) * camera_.width;
        const float from_a_y = (y + 0.5f) - a.y, ac = ac_x * from_a_y, ab = ab_x * from_a_y;
        for (int x = columns.begin; x < columns.end; x++) {
            const float from_a_x = (x + 0.5f) - a.x;
            const float wb = (from_a_x * ac_y - ac) * inverse_area, wc = (ab - from_a_x * ab_y) * inverse_area;
            const float wa = 1.0f - wb - wc;
            if (std::min({wa, wb, wc}) < 0.0f) continue;
            const float inverse_z = wa * a.inverse_z + wb * b.inverse_z + wc * c.inverse_z;
            const float depth = 1.0f / inverse_z;
            TriangleHit& hit = row[x];
            if (!(depth < hit.depth)) continue;
            const float second = wb * b.inverse_z * depth, third = wc * c.inverse_z * depth;
            const float alpha = (1.0f - second - third) * alpha_a + second * alpha_b + third * alpha_c;
            if (!(alpha >= 0.5f)) continue;
            hit = {face, depth, second, third};
        }
    }
}

void rasterize_triangles(const TriangleMesh& mesh, const Pinhole& camera, int threads, const TriangleMaps& out) {
    ThreadPoolLock pool(threads);
    const ProjectedMesh projected(mesh, camera, ROWS_PER_BAND, pool.get());
    pool.get().run(projected.num_bands(), [&](int band) {
        std::vector<TriangleHit> hits(static_cast<int64_t>(projected.num_rows(band)) * camera.width);
        projected.draw_band(band, hits.data());
        int64_t pixel = static_cast<int64_t>(projected.first_row(band)) * camera.width;
        for (const TriangleHit& hit : hits) {
            out.face[pixel] = hit.face;
            out.depth[pixel] = hit.face < 0 ? 0.0f : hit.depth;
            out.barycentric[2 * pixel] = hit.second;
            out.barycentric[2 * pixel + 1] = hit.third;
            pixel++;
        }
    });
}

}  // namespace img2world
