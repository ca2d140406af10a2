/* The inner loop of every matrix product: C[rows][columns] += A[rows][k] B[k][columns].
 *
 * A is row major and read by broadcast; B is a packed panel whose row k holds the columns side by
 * side. An element of either is 4 bytes: a float, or (`dot`) a pair of bfloat16 that belong to
 * k = 2i and 2i + 1, for the bfloat16 dot-product instruction. Each element of C is one chain of
 * additions in the order of k, whatever the size of the block it is computed in.
 */
#pragma once

#include "simd.h"

#if defined(VF_AVX512)
enum { TILE_VECTORS = 4 };
#else
enum { TILE_VECTORS = 2 };
#endif
enum { TILE_ROWS = 6, TILE_MAX_ROWS = 12 };

#if defined(HAVE_BF16_DOT)
enum { BF16_DOT = 1 };
#else
enum { BF16_DOT = 0 };
#endif

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

/* Memory to ask for while a product runs, when the loads of the product itself do not need the
 * way to the outer caches: lines next <= n < end, of which 1 << shift lie in a row, one after the
 * other from rows[n >> shift] + offset. */
typedef struct {
    const char *const *rows;
    size_t offset;
    int shift, next, end;
} Ahead;

enum { LINES_PER_STEP = 4 };

INLINE void ask_ahead(Ahead *ahead) {
    if (ahead->next >= ahead->end) return;
    for (int n = ahead->next; n < ahead->next + LINES_PER_STEP; n++) {
        size_t line = (size_t)n & ((1u << ahead->shift) - 1);
        __builtin_prefetch(ahead->rows[n >> ahead->shift] + ahead->offset + line * 64, 0, 2);
    }
    ahead->next += LINES_PER_STEP;
}

/* `rows` and `vectors` are compile-time constants. With `factor` C is first multiplied by
 * factor[row], without it C starts at 0. Strides and `k` count elements. `ahead` may be NULL. */
INLINE void tile(int rows, int vectors, bool dot, const float *a, long lda, const float *b,
                 long ldb, float *c, long ldc, long k, const float *factor, Ahead *ahead) {
    vf sum[TILE_MAX_ROWS][TILE_VECTORS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = factor ? vf_mul(vf_load(c + r * ldc + v * VF_WIDTH), vf_set1(factor[r]))
                               : vf_zero();
    for (long i = 0; i < k; i++) {
        vf column[TILE_VECTORS];
        if (ahead) ask_ahead(ahead);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) column[v] = vf_load(b + i * ldb + v * VF_WIDTH);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            vf value = vf_broadcast_element(a + r * lda + i, dot);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[r][v] = vf_multiply_add(value, column[v], sum[r][v], dot);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) vf_store(c + r * ldc + v * VF_WIDTH, sum[r][v]);
}

#define TILE_CASE(R, V)                                            \
    case (R) * 8 + (V):                                            \
        tile(R, V, dot, a, lda, b, ldb, c, ldc, k, factor, ahead); \
        break;
#if defined(VF_AVX512)
#define TILE_CASES(R) TILE_CASE(R, 1) TILE_CASE(R, 2) TILE_CASE(R, 3) TILE_CASE(R, 4)
#else
#define TILE_CASES(R) TILE_CASE(R, 1) TILE_CASE(R, 2)
#endif

/* C[rows][columns] for 1 <= rows <= TILE_ROWS and columns a multiple of VF_WIDTH. */
INLINE void product_columns(int rows, int columns, bool dot, const float *a, long lda,
                            const float *b, long ldb, float *c, long ldc, long k,
                            const float *factor, Ahead *ahead) {
    for (int left = columns / VF_WIDTH; left > 0; left -= TILE_VECTORS) {
        switch (rows * 8 + MIN(left, (int)TILE_VECTORS)) {
            TILE_CASES(1) TILE_CASES(2) TILE_CASES(3) TILE_CASES(4) TILE_CASES(5) TILE_CASES(6)
        }
        b += TILE_VECTORS * VF_WIDTH;
        c += TILE_VECTORS * VF_WIDTH;
    }
}

#define PRODUCT_ARGUMENTS                                                                   \
    int rows, int columns, const float *a, long lda, const float *b, long ldb, float *c, \
        long ldc, long k, const float *factor, Ahead *ahead

static __attribute__((noinline)) void product_f32(PRODUCT_ARGUMENTS) {
    product_columns(rows, columns, false, a, lda, b, ldb, c, ldc, k, factor, ahead);
}

#if defined(HAVE_BF16_DOT)
static __attribute__((noinline)) void product_dot(PRODUCT_ARGUMENTS) {
    product_columns(rows, columns, true, a, lda, b, ldb, c, ldc, k, factor, ahead);
}
#else
#define product_dot product_f32
#endif
