// Converts rows in memory to one vector per column and back: values of Gaussians, pixels, pairs.
#pragma once

#include "simd.hpp"

namespace img2world {
namespace {

// Column K of rows of N values that are stored in N vectors: lane i gets value i N + K.
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

// Vector J of N columns interleaved row by row.
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

// Lane i of out[k] gets p[16 i + k]; rows beyond `count` are read as zero.
INLINE void load_rows(const float* p, int count, Float (&out)[16]) {
    for (int part = 0; part < 16; part += LANES) {
        Float rows[LANES];
        for (int i = 0; i < LANES; i++) rows[i] = i < count ? load(p + 16 * i + part) : Float{};
        transpose(rows);
        for (int i = 0; i < LANES; i++) out[part + i] = rows[i];
    }
}

// Four floats, the part of a vector that every instruction set has.
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

// Four consecutive pixels of three channels as one vector per channel.
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
// One pair repeated.
INLINE Float splat_pair(const float* p) {
    typedef double Double __attribute__((vector_size(4 * LANES)));
    double pair;
    std::memcpy(&pair, p, sizeof pair);
    return (Float)(pair - Double{});
}

}  // namespace
}  // namespace img2world
