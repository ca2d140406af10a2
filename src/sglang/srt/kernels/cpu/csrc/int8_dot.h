/* Products of small integers: a vector `vi32` of int32 sums, a lane for each output column.
 *
 * A lane takes DOT_DEPTH consecutive k at once: 4 where the CPU has dot products of bytes (AVX-512
 * VNNI, AVX-VNNI, NEON dotprod), 2 where it multiplies pairs of int16, else 1. Activations are
 * stored the way they are broadcast, DOT_DEPTH `dot_int` in 4 bytes; weights as bytes, DOT_DEPTH of
 * each column side by side. The VNNI instructions take unsigned weights: these are stored with
 * DOT_OFFSET added, and a sum begins at -DOT_OFFSET times the sum of the activations, which gives
 * the same number, also where it wraps around on the way. Sums of integers are exact, so the order
 * in which they are taken does not matter.
 */
#pragma once

#include "simd.h"

/* ---- the dot product, for each instruction set ---------------------------------------- */
#if defined(VF_AVX512)

typedef __m512i vi32;
typedef __m512i codes; /* DOT_DEPTH weights of VF_WIDTH columns */
#if defined(__AVX512VNNI__)
enum { DOT_DEPTH = 4, DOT_OFFSET = 128 };
typedef int8_t dot_int;
INLINE codes codes_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
INLINE codes codes_mask(codes x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
INLINE codes codes_shift(codes x) { return codes_mask(_mm512_srli_epi16(x, 4)); }
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) { return _mm512_dpbusd_epi32(sum, w, x); }
#else
enum { DOT_DEPTH = 2, DOT_OFFSET = 0 };
typedef int16_t dot_int;
INLINE codes codes_load(const uint8_t *p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p));
}
INLINE codes codes_mask(codes x) { return _mm512_and_si512(x, _mm512_set1_epi16(15)); }
INLINE codes codes_shift(codes x) { return codes_mask(_mm512_srli_epi16(x, 4)); }
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(w, x));
}
#endif

#elif defined(VF_AVX2)

typedef __m256i vi32;
typedef __m256i codes;
#if defined(__AVXVNNI__)
enum { DOT_DEPTH = 4, DOT_OFFSET = 128 };
typedef int8_t dot_int;
INLINE codes codes_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE codes codes_mask(codes x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
INLINE codes codes_shift(codes x) { return codes_mask(_mm256_srli_epi16(x, 4)); }
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) { return _mm256_dpbusd_avx_epi32(sum, w, x); }
#else
enum { DOT_DEPTH = 2, DOT_OFFSET = 0 };
typedef int16_t dot_int;
INLINE codes codes_load(const uint8_t *p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}
INLINE codes codes_mask(codes x) { return _mm256_and_si256(x, _mm256_set1_epi16(15)); }
INLINE codes codes_shift(codes x) { return codes_mask(_mm256_srli_epi16(x, 4)); }
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
}
#endif

#else

typedef vi vi32;
#if defined(__ARM_FEATURE_DOTPROD)
enum { DOT_DEPTH = 4, DOT_OFFSET = 0 };
typedef int8_t dot_int;
typedef int8x16_t codes;
INLINE codes codes_load(const uint8_t *p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
INLINE codes codes_mask(codes x) { return vandq_s8(x, vdupq_n_s8(15)); }
INLINE codes codes_shift(codes x) {
    return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(x), 4));
}
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) {
    return (vi32)vdotq_s32((int32x4_t)sum, w, (int8x16_t)x);
}
#elif defined(__SSE2__)
enum { DOT_DEPTH = 2, DOT_OFFSET = 0 };
typedef int16_t dot_int;
typedef __m128i codes;
INLINE codes codes_load(const uint8_t *p) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)p);
    return _mm_unpacklo_epi8(bytes, _mm_cmpgt_epi8(_mm_setzero_si128(), bytes));
}
INLINE codes codes_mask(codes x) { return _mm_and_si128(x, _mm_set1_epi16(15)); }
INLINE codes codes_shift(codes x) { return codes_mask(_mm_srli_epi16(x, 4)); }
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) {
    return (vi32)_mm_add_epi32((__m128i)sum, _mm_madd_epi16(w, (__m128i)x));
}
#else
enum { DOT_DEPTH = 1, DOT_OFFSET = 0 };
typedef int32_t dot_int;
typedef vi codes;
INLINE codes codes_load(const uint8_t *p) {
    return (vi){(int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3]};
}
INLINE codes codes_mask(codes x) { return x & 15; }
INLINE codes codes_shift(codes x) { return x >> 4 & 15; }
INLINE vi32 vi_dot(vi32 sum, codes w, vi32 x) { return sum + w * x; }
#endif

