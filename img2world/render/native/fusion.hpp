// Depth maps of many views, sampled at points in the world.
#pragma once

#include <cstdint>

namespace img2world {

struct DepthMaps {
    const float* cam_from_world;  // [V, 4, 4]
    const float* intrinsics;      // [V, 3, 3] in pixels
    const float* depth;           // [V, H, W] along +Z; 0 where it is unknown, infinite where nothing is in the way
    const float* tilt;            // [V, H, W] distance to the surface's tangent plane per unit of depth
    const float* weights;         // [V] views of weight 0 are skipped
    int64_t views;
    int width, height;
};

struct FusionTask {
    DepthMaps maps;
    const float* points;         // [3, M]
    const float* truncation;     // [M]
    float *distances, *weights;  // [M] outputs
    int64_t count;
};

struct PointColorTask {
    DepthMaps maps;
    const uint32_t* rgba;           // [V, H, W] 8 bits each, red lowest, premultiplied by alpha
    const float *points, *normals;  // [3, M]
    const float* tolerance;         // [M]
    float min_cosine;               // of the angle of incidence
    float *colors, *weights;        // [3, M] from 0 to 1, [M]; outputs
    int64_t count;
};

}  // namespace img2world
