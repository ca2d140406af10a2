/* What the loops of matrix products are made of, for elements of 4 bytes: a float, or (`dot`) a
 * pair of bfloat16 that belong to k = 2i and 2i + 1, for the bfloat16 dot-product instruction. */
#pragma once

#include "simd.h"

INLINE vf vf_broadcast_element(const float *p, bool dot) {
#if defined(HAVE_BF16_DOT)
    if (dot) {
        int32_t pair;
        memcpy(&pair, p, 4);
        return _mm512_castsi512_ps(_mm512_set1_epi32(pair));
    }
#endif
    (void)dot;
    return vf_set1(*p);
}

INLINE vf vf_multiply_add(vf a, vf b, vf c, bool dot) {
#if defined(HAVE_BF16_DOT)
    if (dot) return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#endif
    (void)dot;
    return vf_fma(a, b, c);
}
