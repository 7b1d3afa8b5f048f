// Finds the instruction sets that this machine has.
#include "kernels.hpp"

namespace img2world {

#define DECLARE_KERNELS(simd)                                                                                      \
    namespace simd {                                                                                               \
    bool project(const ProjectTask&, int64_t, int64_t);                                                            \
    void project_backward(const ProjectTask&, int64_t, int64_t, const Sums*, const GaussianGradients&, double*);   \
    int64_t reach_size(int64_t, int64_t);                                                                          \
    void blend_tile(const BlendTask&, int);                                                                        \
    void blend_tile_backward(const BlendBackwardTask&, int);                                                       \
    int64_t loss_scratch(const LossTask&);                                                                         \
    void loss_rows(const LossTask&, int, int, float*, double*);                                                    \
    void adam_rows(const AdamTask&, int64_t, int64_t);                                                             \
    void fuse_points(const FusionTask&, int64_t, int64_t);                                                         \
    void color_points(const PointColorTask&, int64_t, int64_t);                                                    \
    constexpr Kernels kernels{#simd,      project,   project_backward, reach_size, blend_tile, blend_tile_backward,\
                              loss_scratch, loss_rows, adam_rows, fuse_points,      color_points};                   \
    }

#if defined(__aarch64__)
DECLARE_KERNELS(neon)
#else
DECLARE_KERNELS(baseline)
#endif
#if defined(__x86_64__)
DECLARE_KERNELS(avx2)
DECLARE_KERNELS(avx512)
#endif

AvailableKernels available_kernels() {
    AvailableKernels found{};
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw")) {
        found.kernels[found.count++] = avx512::kernels;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.kernels[found.count++] = avx2::kernels;
#endif
#if defined(__aarch64__)
    found.kernels[found.count++] = neon::kernels;
#else
    found.kernels[found.count++] = baseline::kernels;
#endif
    return found;
}

}  // namespace img2world
