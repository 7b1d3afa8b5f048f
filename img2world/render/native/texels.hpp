// Normal equations of a texture that is to reproduce pictures: each pixel is a bilinear sample of four texels.
#pragma once

#include <cstdint>

namespace img2world {

// What one view sees of a mesh, and the picture that it should show.
struct TexturedView {
    const int32_t* face;       // [count] -1 where the pixel does not count
    const float* barycentric;  // [count, 2] weights of the face's second and third vertex
    const float* weight;       // [count]
    const float* rgb;          // [count, 3]
    int64_t count;
    const int32_t* faces;      // [F, 3]
    const float* texels;       // [M, 2] texture coordinates of the vertices in texels, a texel's centre at (0.5, 0.5)
};

// The upper half of a symmetric matrix over the texels, one value for each texel and neighbour, and the right side.
struct TexelEquations {
    float* diagonal;    // [height, width]
    float* right;       // with the texel to the right
    float* down;
    float* down_right;
    float* down_left;
    float* target;      // [height, width, 3]
    int width, height;
};

void add_view(const TexturedView& view, const TexelEquations& equations);

}  // namespace img2world
