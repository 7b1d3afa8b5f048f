// Z-buffered triangles: which face each pixel sees, and where on the face.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "parallel.hpp"

namespace img2world {

struct TriangleMesh {
    const float* vertices;  // [M, 3]
    const float* alphas;    // [M] a fragment is there where the interpolated value is >= 0.5
    const int32_t* faces;   // [F, 3]
    int64_t num_vertices, num_faces;
};

struct Pinhole {
    float cam_from_mesh[12];  // rows of rotation and translation
    float fx, fy, cx, cy, near;
    int width, height;
};

// What one pixel sees.
struct alignas(16) TriangleHit {
    int32_t face;         // -1 where nothing is seen
    float depth;          // along +Z, infinite where nothing is seen
    float second, third;  // weights of the face's second and third vertex, perspective-correct
};

struct TriangleMaps {
    int32_t* face;       // [H, W] -1 where nothing is seen
    float* barycentric;  // [H, W, 2] as `second` and `third` above
    float* depth;        // [H, W] along +Z, 0 where nothing is seen
};

// A mesh projected into one camera and sorted into bands of rows, which can be drawn by different threads. Faces with
// a vertex nearer than `near` are left out. Equal depths go to the lower face number. The mesh's arrays are not copied.
class ProjectedMesh {
   public:
    ProjectedMesh(const TriangleMesh& mesh, const Pinhole& camera, int rows_per_band, ThreadPool& pool);

    int num_bands() const { return num_bands_; }
    int first_row(int band) const { return band * rows_per_band_; }
    int num_rows(int band) const { return std::min(rows_per_band_, camera_.height - first_row(band)); }

    // Writes `num_rows(band)` rows of `hits`.
    void draw_band(int band, TriangleHit* hits) const;

   private:
    struct alignas(16) Corner {
        float x, y, inverse_z;
        bool can_be_drawn;
    };
    // For each band the faces that it sees, in their order.
    using FacesOfBands = std::vector<std::vector<int32_t>>;

    void project(int64_t begin, int64_t end);
    void sort(int64_t begin, int64_t end, FacesOfBands& faces) const;
    void draw_face(int32_t face, int row_begin, int row_end, TriangleHit* hits) const;

    const TriangleMesh mesh_;
    const Pinhole camera_;
    const int rows_per_band_, num_bands_;
    std::vector<Corner> corners_;
    std::vector<FacesOfBands> pieces_;
};

void rasterize_triangles(const TriangleMesh& mesh, const Pinhole& camera, int threads, const TriangleMaps& out);

}  // namespace img2world
