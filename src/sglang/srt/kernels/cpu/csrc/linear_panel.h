/* The product of some rows with one panel of a packed weight, see linear.h: each number of it is
 * one chain of multiply-adds in the order of k, in registers from first to last. */
#pragma once

#include "linear.h"

#if defined(VF_AVX512)
enum { ROWS = 12 }; /* times 2 vectors of sums: 24 of 32 registers */
#else
enum { ROWS = 6 }; /* 12 of 16 */
#endif
enum { PREFETCH_BYTES = 4096 }; /* how far ahead a panel is asked for */

typedef enum { WEIGHT_F32, WEIGHT_BF16, WEIGHT_PAIRS } Weight;

/* sums[rows][PANEL] = x[rows] * panel; `rows` and `kind` are compile-time constants. */
INLINE void multiply_panel(int rows, Weight kind, const char *x, long x_stride, const char *panel,
                           long steps, float *sums) {
    const long step_bytes = PANEL * (kind == WEIGHT_BF16 ? sizeof(bf16) : sizeof(float));
    const bool dot = kind == WEIGHT_PAIRS;
    vf left[ROWS], right[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) left[r] = right[r] = vf_zero();
    for (long i = 0; i < steps; i++) {
        const char *at = panel + i * step_bytes;
        for (int line = 0; line < step_bytes; line += 64)
            __builtin_prefetch(at + PREFETCH_BYTES + line, 0, 3);
        vf a, b;
        if (kind == WEIGHT_BF16) {
            a = vf_load_bf16((const bf16 *)at);
            b = vf_load_bf16((const bf16 *)at + VF_WIDTH);
        } else {
            a = vf_load((const float *)at);
            b = vf_load((const float *)at + VF_WIDTH);
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            vf value = vf_broadcast_element((const float *)(x + r * x_stride) + i, dot);
            left[r] = vf_multiply_add(value, a, left[r], dot);
            right[r] = vf_multiply_add(value, b, right[r], dot);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        vf_store(sums + r * PANEL, left[r]);
        vf_store(sums + r * PANEL + VF_WIDTH, right[r]);
    }
}

#define CASE(R) \
    case R: multiply_panel(R, kind, x, x_stride, panel, steps, sums); break;

INLINE void multiply_rows(int rows, Weight kind, const char *x, long x_stride, const char *panel,
                          long steps, float *sums) {
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if defined(VF_AVX512)
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
}
