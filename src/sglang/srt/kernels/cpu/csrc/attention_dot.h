/* What the two kernels with bfloat16 dot products share. They give a row the same bits:
 *
 * A score is four chains of dot products, chain j over pairs j, j + 4, j + 8 ... of dimensions,
 * added as ((0 + 1) + 2) + 3. The sum of a block's weights is four chains likewise, chain j over
 * positions j, j + 4 ..., added as (0 + 1) + (2 + 3). Each weighted sum of values is one chain over
 * pairs of positions.
 */
#pragma once

#include "attention.h"

#if defined(HAVE_BF16_DOT)

INLINE vf dot(vf sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* In a register: compilers like to read it from memory again for each use. */
INLINE __m512i keep(__m512i x) {
    __asm__("" : "+v"(x));
    return x;
}

/* 2^x of finite x <= 0, or a little above: relative error 4e-6, for the result becomes bfloat16. */
INLINE vf weight_of(vf x) {
    vf n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    vf f = vf_sub(x, n);
    vf p = vf_set1(0.00967052f);
    p = vf_fma(p, f, vf_set1(0.0558267f));
    p = vf_fma(p, f, vf_set1(0.240226f));
    p = vf_fma(p, f, vf_set1(0.693125f));
    p = vf_fma(p, f, vf_set1(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* softcap * tanh(score * scale / softcap), by tanh x = 1 - 2 / (e^2x + 1). */
INLINE vf cap_score(const Attention *a, vf score) {
    vf cap = vf_set1((float)a->softcap), one = vf_set1(1.0f), two = vf_set1(2.0f);
    vf e = vf_exp2(vf_mul(score, vf_set1((float)(2.0f * LOG2E * a->scale / a->softcap))));
    return vf_mul(cap, vf_sub(one, vf_div(two, vf_add(e, one))));
}

/* What a score is multiplied by to be a power of 2. */
INLINE float to_log2(const Attention *a) {
    return a->softcap > 0 ? LOG2E : (float)(a->scale * LOG2E);
}

/* Whether rows of tokens [first, last] see different positions of the block, or not all. */
INLINE bool is_ragged(const Attention *a, const Block *b, const Head *h, int first, int last) {
    bool all_past = h->position + first >= b->start + BLOCK - 1;
    bool all_near = oldest_seen(a, h->position + last) <= b->start;
    return h->patchy || !all_past || !all_near;
}

/* Which of positions b->start + column rows see, by their last and oldest (see Head). */
INLINE __mmask16 seen(const Attention *a, const Block *b, const Head *h, __m512i last,
                      __m512i oldest, __m512i column) {
    __m512i distance = _mm512_sub_epi32(column, _mm512_set1_epi32((int)(h->position - b->start)));
    __mmask16 mask = _mm512_cmple_epi32_mask(distance, last);
    if (a->window <= 0 && a->chunk <= 0) return mask;
    return _mm512_mask_cmpge_epi32_mask(mask, distance, oldest);
}

/* The score of position b->start + column, which lies so many positions before the row's own. */
INLINE vf sloped(const Block *b, const Head *h, __m512i tokens, __m512i column, vf slope, vf score) {
    __m512i own = _mm512_add_epi32(tokens, _mm512_set1_epi32((int)(h->position - b->start)));
    return vf_fma(slope, _mm512_cvtepi32_ps(_mm512_sub_epi32(column, own)), score);
}

#endif
