// Vectors of as many floats as the instruction set holds. Wider ones would be split by the compiler, 3-4 times slower.
//
// Contraction is off in the whole module and fused multiply-adds are written out, so that forward and
// backward see the same alpha: one that is skipped in one and counted in the other would be a wrong gradient.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

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
INLINE Int load_numbers(const uint32_t* p) {
    Int value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

// Appends the numbers first + i of the lanes i whose bit is set. Up to LANES more may be written behind them.
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
// it the value has no meaning, and may be NaN. Several at once: each step of one waits for the step before.
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

// e^x, held within the range of normal numbers.
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

// The first `count` of some bytes as floats 0 to 1; the others are zero.
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

// Calls use(i, count) for vectors of [begin, end), of which only those before `size` exist: `count` of a vector.
template <typename Use>
INLINE void for_vectors(int64_t begin, int64_t end, int64_t size, const Use& use) {
    int64_t i = begin;
    for (; i < end && i + LANES <= size; i += LANES) use(i, LANES);
    if (i < end) use(i, static_cast<int>(size - i));
}

// Column K of rows of N values that lie one after the other in N vectors: in lane i the value i N + K.
template <int N, int K, int... I>
INLINE Float pick_column(const Float* rows, std::integer_sequence<int, I...>) {
    Float out = __builtin_shufflevector(
        rows[0], rows[1], ((I * N + K) / LANES < 2 ? (I * N + K) / LANES * LANES + (I * N + K) % LANES : -1)...);
    if constexpr (N > 2) {
        out = __builtin_shufflevector(out, rows[2], ((I * N + K) / LANES == 2 ? LANES + (I * N + K) % LANES : I)...);
    }
    if constexpr (N > 3) {
        out = __builtin_shufflevector(out, rows[3], ((I * N + K) / LANES == 3 ? LANES + (I * N + K) % LANES : I)...);
    }
    return out;
}

// Vector J of N columns that are put one after the other, row by row.
template <int N, int J, int... I>
INLINE Float pick_rows(const Float* columns, std::integer_sequence<int, I...>) {
    Float out = __builtin_shufflevector(
        columns[0], columns[1],
        ((J * LANES + I) % N < 2 ? (J * LANES + I) % N * LANES + (J * LANES + I) / N : -1)...);
    if constexpr (N > 2) {
        out = __builtin_shufflevector(out, columns[2], ((J * LANES + I) % N == 2 ? LANES + (J * LANES + I) / N : I)...);
    }
    if constexpr (N > 3) {
        out = __builtin_shufflevector(out, columns[3], ((J * LANES + I) % N == 3 ? LANES + (J * LANES + I) / N : I)...);
    }
    return out;
}

// Lane i of out[k] gets p[N i + k] for i < count, and the last row beyond. N is 2, 3 or 4.
template <int N>
INLINE void load_columns(const float* p, int count, Float (&out)[N]) {
    if (count < LANES) {
        for (int k = 0; k < N; k++) out[k] = load_strided(p + k, N, count);
        return;
    }
    constexpr auto lanes = std::make_integer_sequence<int, LANES>();
    Float rows[N];
    for (int k = 0; k < N; k++) rows[k] = load(p + k * LANES);
    out[0] = pick_column<N, 0>(rows, lanes);
    out[1] = pick_column<N, 1>(rows, lanes);
    if constexpr (N > 2) out[2] = pick_column<N, 2>(rows, lanes);
    if constexpr (N > 3) out[3] = pick_column<N, 3>(rows, lanes);
}
template <int N>
INLINE void store_columns(float* p, int count, const Float (&columns)[N]) {
    if (count < LANES) {
        for (int k = 0; k < N; k++) store_strided(p + k, N, count, columns[k]);
        return;
    }
    constexpr auto lanes = std::make_integer_sequence<int, LANES>();
    store(p, pick_rows<N, 0>(columns, lanes));
    store(p + LANES, pick_rows<N, 1>(columns, lanes));
    if constexpr (N > 2) store(p + 2 * LANES, pick_rows<N, 2>(columns, lanes));
    if constexpr (N > 3) store(p + 3 * LANES, pick_rows<N, 3>(columns, lanes));
}

// Lane j of row i becomes lane i of row j.
INLINE void transpose(Float (&rows)[LANES]) {
    Float next[LANES];
    // Each step swaps one bit of the row's number with one of the lane's, the two lowest within 128 bits.
#if defined(__AVX512F__) || defined(__AVX2__)
#if defined(__AVX512F__)
#define LOW(a, b) (Float) _mm512_unpacklo_ps((__m512)(a), (__m512)(b))
#define HIGH(a, b) (Float) _mm512_unpackhi_ps((__m512)(a), (__m512)(b))
#define LOW_PAIR(a, b) (Float) _mm512_unpacklo_pd((__m512d)(a), (__m512d)(b))
#define HIGH_PAIR(a, b) (Float) _mm512_unpackhi_pd((__m512d)(a), (__m512d)(b))
#else
#define LOW(a, b) (Float) _mm256_unpacklo_ps((__m256)(a), (__m256)(b))
#define HIGH(a, b) (Float) _mm256_unpackhi_ps((__m256)(a), (__m256)(b))
#define LOW_PAIR(a, b) (Float) _mm256_unpacklo_pd((__m256d)(a), (__m256d)(b))
#define HIGH_PAIR(a, b) (Float) _mm256_unpackhi_pd((__m256d)(a), (__m256d)(b))
#endif
    for (int i = 0; i < LANES; i += 4) {
        const Float a = LOW(rows[i], rows[i + 1]), b = HIGH(rows[i], rows[i + 1]);
        const Float c = LOW(rows[i + 2], rows[i + 3]), d = HIGH(rows[i + 2], rows[i + 3]);
        next[i] = LOW_PAIR(a, c);
        next[i + 1] = HIGH_PAIR(a, c);
        next[i + 2] = LOW_PAIR(b, d);
        next[i + 3] = HIGH_PAIR(b, d);
    }
#undef LOW
#undef HIGH
#undef LOW_PAIR
#undef HIGH_PAIR
    // Now quarter q of next[4 g + j] is column 4 q + j of rows 4 g to 4 g + 3.
    for (int j = 0; j < 4; j++) {
#if defined(__AVX512F__)
        const __m512 a = (__m512)next[j], b = (__m512)next[4 + j], c = (__m512)next[8 + j], d = (__m512)next[12 + j];
        const __m512 ab_even = _mm512_shuffle_f32x4(a, b, 0x88), ab_odd = _mm512_shuffle_f32x4(a, b, 0xdd);
        const __m512 cd_even = _mm512_shuffle_f32x4(c, d, 0x88), cd_odd = _mm512_shuffle_f32x4(c, d, 0xdd);
        rows[j] = (Float)_mm512_shuffle_f32x4(ab_even, cd_even, 0x88);
        rows[4 + j] = (Float)_mm512_shuffle_f32x4(ab_odd, cd_odd, 0x88);
        rows[8 + j] = (Float)_mm512_shuffle_f32x4(ab_even, cd_even, 0xdd);
        rows[12 + j] = (Float)_mm512_shuffle_f32x4(ab_odd, cd_odd, 0xdd);
#else
        rows[j] = (Float)_mm256_permute2f128_ps((__m256)next[j], (__m256)next[4 + j], 0x20);
        rows[4 + j] = (Float)_mm256_permute2f128_ps((__m256)next[j], (__m256)next[4 + j], 0x31);
#endif
    }
#else
    const Float a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    const Float b = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const Float c = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    const Float d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    next[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    next[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    next[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    next[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
    for (int i = 0; i < LANES; i++) rows[i] = next[i];
#endif
}

// Lane i of out[k] gets p[16 i + k]; rows that do not exist are read as zero.
INLINE void load_rows(const float* p, int count, Float (&out)[16]) {
    for (int part = 0; part < 16; part += LANES) {
        Float rows[LANES];
        for (int i = 0; i < LANES; i++) rows[i] = i < count ? load(p + 16 * i + part) : Float{};
        transpose(rows);
        for (int i = 0; i < LANES; i++) out[part + i] = rows[i];
    }
}

// Four floats, of which a vector is made.
typedef float Quad __attribute__((vector_size(16)));
constexpr int QUADS = LANES / 4;
INLINE Quad load_quad(const float* p) {
    Quad value;
    std::memcpy(&value, p, sizeof value);
    return value;
}
INLINE void store_quad(float* p, Quad value) { std::memcpy(p, &value, sizeof value); }

INLINE Float join(const Quad* quads) {
#if defined(__AVX512F__)
    typedef float Oct __attribute__((vector_size(32)));
    const Oct low = __builtin_shufflevector(quads[0], quads[1], 0, 1, 2, 3, 4, 5, 6, 7);
    const Oct high = __builtin_shufflevector(quads[2], quads[3], 0, 1, 2, 3, 4, 5, 6, 7);
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX2__)
    return __builtin_shufflevector(quads[0], quads[1], 0, 1, 2, 3, 4, 5, 6, 7);
#else
    return quads[0];
#endif
}
INLINE void split(Float a, Quad* quads) {
    quads[0] = __builtin_shufflevector(a, a, 0, 1, 2, 3);
#if defined(__AVX512F__) || defined(__AVX2__)
    quads[1] = __builtin_shufflevector(a, a, 4, 5, 6, 7);
#endif
#if defined(__AVX512F__)
    quads[2] = __builtin_shufflevector(a, a, 8, 9, 10, 11);
    quads[3] = __builtin_shufflevector(a, a, 12, 13, 14, 15);
#endif
}

// Four pixels of three channels, one after the other in memory, as a vector for each channel.
INLINE void load_pixels(const float* p, Quad (&channels)[3]) {
    const Quad a = load_quad(p), b = load_quad(p + 4), c = load_quad(p + 8);
    channels[0] = __builtin_shufflevector(__builtin_shufflevector(a, b, 0, 3, 6, 6), c, 0, 1, 2, 5);
    channels[1] = __builtin_shufflevector(__builtin_shufflevector(a, b, 1, 4, 7, 7), c, 0, 1, 2, 6);
    channels[2] = __builtin_shufflevector(__builtin_shufflevector(a, b, 2, 5, 5, 5), c, 0, 1, 4, 7);
}
INLINE void store_pixels(float* p, const Quad (&channels)[3]) {
    const Quad r = channels[0], g = channels[1], b = channels[2];
    store_quad(p, __builtin_shufflevector(__builtin_shufflevector(r, g, 0, 4, 1, 1), b, 0, 1, 4, 2));
    store_quad(p + 4, __builtin_shufflevector(__builtin_shufflevector(r, g, 5, 2, 6, 6), b, 0, 5, 1, 2));
    store_quad(p + 8, __builtin_shufflevector(__builtin_shufflevector(r, g, 3, 7, 7, 7), b, 6, 0, 1, 7));
}
INLINE void load_pixels(const float* p, Quad (&channels)[1]) { channels[0] = load_quad(p); }
INLINE void store_pixels(float* p, const Quad (&channels)[1]) { store_quad(p, channels[0]); }

// The pairs (a[0], b[0]), (a[1], b[1]) and so on.
INLINE void store_pairs(float* p, Float a, Float b) {
    constexpr auto lanes = std::make_integer_sequence<int, LANES>();
    const Float columns[2] = {a, b};
    store(p, pick_rows<2, 0>(columns, lanes));
    store(p + LANES, pick_rows<2, 1>(columns, lanes));
}
// One pair again and again.
INLINE Float splat_pair(const float* p) {
    typedef double Double __attribute__((vector_size(4 * LANES)));
    double pair;
    std::memcpy(&pair, p, sizeof pair);
    return (Float)(pair - Double{});
}

}  // namespace
}  // namespace img2world
