// Vectors of as many floats as the instruction set holds. Wider ones would be split by the compiler, 3-4 times slower.
//
// Contraction is off in the whole module and fused multiply-adds are written out, so that forward and
// backward see the same alpha: one that is skipped in one and counted in the other would be a wrong gradient.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if !defined(IMG2WORLD_SIMD)
#define IMG2WORLD_SIMD baseline
#endif

namespace img2world {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

#define INLINE inline __attribute__((always_inline))
typedef float Float __attribute__((vector_size(4 * LANES)));
typedef int32_t Int __attribute__((vector_size(4 * LANES)));

// Subtracting zero changes nothing, and compiles to nothing; adding it would turn -0 into 0.
INLINE Float splat(float value) { return value - Float{}; }
INLINE Float load(const float* p) {
    Float value;
    std::memcpy(&value, p, sizeof value);
    return value;
}
INLINE void store(float* p, Float value) { std::memcpy(p, &value, sizeof value); }
INLINE Float select(Int mask, Float yes, Float no) { return mask ? yes : no; }

#if defined(__AVX512F__)
INLINE Float fma(Float a, Float b, Float c) { return (Float)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Float minus_product(Float c, Float a, Float b) { return (Float)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Float minimum(Float a, Float b) { return (Float)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE Float maximum(Float a, Float b) { return (Float)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE Float square_root(Float a) { return (Float)_mm512_sqrt_ps((__m512)a); }
INLINE Float rough_reciprocal(Float a) { return (Float)_mm512_rcp14_ps((__m512)a); }
INLINE bool any_at_least(Float a, Float b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ) != 0; }
#elif defined(__AVX2__)
INLINE Float fma(Float a, Float b, Float c) { return (Float)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE Float minus_product(Float c, Float a, Float b) { return (Float)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE Float minimum(Float a, Float b) { return (Float)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE Float maximum(Float a, Float b) { return (Float)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Float square_root(Float a) { return (Float)_mm256_sqrt_ps((__m256)a); }
INLINE Float rough_reciprocal(Float a) { return (Float)_mm256_rcp_ps((__m256)a); }
INLINE bool any_at_least(Float a, Float b) {
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ)) != 0;
}
#elif defined(__x86_64__)
INLINE Float fma(Float a, Float b, Float c) { return a * b + c; }
INLINE Float minus_product(Float c, Float a, Float b) { return c - a * b; }
INLINE Float minimum(Float a, Float b) { return (Float)_mm_min_ps((__m128)a, (__m128)b); }
INLINE Float maximum(Float a, Float b) { return (Float)_mm_max_ps((__m128)a, (__m128)b); }
INLINE Float square_root(Float a) { return (Float)_mm_sqrt_ps((__m128)a); }
INLINE Float rough_reciprocal(Float a) { return (Float)_mm_rcp_ps((__m128)a); }
INLINE bool any_at_least(Float a, Float b) { return _mm_movemask_ps(_mm_cmpge_ps((__m128)a, (__m128)b)) != 0; }
#else
INLINE Float fma(Float a, Float b, Float c) { return a * b + c; }
INLINE Float minus_product(Float c, Float a, Float b) { return c - a * b; }
INLINE Float minimum(Float a, Float b) { return a < b ? a : b; }
INLINE Float maximum(Float a, Float b) { return a > b ? a : b; }
INLINE Float square_root(Float a) {
    for (int i = 0; i < LANES; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
INLINE Float rough_reciprocal(Float a) { return 1.0f / a; }
INLINE bool any_at_least(Float a, Float b) {
    const Int mask = a >= b;
    int32_t any = 0;
    for (int i = 0; i < LANES; i++) any |= mask[i];
    return any != 0;
}
#endif

// Whether a lane is not zero, NaN included.
INLINE bool any_not_zero(Float a) {
    const Int mask = a != Float{};
    int32_t any = 0;
    for (int i = 0; i < LANES; i++) any |= mask[i];
    return any != 0;
}

// 1 / a to about one unit in the last place, for a in [1e-3, 1]; the division would take longer than all else in a loop.
INLINE Float reciprocal(Float a) {
    const Float guess = rough_reciprocal(a);
    return fma(guess, minus_product(splat(1.0f), a, guess), guess);
}

// 2^x for x in [-126, 126], relative error below 2e-7 (minimax polynomial of the fraction, degree 5). Beyond
// it the value has no meaning, and may be NaN.
INLINE Float exp2(Float x) {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const Float shifted = x + 12582912.0f;
    const Float fraction = x - (shifted - 12582912.0f);
    Float result = splat(0.001327647042f);
    result = fma(result, fraction, splat(0.009675541618f));
    result = fma(result, fraction, splat(0.05550713281f));
    result = fma(result, fraction, splat(0.2402211972f));
    result = fma(result, fraction, splat(0.6931469671f));
    result = fma(result, fraction, splat(1.000000072f));
    return (Float)((Int)result + ((Int)shifted << 23));
}

// e^x, held within the range of normal numbers.
INLINE Float exp(Float x) { return exp2(minimum(maximum(x * 1.4426950408889634f, splat(-126.0f)), splat(126.0f))); }

// Lane i gets p[i * stride] for i < count, and the last of these beyond.
INLINE Float load_strided(const float* p, int64_t stride, int count) {
    Float value;
    for (int i = 0; i < LANES; i++) value[i] = p[(i < count ? i : count - 1) * stride];
    return value;
}
INLINE void store_strided(float* p, int64_t stride, int count, Float value) {
    for (int i = 0; i < LANES && i < count; i++) p[i * stride] = value[i];
}

// The first `count` lanes only.
INLINE Float load_some(const float* p, int count) {
    if (count == LANES) return load(p);
    Float value = {};
    std::memcpy(&value, p, count * sizeof(float));
    return value;
}
INLINE void store_some(float* p, int count, Float value) {
    if (count == LANES) {
        store(p, value);
    } else {
        std::memcpy(p, &value, count * sizeof(float));
    }
}

typedef float Four __attribute__((vector_size(16)));

// Four partial sums of the lanes.
INLINE Four fold(Float a) {
#if defined(__AVX512F__)
    typedef float Eight __attribute__((vector_size(32)));
    const Eight half = __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7) +
                       __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
#elif defined(__AVX2__)
    return __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
#else
    return a;
#endif
}

// The sums of the lanes of four vectors.
INLINE Four sum_lanes(Float a, Float b, Float c, Float d) {
    const Four fa = fold(a), fb = fold(b), fc = fold(c), fd = fold(d);
    const Four ab = __builtin_shufflevector(fa, fb, 0, 4, 1, 5) + __builtin_shufflevector(fa, fb, 2, 6, 3, 7);
    const Four cd = __builtin_shufflevector(fc, fd, 0, 4, 1, 5) + __builtin_shufflevector(fc, fd, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

}  // namespace
}  // namespace img2world