#endif

/* ---- 4-bit floats --------------------------------------------------------------------- */

enum { FLOAT4_OFFSET = 12 };

/* Twice the number of each nibble of E2M1, plus FLOAT4_OFFSET. */
static const uint8_t float4_codes[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                         12, 11, 10, 9,  8,  6,  4,  0};

/* The same of nibbles that codes_mask or codes_shift gave. */
#if defined(VF_AVX512)
INLINE codes codes_float4(codes x) {
    __m128i table = _mm_loadu_si128((const __m128i *)float4_codes);
    codes found = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), x);
    return DOT_DEPTH == 4 ? found : _mm512_and_si512(found, _mm512_set1_epi16(255));
}
#elif defined(VF_AVX2)
INLINE codes codes_float4(codes x) {
    __m128i table = _mm_loadu_si128((const __m128i *)float4_codes);
    codes found = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), x);
    return DOT_DEPTH == 4 ? found : _mm256_and_si256(found, _mm256_set1_epi16(255));
}
#elif defined(__ARM_FEATURE_DOTPROD)
INLINE codes codes_float4(codes x) {
    return vreinterpretq_s8_u8(vqtbl1q_u8(vld1q_u8(float4_codes), vreinterpretq_u8_s8(x)));
}
#elif defined(__SSE2__)
INLINE codes codes_float4(codes x) {
    int16_t each[8];
    _mm_storeu_si128((__m128i *)each, x);
    for (int i = 0; i < 8; i++) each[i] = float4_codes[each[i]];
    return _mm_loadu_si128((const __m128i *)each);
}
#else
INLINE codes codes_float4(codes x) {
    return (vi){float4_codes[x[0]], float4_codes[x[1]], float4_codes[x[2]], float4_codes[x[3]]};
}
#endif

/* ---- integers and floats -------------------------------------------------------------- */
#if defined(VF_AVX512)

INLINE vi32 vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vi32 vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
INLINE void vi_store(int32_t *p, vi32 x) { _mm512_storeu_si512(p, x); }
INLINE vi32 vi_add(vi32 a, vi32 b) { return _mm512_add_epi32(a, b); }
INLINE vi32 vi_max(vi32 a, vi32 b) { return _mm512_max_epi32(a, b); }
INLINE vi32 vi_magnitude(vf x) {
    return _mm512_and_si512(_mm512_castps_si512(x), vi_set1(0x7fffffff));
}
INLINE vf vi_to_float(vi32 x) { return _mm512_cvtepi32_ps(x); }
INLINE vi32 vi_round(vf x) { return _mm512_cvtps_epi32(x); }

#elif defined(VF_AVX2)

INLINE vi32 vi_set1(int32_t x) { return _mm256_set1_epi32(x); }
INLINE vi32 vi_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void vi_store(int32_t *p, vi32 x) { _mm256_storeu_si256((__m256i *)p, x); }
INLINE vi32 vi_add(vi32 a, vi32 b) { return _mm256_add_epi32(a, b); }
INLINE vi32 vi_max(vi32 a, vi32 b) { return _mm256_max_epi32(a, b); }
INLINE vi32 vi_magnitude(vf x) {
    return _mm256_and_si256(_mm256_castps_si256(x), vi_set1(0x7fffffff));
}
INLINE vf vi_to_float(vi32 x) { return _mm256_cvtepi32_ps(x); }
INLINE vi32 vi_round(vf x) { return _mm256_cvtps_epi32(x); }

#else

INLINE vi32 vi_set1(int32_t x) { return (vi32){x, x, x, x}; }
INLINE vi32 vi_load(const int32_t *p) { vi32 x; memcpy(&x, p, sizeof x); return x; }
INLINE void vi_store(int32_t *p, vi32 x) { memcpy(p, &x, sizeof x); }
INLINE vi32 vi_add(vi32 a, vi32 b) { return a + b; }
INLINE vi32 vi_max(vi32 a, vi32 b) { vi32 more = a > b; return (more & a) | (~more & b); }
INLINE vi32 vi_magnitude(vf x) { return (vi32)x & 0x7fffffff; }
INLINE vf vi_to_float(vi32 x) { return __builtin_convertvector(x, vf); }
/* Adding 1.5 * 2^23 leaves the nearest integer in the low bits, for magnitudes below 2^22. */
INLINE vi32 vi_round(vf x) {
    vf magic = vf_set1(12582912.0f);
    return (vi32)(x + magic) - (vi32)magic;
}

#endif
