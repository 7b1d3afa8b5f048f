// Vectors as wide as the instruction set allows. The compiler would split wider ones, at 3 to 4 times the cost.
//
// Contraction is off in the whole module and fused multiply-adds are written out, so that forward and
// backward see the same alpha: one that is skipped in one and counted in the other would make the gradient wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
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
INLINE Int lane_numbers() {
    Int numbers;
    for (int i = 0; i < LANES; i++) numbers[i] = i;
    return numbers;
}
INLINE Float select(Int mask, Float yes, Float no) { return mask ? yes : no; }

#if defined(__AVX512F__)
INLINE Float fma(Float a, Float b, Float c) { return (Float)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Float minus_product(Float c, Float a, Float b) { return (Float)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Float minimum(Float a, Float b) { return (Float)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE Float maximum(Float a, Float b) { return (Float)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE Float square_root(Float a) { return (Float)_mm512_sqrt_ps((__m512)a); }
INLINE Float rough_reciprocal(Float a) { return (Float)_mm512_rcp14_ps((__m512)a); }
INLINE uint32_t bits_at_least(Float a, Float b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
INLINE Float gather_at(const float* p, Int places) { return (Float)_mm512_i32gather_ps((__m512i)places, p, 4); }
INLINE void scatter_at(float* p, Int places, Float a) { _mm512_i32scatter_ps(p, (__m512i)places, (__m512)a, 4); }
#elif defined(__AVX2__)
INLINE Float fma(Float a, Float b, Float c) { return (Float)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE Float minus_product(Float c, Float a, Float b) { return (Float)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE Float minimum(Float a, Float b) { return (Float)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE Float maximum(Float a, Float b) { return (Float)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Float square_root(Float a) { return (Float)_mm256_sqrt_ps((__m256)a); }
INLINE Float rough_reciprocal(Float a) { return (Float)_mm256_rcp_ps((__m256)a); }
INLINE uint32_t bits_at_least(Float a, Float b) { return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ)); }
INLINE Float gather_at(const float* p, Int places) { return (Float)_mm256_i32gather_ps(p, (__m256i)places, 4); }
#define NO_SCATTER
#elif defined(__x86_64__)
INLINE Float fma(Float a, Float b, Float c) { return a * b + c; }
INLINE Float minus_product(Float c, Float a, Float b) { return c - a * b; }
INLINE Float minimum(Float a, Float b) { return (Float)_mm_min_ps((__m128)a, (__m128)b); }
INLINE Float maximum(Float a, Float b) { return (Float)_mm_max_ps((__m128)a, (__m128)b); }
INLINE Float square_root(Float a) { return (Float)_mm_sqrt_ps((__m128)a); }
INLINE Float rough_reciprocal(Float a) { return (Float)_mm_rcp_ps((__m128)a); }
INLINE uint32_t bits_at_least(Float a, Float b) { return _mm_movemask_ps(_mm_cmpge_ps((__m128)a, (__m128)b)); }
#define NO_GATHER
#elif defined(__aarch64__)
INLINE Float fma(Float a, Float b, Float c) { return (Float)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
INLINE Float minus_product(Float c, Float a, Float b) {
    return (Float)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE Float minimum(Float a, Float b) { return (Float)vminnmq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE Float maximum(Float a, Float b) { return (Float)vmaxnmq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE Float square_root(Float a) { return (Float)vsqrtq_f32((float32x4_t)a); }
INLINE Float rough_reciprocal(Float a) {
    // The estimate alone has 8 bits; others give 12 and more.
    const float32x4_t estimate = vrecpeq_f32((float32x4_t)a);
    return (Float)vmulq_f32(estimate, vrecpsq_f32((float32x4_t)a, estimate));
}
INLINE uint32_t bits_at_least(Float a, Float b) {
    const uint32x4_t bit_of_lane = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32((float32x4_t)a, (float32x4_t)b), bit_of_lane));
}
#define NO_GATHER
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
INLINE uint32_t bits_at_least(Float a, Float b) {
    const Int mask = a >= b;
    uint32_t bits = 0;
    for (int i = 0; i < LANES; i++) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
    return bits;
}
#define NO_GATHER
#endif

#if defined(NO_GATHER)
#define NO_SCATTER
INLINE Float gather_at(const float* p, Int places) {
    Float value;
    for (int i = 0; i < LANES; i++) value[i] = p[places[i]];
    return value;
}
#endif
#if defined(NO_SCATTER)
INLINE void scatter_at(float* p, Int places, Float a) {
    for (int i = 0; i < LANES; i++) p[places[i]] = a[i];
}
#endif
INLINE Float gather(const float* p, int32_t stride) { return gather_at(p, lane_numbers() * stride); }
INLINE void scatter(float* p, int32_t stride, Float a) { scatter_at(p, lane_numbers() * stride, a); }

// Appends first + i for each lane i whose bit is set. Up to LANES values may be written behind them.
INLINE uint32_t append_numbers(uint32_t bits, uint32_t first, uint32_t* list, uint32_t count) {
#if defined(__AVX512F__)
    const __m512i numbers = (__m512i)(lane_numbers() + static_cast<int32_t>(first));
    _mm512_storeu_si512(list + count, _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), numbers));
    return count + __builtin_popcount(bits);
#else
    for (; bits != 0; bits &= bits - 1) list[count++] = first + __builtin_ctz(bits);
    return count;
#endif
}

// True if any lane is not zero, NaN included.
INLINE bool any_not_zero(Float a) {
    const Int mask = a != Float{};
    int32_t any = 0;
    for (int i = 0; i < LANES; i++) any |= mask[i];
    return any != 0;
}

// 1 / a to about one unit in the last place, for a in [1e-3, 1]; a division would dominate the loop that needs it.
INLINE Float reciprocal(Float a) {
    const Float guess = rough_reciprocal(a);
    return fma(guess, minus_product(splat(1.0f), a, guess), guess);
}

// 2^x for x in [-126, 126], relative error below 2e-7 (minimax polynomial of the fraction, degree 5). Beyond
// it the value is meaningless and may be NaN. Several at once, to hide the latency of each step.
template <int COUNT>
INLINE void exp2_each(const Float (&x)[COUNT], Float (&result)[COUNT]) {
    constexpr float COEFFICIENTS[] = {0.009675541618f, 0.05550713281f, 0.2402211972f, 0.6931469671f, 1.000000072f};
    Float shifted[COUNT], fraction[COUNT];
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    for (int i = 0; i < COUNT; i++) shifted[i] = x[i] + 12582912.0f;
    for (int i = 0; i < COUNT; i++) fraction[i] = shifted[i] - 12582912.0f;
    for (int i = 0; i < COUNT; i++) fraction[i] = x[i] - fraction[i];
    for (int i = 0; i < COUNT; i++) result[i] = splat(0.001327647042f);
    for (float coefficient : COEFFICIENTS) {
        for (int i = 0; i < COUNT; i++) result[i] = fma(result[i], fraction[i], splat(coefficient));
    }
    for (int i = 0; i < COUNT; i++) result[i] = (Float)((Int)result[i] + ((Int)shifted[i] << 23));
}

INLINE Float exp2(Float x) {
    const Float in[1] = {x};
    Float out[1];
    exp2_each(in, out);
    return out[0];
}

// log2(x) for normal x > 0, absolute error below 1e-6 (atanh series of the mantissa about 1).
INLINE Float log2(Float x) {
    const Int exponent = (((Int)x - 0x3f3504f3) >> 23);
    const Float mantissa = (Float)((Int)x - (exponent << 23));
    const Float t = (mantissa - 1.0f) / (mantissa + 1.0f), square = t * t;
    Float series = splat(0.3205989f);
    series = fma(series, square, splat(0.41219858f));
    series = fma(series, square, splat(0.57707801f));
    series = fma(series, square, splat(0.96179669f));
    series = fma(series, square, splat(2.8853900f));
    return fma(series, t, __builtin_convertvector(exponent, Float));
}

// e^x, clamped to the range of normal numbers.
INLINE Float exp(Float x) { return exp2(minimum(maximum(x * 1.4426950408889634f, splat(-126.0f)), splat(126.0f))); }

// Lane i gets p[i * stride] for i < count, and the last of these beyond.
INLINE Float load_strided(const float* p, int32_t stride, int count) {
    if (count == LANES) return gather(p, stride);
    Float value;
    for (int i = 0; i < LANES; i++) value[i] = p[(i < count ? i : count - 1) * stride];
    return value;
}
INLINE void store_strided(float* p, int32_t stride, int count, Float value) {
    if (count == LANES) return scatter(p, stride, value);
    for (int i = 0; i < count; i++) p[i * stride] = value[i];
}

// Loads the first `count` lanes; the others are zero.
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

// Loads the first `count` bytes as floats 0 to 1; the others are zero.
INLINE Float load_bytes(const uint8_t* p, int count) {
    alignas(16) uint8_t bytes[16] = {};
    if (count < LANES) {
        for (int i = 0; i < count; i++) bytes[i] = p[i];
        p = bytes;
    }
#if defined(__AVX512F__)
    const Int numbers = (Int)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
    const Int numbers = (Int)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
    const Int numbers = {p[0], p[1], p[2], p[3]};
#endif
    return __builtin_convertvector(numbers, Float) * (1.0f / 255.0f);
}

// Calls use(i, count) for the vectors of [begin, end); only the `count` values of a vector that are before `size` exist.
template <typename Use>
INLINE void for_vectors(int64_t begin, int64_t end, int64_t size, const Use& use) {
    int64_t i = begin;
    for (; i < end && i + LANES <= size; i += LANES) use(i, LANES);
    if (i < end) use(i, static_cast<int>(size - i));
}

}  // namespace
}  // namespace img2world
