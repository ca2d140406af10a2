/* Which tokens may come: the values of all others become -inf. */
#include "common.h"

enum { WORD = 32 };

/* The argument of mask_tokens: row i of bits [masked, words] is for row rows[i] of
 * x [rows, columns], whose rows are x_stride values apart. Bit c % 32 of word c / 32 keeps
 * column c. */
typedef struct {
    float *x;
    const int64_t *rows;
    const uint32_t *bits;
    int64_t masked, columns, words, x_stride;
} MaskTokens;

static void mask_word(float *x, uint32_t keep, long n) {
    if (keep == UINT32_MAX) return;
    for (long i = 0; i < n; i++)
        x[i] = keep >> i & 1 ? x[i] : -INFINITY;
}

static void mask_tokens_range(const void *context, long begin, long end) {
    const MaskTokens *r = context;
    for (long i = begin; i < end; i++) {
        float *x = r->x + r->rows[i] * r->x_stride;
        const uint32_t *bits = r->bits + i * r->words;
        long whole = r->columns / WORD;
        for (long w = 0; w < whole; w++)
            mask_word(x + w * WORD, bits[w], WORD);
        if (whole < r->words) mask_word(x + whole * WORD, bits[whole], r->columns - whole * WORD);
    }
}

EXPORT int mask_tokens(const MaskTokens *r) {
    parallel_ranges(r->masked, 1, mask_tokens_range, r);
    return 0;
}
