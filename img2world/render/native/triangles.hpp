// Z-buffered triangles: which face each pixel sees, and where on the face.
#pragma once

#include <cstdint>

namespace img2world {

struct TriangleMesh {
    const float* vertices;  // [M, 3] in camera space, +Z forward
    const float* alphas;    // [M] a fragment is there where the interpolated value is >= 0.5
    const int32_t* faces;   // [F, 3]
    int64_t num_faces;
};

struct Pinhole {
    float fx, fy, cx, cy, near;
    int width, height;
};

struct TriangleHits {
    int32_t* face;       // [H, W] -1 where nothing is seen
    float* barycentric;  // [H, W, 2] weights of the second and third vertex, perspective-correct
    float* depth;        // [H, W] along +Z, 0 where nothing is seen
};

// Faces with a vertex nearer than `near` are left out. Equal depths go to the lower face number.
void rasterize_triangles(const TriangleMesh& mesh, const Pinhole& camera, int threads, TriangleHits hits);

}  // namespace img2world
