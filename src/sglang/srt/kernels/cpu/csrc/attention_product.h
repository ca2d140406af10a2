/* The product of float matrices in attention: C[rows][columns] += A[rows][k] B[k][columns].
 *
 * A is row major and read by broadcast, B is a packed panel. Each element of C is one chain of
 * additions in the order of k, whatever the size of the block it is computed in.
 */
#pragma once

#include "simd.h"

#if defined(VF_AVX512)
enum { TILE_VECTORS = 4 };
#else
enum { TILE_VECTORS = 2 };
#endif
enum { TILE_ROWS = 6 };

/* `rows` and `vectors` are compile-time constants. With `factor` C is first multiplied by
 * factor[row], without it C starts at 0. Strides and `k` count elements. */
INLINE void tile(int rows, int vectors, const float *a, long lda, const float *b, long ldb,
                 float *c, long ldc, long k, const float *factor) {
    vf sum[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = factor ? vf_mul(vf_load(c + r * ldc + v * VF_WIDTH), vf_set1(factor[r]))
                               : vf_zero();
    for (long i = 0; i < k; i++) {
        vf column[TILE_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) column[v] = vf_load(b + i * ldb + v * VF_WIDTH);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            vf value = vf_set1(a[r * lda + i]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] = vf_fma(value, column[v], sum[r][v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) vf_store(c + r * ldc + v * VF_WIDTH, sum[r][v]);
}

#define TILE_CASE(R, V)                                 \
    case (R) * 8 + (V):                                 \
        tile(R, V, a, lda, b, ldb, c, ldc, k, factor); \
        break;
#if defined(VF_AVX512)
#define TILE_CASES(R) TILE_CASE(R, 1) TILE_CASE(R, 2) TILE_CASE(R, 3) TILE_CASE(R, 4)
#else
#define TILE_CASES(R) TILE_CASE(R, 1) TILE_CASE(R, 2)
#endif

/* C[rows][columns] for 1 <= rows <= TILE_ROWS and columns a multiple of VF_WIDTH. */
static void product(int rows, int columns, const float *a, long lda, const float *b, long ldb,
                    float *c, long ldc, long k, const float *factor) {
    for (int left = columns / VF_WIDTH; left > 0; left -= TILE_VECTORS) {
        switch (rows * 8 + MIN(left, (int)TILE_VECTORS)) {
            TILE_CASES(1) TILE_CASES(2) TILE_CASES(3) TILE_CASES(4) TILE_CASES(5) TILE_CASES(6)
        }
        b += TILE_VECTORS * VF_WIDTH;
        c += TILE_VECTORS * VF_WIDTH;
    }
}
