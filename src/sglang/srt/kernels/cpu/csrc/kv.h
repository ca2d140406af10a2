/* Element types of the KV cache besides the model's own: fp8 without a scale, and int8 with one
 * float32 scale per token and head (value = scale * element). */
#pragma once

#include "simd.h"

enum { DTYPE_E5M2 = 2, DTYPE_E4M3 = 3, DTYPE_INT8 = 4 };

/* The value of each byte of the 8-bit types, from DTYPE_E5M2 on. */
extern float kv_values[3][256];

static inline size_t kv_size(int dtype) { return dtype >= DTYPE_E5M2 ? 1 : dtype_size(dtype); }

/* The value of the n <= VF_WIDTH elements at p of a type of one byte. */
INLINE vf kv_load_bytes(const uint8_t *p, int dtype, int n) {
    const float *values = kv_values[dtype - DTYPE_E5M2];
    float lanes[VF_WIDTH];
    for (int i = 0; i < VF_WIDTH; i++) lanes[i] = i < n ? values[p[i]] : 0.0f;
    return vf_load(lanes);
}

/* Whole vectors, in registers where there are instructions for it. */
INLINE vf kv_load_vector(const uint8_t *p, int dtype) {
#if defined(VF_AVX512)
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    if (dtype == DTYPE_INT8) return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    __m512i index = _mm512_cvtepu8_epi32(bytes);
    return _mm512_i32gather_ps(index, kv_values[dtype - DTYPE_E5M2], 4);
#elif defined(VF_AVX2)
    __m128i bytes = _mm_loadl_epi64((const __m128i *)p);
    if (dtype == DTYPE_INT8) return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    __m256i index = _mm256_cvtepu8_epi32(bytes);
    return _mm256_i32gather_ps(kv_values[dtype - DTYPE_E5M2], index, 4);
#else
    return kv_load_bytes(p, dtype, VF_WIDTH);
#endif
}

/* n values (n may pass VF_WIDTH) from column c of a row of any type. */
INLINE vf kv_load(const void *row, int dtype, long c, long n) {
    if (dtype < DTYPE_E5M2) return row_load(row, dtype, c, n);
    const uint8_t *p = (const uint8_t *)row + c;
    return n >= VF_WIDTH ? kv_load_vector(p, dtype) : kv_load_bytes(p, dtype, (int)n);
}

/* Writes one head of x[dim] (rounded to nearest even, saturated), and its scale if it has one. */
void kv_store_head(const float *x, long dim, int dtype, void *out, float *scale);

#if defined(VF_AVX512) && defined(__AVX512VBMI__)
enum { KV_WIDENS = 1 };
/* to[rows][dim] = rows of 8-bit elements at base + offset[i], without their scales: all values of
 * these types are bfloat16 numbers. Where KV_WIDENS. */
void kv_widen(const char *base, const size_t *offset, long rows, long dim, int dtype, bf16 *to);
#else
enum { KV_WIDENS = 0 };
#endif
