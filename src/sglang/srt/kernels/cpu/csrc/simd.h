/* One vector of floats, `vf`, of the width the compiler was told to aim at, and the dozen
 * operations the kernels need. Three versions: AVX-512, AVX2 + FMA, and compiler vectors.
 *
 * Every operation is deterministic and works lane by lane (the horizontal ones add in a fixed
 * order), so a kernel written with them gives the same bits however its loops are split.
 */
#pragma once

#include "common.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define VF_AVX512 1
#define VF_WIDTH 16
typedef __m512 vf;
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VF_AVX2 1
#define VF_WIDTH 8
typedef __m256 vf;
#else
#define VF_PORTABLE 1
#define VF_WIDTH 4
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <immintrin.h>
#endif
#endif

#if defined(VF_AVX512) && defined(__AVX512BF16__)
#define HAVE_BF16_DOT 1
enum { BF16_DOT = 1 };
#else
enum { BF16_DOT = 0 };
#endif

#if defined(HAVE_BF16_DOT)
#define ISA_NAME "avx512_bf16"
#elif defined(VF_AVX512)
#define ISA_NAME "avx512"
#elif defined(VF_AVX2) && defined(__AVXVNNI__)
#define ISA_NAME "avx2_vnni"
#elif defined(VF_AVX2)
#define ISA_NAME "avx2"
#else
#define ISA_NAME "portable"
#endif

/* ---- bfloat16 <-> float, one value -------------------------------------------------- */

static inline float bf16_to_f32(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

/* Round to nearest even; a NaN stays a (quiet) NaN. */
static inline bf16 f32_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bf16)((bits >> 16) | 0x40);
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

/* ---- AVX-512 ------------------------------------------------------------------------- */
#if defined(VF_AVX512)

static inline vf vf_set1(float x) { return _mm512_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
/* With a NaN in either operand these return the second one. */
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }

static inline vf vf_load_bf16(const bf16 *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline __m256i vf_to_bf16(vf x) {
#if defined(HAVE_BF16_DOT)
    return (__m256i)_mm512_cvtneps_pbh(x);
#else
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    up = _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(up, 16));
#endif
}

static inline void vf_store_bf16(bf16 *p, vf x) {
    _mm256_storeu_si256((__m256i *)p, vf_to_bf16(x));
}

