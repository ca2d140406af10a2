/* out[M, N] = x[M, K] W^T + bias, with W packed: see linear.h.
 *
 * Each number of the result is one chain of multiply-adds in the order of k, in registers from
 * first to last, whatever M is and however the work is divided: a row's bits do not depend on the
 * batch it is in.
 */
#include "linear.h"

#if defined(VF_AVX512)
enum { ROWS = 12 }; /* times 2 vectors of sums: 24 of 32 registers */
#else
enum { ROWS = 6 }; /* 12 of 16 */
#endif
enum { PREFETCH_BYTES = 4096 }; /* how far ahead a panel is asked for */

typedef enum { WEIGHT_F32, WEIGHT_BF16, WEIGHT_PAIRS } Weight;

/* The argument of linear: x [m, k] with rows x_stride values apart, out contiguous [m, n]. */
typedef struct {
    const void *x;
    const char *packed;
    const void *bias; /* [n] in x's dtype, may be NULL */
    void *out;
    int64_t m, n, k, x_stride, dtype, out_dtype;
} Linear;

typedef struct {
    const Linear *args;
    const char *x; /* rows of floats, or of whole pairs of bfloat16 */
    long x_stride; /* bytes */
    Division division;
} Product;

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

static void store_rows(const Linear *l, long row, int rows, long column, const float *sums) {
    long columns = MIN(PANEL, l->n - column);
    for (int r = 0; r < rows; r++) {
        char *out = (char *)l->out + (row + r) * l->n * dtype_size((int)l->out_dtype);
        for (long c = 0; c < columns; c += VF_WIDTH) {
            vf y = vf_load(sums + r * PANEL + c);
            if (l->bias) y = vf_add(y, row_load(l->bias, (int)l->dtype, column + c, columns - c));
            row_store(out, (int)l->out_dtype, column + c, columns - c, y);
        }
    }
}

INLINE void run_share(const Product *p, Share share, Weight kind) {
    const Linear *l = p->args;
    float sums[ROWS * PANEL] __attribute__((aligned(64)));
    size_t bytes = panel_bytes(l->k, (int)l->dtype);
    long steps = kind == WEIGHT_PAIRS ? (l->k + 1) / 2 : l->k;
    for (long panel = share.panel_begin; panel < share.panel_end; panel++)
        for (long row = share.row_begin; row < share.row_end;) {
            int rows = block_rows(share.row_end - row, ROWS);
            multiply_rows(rows, kind, p->x + row * p->x_stride, p->x_stride,
                          l->packed + panel * bytes, steps, sums);
            store_rows(l, row, rows, panel * PANEL, sums);
            row += rows;
        }
}

static void linear_task(const void *context, long i, int thread) {
    const Product *p = context;
    (void)thread;
    Share share = division_share(&p->division, p->args->m, i);
    if (p->args->dtype == DTYPE_F32) run_share(p, share, WEIGHT_F32);
    else if (BF16_DOT) run_share(p, share, WEIGHT_PAIRS);
    else run_share(p, share, WEIGHT_BF16);
}

/* x as the products want it: rows of `padded` values in `to`. */
typedef struct {
    const Linear *args;
    long padded;
    char *to;
} Prepare;

static void prepare_range(const void *context, long begin, long end) {
    const Prepare *p = context;
    const Linear *l = p->args;
    for (long row = begin; row < end; row++) {
        const bf16 *from = (const bf16 *)l->x + row * l->x_stride;
        if (BF16_DOT) {
            bf16 *to = (bf16 *)p->to + row * p->padded;
            memcpy(to, from, l->k * sizeof(bf16));
            to[l->k] = 0;
        } else {
            float *to = (float *)p->to + row * p->padded;
            for (long c = 0; c < l->k; c += VF_WIDTH)
                row_store(to, DTYPE_F32, c, l->k - c, row_load(from, DTYPE_BF16, c, l->k - c));
        }
    }
}

/* 0, or -1 when memory is out. */
EXPORT int linear(const Linear *l) {
    if (l->m == 0) return 0;
    Product p = {.args = l, .x = l->x, .x_stride = l->x_stride * (long)dtype_size((int)l->dtype),
                 .division = divide_product(l->m, l->n, l->k, l->k * 2, 4 * ROWS)};
    if (l->dtype == DTYPE_BF16 && (!BF16_DOT || l->k % 2)) {
        Prepare prepare = {l, BF16_DOT ? l->k + 1 : l->k, NULL};
        p.x_stride = prepare.padded * (long)(BF16_DOT ? sizeof(bf16) : sizeof(float));
        p.x = prepare.to = scratch(l->m * p.x_stride);
        if (!prepare.to) return -1;
        parallel_ranges(l->m, 65536 / MAX(l->k, 1), prepare_range, &prepare);
    }
    parallel_streams(division_count(&p.division), p.division.threads, linear_task, &p);
    return 0;
}
