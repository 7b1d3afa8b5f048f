// Textured surfaces as one camera sees them.
#pragma once

#include "triangles.hpp"

namespace img2world {

struct Texture {
    std::vector<const float*> levels;  // [h, w, 4] each: red, green, blue, unused. The sharp texture, then blurrier ones
    const uint8_t* seen;               // [h, w]
    int width, height;
    int detail;  // The sharp texture is [detail * h, detail * w, 4].
};

// Several surfaces, each with its texture, as one mesh.
struct Layers {
    TriangleMesh mesh;
    const float* texture_coordinates;  // [M, 4] x and y in pixels of the texture, level, unused
    std::vector<Texture> textures;
    std::vector<int64_t> face_ends;    // one past the last face of each surface
};

struct WarpedPicture {
    float* rgb;     // [H, W, 3] mean of the samples that hit a surface, 0 without any
    float* alpha;   // [H, W] fraction of the samples that hit a surface
    float* depth;   // [H, W] of the nearest sample, 0 without any
    uint8_t* seen;  // [H, W] lowest value of the samples, 0 without any
};

// `camera` is that of the samples, which are `supersample` times as many as pixels along each axis.
void draw_layers(const Layers& layers, const Pinhole& camera, int supersample, int threads, const WarpedPicture& out);

}  // namespace img2world