static inline float vf_sum(vf x) {
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

static inline float vf_largest(vf x) {
    __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
}

/* 2^x; exactly 0 far below the range, infinity above it, NaN for NaN. */
static inline vf vf_exp2(vf x) {
    x = vf_max(vf_set1(-200.0f), x);
    vf n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    vf f = vf_sub(x, n);
    vf p = vf_set1(EXP2_C6);
    p = vf_fma(p, f, vf_set1(EXP2_C5));
    p = vf_fma(p, f, vf_set1(EXP2_C4));
    p = vf_fma(p, f, vf_set1(EXP2_C3));
    p = vf_fma(p, f, vf_set1(EXP2_C2));
    p = vf_fma(p, f, vf_set1(EXP2_C1));
    p = vf_fma(p, f, vf_set1(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* ---- AVX2 + FMA ---------------------------------------------------------------------- */
#elif defined(VF_AVX2)

static inline vf vf_set1(float x) { return _mm256_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }

static inline vf vf_load_bf16(const bf16 *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline void vf_store_bf16(bf16 *p, vf x) {
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    up = _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(nan));
    up = _mm256_srli_epi32(up, 16);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(up, up), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
}

static inline float vf_sum(vf x) {
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

static inline float vf_largest(vf x) {
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
}

static inline vf vf_exp2(vf x) {
    x = vf_min(vf_set1(127.5f), vf_max(vf_set1(-127.0f), x));
    vf n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    vf f = vf_sub(x, n);
    vf p = vf_set1(EXP2_C6);
    p = vf_fma(p, f, vf_set1(EXP2_C5));
    p = vf_fma(p, f, vf_set1(EXP2_C4));
    p = vf_fma(p, f, vf_set1(EXP2_C3));
    p = vf_fma(p, f, vf_set1(EXP2_C2));
    p = vf_fma(p, f, vf_set1(EXP2_C1));
    p = vf_fma(p, f, vf_set1(1.0f));
    /* n = -127 gives the bits of 0.0, n = 128 those of infinity. */
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return vf_mul(p, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

/* ---- compiler vectors ---------------------------------------------------------------- */
#else

static inline vf vf_set1(float x) { return (vf){x, x, x, x}; }
static inline vf vf_load(const float *p) { vf x; memcpy(&x, p, sizeof x); return x; }
static inline void vf_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
#if defined(__aarch64__)
static inline vf vf_fma(vf a, vf b, vf c) {
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#else
static inline vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
#endif
#if defined(__SSE2__)
static inline vf vf_max(vf a, vf b) { return _mm_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm_min_ps(a, b); }
#else
static inline vf vf_max(vf a, vf b) { return vf_select((vi)(a > b), a, b); }
static inline vf vf_min(vf a, vf b) { return vf_select((vi)(a < b), a, b); }
#endif

static inline vf vf_load_bf16(const bf16 *p) {
    return (vf)((vi){p[0], p[1], p[2], p[3]} << 16);
}

static inline void vf_store_bf16(bf16 *p, vf x) {
    for (int i = 0; i < VF_WIDTH; i++) p[i] = f32_to_bf16(x[i]);
}

static inline float vf_sum(vf x) { return (x[0] + x[2]) + (x[1] + x[3]); }
static inline float vf_largest(vf x) { return MAX(MAX(x[0], x[1]), MAX(x[2], x[3])); }

static inline vf vf_exp2(vf x) {
    x = vf_min(vf_set1(127.5f), vf_max(vf_set1(-127.0f), x));
    /* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
    vf magic = vf_set1(12582912.0f);
    vf shifted = x + magic;
    vf n = shifted - magic;
    vf f = x - n;
    vf p = vf_set1(EXP2_C6);
    p = vf_fma(p, f, vf_set1(EXP2_C5));
    p = vf_fma(p, f, vf_set1(EXP2_C4));
    p = vf_fma(p, f, vf_set1(EXP2_C3));
    p = vf_fma(p, f, vf_set1(EXP2_C2));
    p = vf_fma(p, f, vf_set1(EXP2_C1));
    p = vf_fma(p, f, vf_set1(1.0f));
    vi exponent = ((vi)shifted - (vi)magic + 127) << 23;
    return p * (vf)exponent;
}

#endif

/* ---- built on the above -------------------------------------------------------------- */

static inline vf vf_zero(void) { return vf_set1(0.0f); }

/* The first n < VF_WIDTH values; the other lanes are `fill`. */
static inline vf vf_load_part(const float *p, int n, float fill) {
    float lanes[VF_WIDTH];
    for (int i = 0; i < VF_WIDTH; i++) lanes[i] = i < n ? p[i] : fill;
    return vf_load(lanes);
}

static inline vf vf_load_part_bf16(const bf16 *p, int n) {
    bf16 lanes[VF_WIDTH];
    for (int i = 0; i < VF_WIDTH; i++) lanes[i] = i < n ? p[i] : 0;
    return vf_load_bf16(lanes);
}

static inline void vf_store_part(float *p, vf x, int n) {
    float lanes[VF_WIDTH];
    vf_store(lanes, x);
    for (int i = 0; i < n; i++) p[i] = lanes[i];
}

static inline void vf_store_part_bf16(bf16 *p, vf x, int n) {
    bf16 lanes[VF_WIDTH];
    vf_store_bf16(lanes, x);
    for (int i = 0; i < n; i++) p[i] = lanes[i];
}

/* Row i of a float32 or bfloat16 array, n values from column c (n may pass VF_WIDTH). */
static inline vf row_load(const void *row, int dtype, long c, long n) {
    if (dtype == DTYPE_F32) {
        const float *p = (const float *)row + c;
        return n >= VF_WIDTH ? vf_load(p) : vf_load_part(p, (int)n, 0.0f);
    }
    const bf16 *p = (const bf16 *)row + c;
    return n >= VF_WIDTH ? vf_load_bf16(p) : vf_load_part_bf16(p, (int)n);
}

static inline void row_store(void *row, int dtype, long c, long n, vf x) {
    if (dtype == DTYPE_F32) {
        float *p = (float *)row + c;
        if (n >= VF_WIDTH) vf_store(p, x);
        else vf_store_part(p, x, (int)n);
        return;
    }
    bf16 *p = (bf16 *)row + c;
    if (n >= VF_WIDTH) vf_store_bf16(p, x);
    else vf_store_part_bf16(p, x, (int)n);
}
