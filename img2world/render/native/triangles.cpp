#include "triangles.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.hpp"

namespace img2world {
namespace {

constexpr int BAND_ROWS = 32;

struct Corner {
    float x, y, inverse_z;
};

// Draws one face into the rows [row_begin, row_end).
void draw_face(const TriangleMesh& mesh, const Pinhole& camera, const std::vector<Corner>& corners, int32_t face,
               int row_begin, int row_end, TriangleHits hits) {
    const int32_t* index = mesh.faces + 3 * static_cast<int64_t>(face);
    const Corner &a = corners[index[0]], &b = corners[index[1]], &c = corners[index[2]];
    const float area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
    if (!(std::fabs(area) > 1e-12f)) return;
    const float low_x = std::min({a.x, b.x, c.x}), high_x = std::max({a.x, b.x, c.x});
    const float low_y = std::min({a.y, b.y, c.y}), high_y = std::max({a.y, b.y, c.y});
    // The clamp comes before the conversion: a float out of int's range has no defined value as an int.
    const int x0 = static_cast<int>(std::clamp(std::ceil(low_x - 0.5f), 0.0f, static_cast<float>(camera.width)));
    const int x1 = static_cast<int>(std::clamp(std::floor(high_x - 0.5f), -1.0f, camera.width - 1.0f));
    const int y0 = std::max(row_begin, static_cast<int>(std::clamp(std::ceil(low_y - 0.5f), 0.0f, static_cast<float>(camera.height))));
    const int y1 = std::min(row_end - 1, static_cast<int>(std::clamp(std::floor(high_y - 0.5f), -1.0f, camera.height - 1.0f)));
    const float inverse_area = 1.0f / area;
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            const float px = x + 0.5f, py = y + 0.5f;
            const float wb = ((px - a.x) * (c.y - a.y) - (c.x - a.x) * (py - a.y)) * inverse_area;
            const float wc = ((b.x - a.x) * (py - a.y) - (px - a.x) * (b.y - a.y)) * inverse_area;
            const float wa = 1.0f - wb - wc;
            if (wa < 0.0f || wb < 0.0f || wc < 0.0f) continue;
            const float inverse_z = wa * a.inverse_z + wb * b.inverse_z + wc * c.inverse_z;
            const float depth = 1.0f / inverse_z;
            const int64_t pixel = static_cast<int64_t>(y) * camera.width + x;
            if (hits.face[pixel] >= 0 && !(depth < hits.depth[pixel])) continue;
            const float second = wb * b.inverse_z * depth, third = wc * c.inverse_z * depth;
            const float alpha = (1.0f - second - third) * mesh.alphas[index[0]] + second * mesh.alphas[index[1]] +
                                third * mesh.alphas[index[2]];
            if (!(alpha >= 0.5f)) continue;
            hits.face[pixel] = face;
            hits.depth[pixel] = depth;
            hits.barycentric[2 * pixel] = second;
            hits.barycentric[2 * pixel + 1] = third;
        }
    }
}

}  // namespace

void rasterize_triangles(const TriangleMesh& mesh, const Pinhole& camera, int threads, TriangleHits hits) {
    int32_t last = -1;
    for (int64_t i = 0; i < 3 * mesh.num_faces; i++) last = std::max(last, mesh.faces[i]);
    std::vector<Corner> corners(last + 1);
    for (int32_t i = 0; i <= last; i++) {
        const float *v = mesh.vertices + 3 * static_cast<int64_t>(i), inverse_z = 1.0f / v[2];
        corners[i] = {camera.fx * v[0] * inverse_z + camera.cx, camera.fy * v[1] * inverse_z + camera.cy, inverse_z};
    }
    // Each band of rows keeps its own list of faces, in face order, so the picture is the same for any thread count.
    const int bands = (camera.height + BAND_ROWS - 1) / BAND_ROWS;
    std::vector<std::vector<int32_t>> faces_of_band(bands);
    for (int64_t face = 0; face < mesh.num_faces; face++) {
        const int32_t* index = mesh.faces + 3 * face;
        float low = INFINITY, high = -INFINITY;
        bool in_front = true;
        for (int k = 0; k < 3; k++) {
            in_front = in_front && mesh.vertices[3 * static_cast<int64_t>(index[k]) + 2] >= camera.near;
            low = std::min(low, corners[index[k]].y);
            high = std::max(high, corners[index[k]].y);
        }
        if (!in_front || !(high > 0.0f) || !(low < camera.height)) continue;
        const int first = static_cast<int>(std::max(low, 0.0f)) / BAND_ROWS;
        const int end = static_cast<int>(std::min(high, camera.height - 1.0f)) / BAND_ROWS;
        for (int band = first; band <= end; band++) faces_of_band[band].push_back(static_cast<int32_t>(face));
    }
    const int64_t pixels = static_cast<int64_t>(camera.width) * camera.height;
    std::fill(hits.face, hits.face + pixels, -1);
    std::fill(hits.depth, hits.depth + pixels, 0.0f);
    std::fill(hits.barycentric, hits.barycentric + 2 * pixels, 0.0f);
    ThreadPoolLock pool(threads);
    pool.get().run(bands, [&](int64_t band) {
        const int begin = static_cast<int>(band) * BAND_ROWS, end = std::min(begin + BAND_ROWS, camera.height);
        for (const int32_t face : faces_of_band[band]) draw_face(mesh, camera, corners, face, begin, end, hits);
    });
}

}  // namespace img2world
