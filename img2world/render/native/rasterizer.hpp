// Rasterization of Gaussians and its gradient: what the bindings call.
#pragma once

#include "tiles.hpp"

namespace img2world {

struct PictureGradients {
    const float *rgb, *alpha, *depth;  // alpha and depth may both be null
};

// One picture of Gaussians and what its backward pass needs. Reuse it, because it keeps its buffers.
class Frame {
   public:
    // `task.blobs`, `boxes` and `depths` are not read. Returns true if all Gaussians are finite; otherwise the picture is
    // meaningless.
    bool draw(const Kernels& kernels, ThreadPool& pool, ProjectTask task, const float background[3], const Picture& out);

    // The task, its arrays and the picture must be those of the last `draw`. `camera` may be null.
    void backward(const Kernels& kernels, ThreadPool& pool, ProjectTask task, const Picture& picture,
                  const PictureGradients& upstream, const GaussianGradients& out, double* camera);

    int64_t num_entries() const { return static_cast<int64_t>(lists_.entries.size()); }

   private:
    BlendTask blend_task(const Picture& picture);
    void add_band(int64_t begin, int64_t end, uint32_t first_entry, uint32_t end_entry, Sums* out);

    Buffer<Blob> blobs_;
    Buffer<TileBox> boxes_;
    Buffer<float> depths_;
    Buffer<uint16_t> reach_;
    TileLists lists_;
    float background_[3] = {};
    Buffer<Sums> entry_sums_, gaussian_sums_;
    Buffer<uint32_t> next_place_;
    std::vector<double> camera_sums_;
};

}  // namespace img2world
