/* Packing one block of keys and values, read in place from their slots, for the tile loop. */
#pragma once

#include "tile.h"
#include "transpose.h"

enum { BLOCK = 64 }; /* positions; part of the result's definition: see attention.c */

/* The slots of one block; those that no query of the task needs are a slot of zeros (theirs may
 * belong to nobody). A head lies at the same offset in each. */
typedef struct {
    const char *k[BLOCK], *v[BLOCK];
} BlockRows;

/* Where a sequence lies. Needed are positions oldest <= j < last. */
typedef struct {
    const char *k, *v, *zeros;
    const int32_t *slots;
    size_t slot_bytes;
    long oldest, last;
} Source;

static inline void find_rows(BlockRows *rows, const Source *s, long start) {
    for (int i = 0; i < BLOCK; i++) {
        long j = start + i;
        bool needed = j >= s->oldest && j < s->last;
        size_t offset = needed ? (size_t)s->slots[j] * s->slot_bytes : 0;
        rows->k[i] = needed ? s->k + offset : s->zeros;
        rows->v[i] = needed ? s->v + offset : s->zeros;
    }
}

/* ---- keys: row i of the panel holds element i of all BLOCK keys ----------------------- */

INLINE void transpose(const char *const *rows, size_t offset, long elements, float *panel) {
    for (int group = 0; group < BLOCK; group += TRANSPOSED)
        for (long i = 0; i < elements; i += TRANSPOSED)
            transpose_tile(rows + group, offset + i * 4, (int)MIN(TRANSPOSED, elements - i),
                           panel + i * BLOCK + group, BLOCK);
}

/* keys: [dim or dim / 2][BLOCK] elements of the head at `offset`. */
static inline void pack_keys(const char *const *rows, size_t offset, long dim, int dtype, bool dot,
                             float *keys) {
    if (dtype == DTYPE_F32) {
        transpose(rows, offset, dim, keys);
    } else if (dot) {
        transpose(rows, offset, dim / 2, keys);
    } else {
        float wide[BLOCK][64]; /* 64 dimensions at a time */
        const char *wide_rows[BLOCK];
        for (int i = 0; i < BLOCK; i++) wide_rows[i] = (const char *)wide[i];
        for (long begin = 0; begin < dim; begin += 64) {
            long n = MIN(64, dim - begin);
            for (int i = 0; i < BLOCK; i++) {
                const char *row = rows[i] + offset;
                for (long c = 0; c < n; c += VF_WIDTH)
                    vf_store(wide[i] + c, row_load(row, dtype, begin + c, n - c));
            }
            transpose(wide_rows, 0, n, keys + begin * BLOCK);
        }
    }
}

/* ---- values: row i of the panel holds key i (dot: keys 2i and 2i + 1) ------------------ */

#if defined(HAVE_BF16_DOT)
INLINE void interleave(const char *even, const char *odd, long dim, float *pairs) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    long c = 0;
    for (; c + 32 <= dim; c += 32) {
        __m512i a = _mm512_loadu_si512(even + 2 * c), b = _mm512_loadu_si512(odd + 2 * c);
        _mm512_storeu_si512(pairs + c, _mm512_permutex2var_epi16(a, low, b));
        _mm512_storeu_si512(pairs + c + 16, _mm512_permutex2var_epi16(a, high, b));
    }
    if (c == dim) return;
    __mmask32 mask = (__mmask32)((1u << (dim - c)) - 1);
    __m512i a = _mm512_maskz_loadu_epi16(mask, even + 2 * c);
    __m512i b = _mm512_maskz_loadu_epi16(mask, odd + 2 * c);
    _mm512_storeu_si512(pairs + c, _mm512_permutex2var_epi16(a, low, b));
    if (dim - c > 16) _mm512_storeu_si512(pairs + c + 16, _mm512_permutex2var_epi16(a, high, b));
}
#endif

/* values: [BLOCK or BLOCK / 2][dim_padded] elements; columns from dim on are 0. */
static inline void pack_values(const char *const *rows, size_t offset, long dim, long dim_padded,
                               int dtype, bool dot, float *values) {
#if defined(HAVE_BF16_DOT)
    if (dot) {
        for (int i = 0; i < BLOCK; i += 2)
            interleave(rows[i] + offset, rows[i + 1] + offset, dim, values + i / 2 * dim_padded);
        return;
    }
#endif
    (void)dot;
    for (int i = 0; i < BLOCK; i++)
        for (long c = 0; c < dim; c += VF_WIDTH)
            vf_store(values + i * dim_padded + c, row_load(rows[i] + offset, dtype, c, dim - c));
}
