// Gaussians to pictures and back: what the bindings call.
#pragma once

#include "tiles.hpp"

namespace img2world {

// Returns whether all Gaussians are finite.
bool project(const Kernels& kernels, int threads, const Gaussians& in, const Camera& camera, const Projection& out);

void project_backward(const Kernels& kernels, int threads, const Gaussians& in, const Camera& camera,
                      const Projection& forward, const ProjectionGradients& upstream, const GaussianGradients& out);

// What the backward pass of a picture needs of its forward pass.
struct Blended {
    TileLists lists;
    std::vector<uint32_t> reached;  // [tiles, TILE], see BlendTask
    float background[3];
};

Blended blend(const Kernels& kernels, int threads, const Projection& in, int64_t count, const float background[3],
              const Picture& out);

struct PictureGradients {
    const float *rgb, *alpha, *depth;  // alpha and depth may be null together
};

// `out` are the gradients of means, whitenings, depths, opacities and rgb; radii are not used.
void blend_backward(const Kernels& kernels, int threads, const Blended& blended, const Projection& in, int64_t count,
                    const Picture& picture, const PictureGradients& upstream, const Projection& out);

}  // namespace img2world
