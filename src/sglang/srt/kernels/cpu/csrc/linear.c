/* out[M, N] = x[M, K] W^T + bias, with W packed: see linear.h.
 *
 * Each number of the result is one chain of multiply-adds in the order of k, in registers from
 * first to last, whatever M is and however the work is divided: a row's bits do not depend on the
 * batch it is in.
 */
#include "linear_panel.h"

typedef struct {
    const Linear *args;
    const char *x; /* rows of floats, or of whole pairs of bfloat16 */
    long x_stride; /* bytes */
    Division division;
} Product;

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
    Product p = *(const Product *)context;
    Linear l = *p.args;
    (void)thread;
    Share share = division_share(&p.division, l.m, i);
    l.packed += share.matrix * p.division.panels * panel_bytes(l.k, (int)l.dtype);
    l.bias = bias_of(&share, l.bias, l.n, (int)l.dtype);
    p.args = &l;
    if (l.dtype == DTYPE_F32) run_share(&p, share, WEIGHT_F32);
    else if (BF16_DOT) run_share(&p, share, WEIGHT_PAIRS);
    else run_share(&p, share, WEIGHT_BF16);
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

static int multiply(const Linear *l, Division division) {
    Product p = {.args = l, .x = l->x, .x_stride = l->x_stride * (long)dtype_size((int)l->dtype),
                 .division = division};
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

/* 0, or -1 when memory is out. */
EXPORT int linear(const Linear *l) {
    if (l->m == 0) return 0;
    return multiply(l, divide_product(l->m, l->n, l->k, l->k * 2, 4 * ROWS));
}

int linear_parts(const Linear *l, const Part *parts, long count) {
    return multiply(l, divide_parts(parts, count, l->m, l->n, l->k));
}
