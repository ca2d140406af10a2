/* A square of 4-byte elements, rows to columns. */
#pragma once

#include "simd.h"

#if defined(VF_AVX512)
enum { TRANSPOSED = 16 };
#else
enum { TRANSPOSED = 4 };
#endif

/* panel[i * stride + r] = element i of rows[r] + offset, for r < TRANSPOSED and i < width; 1 <=
 * width <= TRANSPOSED is how many elements exist. */
#if defined(VF_AVX512)
INLINE void transpose_tile(const char *const *rows, size_t offset, int width, float *panel,
                           long stride) {
    __mmask16 mask = (__mmask16)((1u << width) - 1);
    __m512 a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        a[i] = width == 16 ? _mm512_loadu_ps((const float *)(rows[i] + offset))
                           : _mm512_maskz_loadu_ps(mask, (const float *)(rows[i] + offset));
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    /* a[4g + c], lane L: element 4L + c of rows 4g .. 4g + 3. */
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        b[c] = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88);
        b[4 + c] = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd);
        b[8 + c] = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
        b[12 + c] = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        a[c] = _mm512_shuffle_f32x4(b[c], b[8 + c], 0x88);
        a[4 + c] = _mm512_shuffle_f32x4(b[4 + c], b[12 + c], 0x88);
        a[8 + c] = _mm512_shuffle_f32x4(b[c], b[8 + c], 0xdd);
        a[12 + c] = _mm512_shuffle_f32x4(b[4 + c], b[12 + c], 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (i < width) _mm512_storeu_ps(panel + i * stride, a[i]);
}

#else

INLINE void transpose_tile(const char *const *rows, size_t offset, int width, float *panel,
                           long stride) {
#if defined(__SSE2__)
    if (width == 4) {
        __m128 a = _mm_loadu_ps((const float *)(rows[0] + offset));
        __m128 b = _mm_loadu_ps((const float *)(rows[1] + offset));
        __m128 c = _mm_loadu_ps((const float *)(rows[2] + offset));
        __m128 d = _mm_loadu_ps((const float *)(rows[3] + offset));
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(panel, a);
        _mm_storeu_ps(panel + stride, b);
        _mm_storeu_ps(panel + 2 * stride, c);
        _mm_storeu_ps(panel + 3 * stride, d);
        return;
    }
#endif
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < width; i++) memcpy(panel + i * stride + r, rows[r] + offset + 4 * i, 4);
}

#endif
