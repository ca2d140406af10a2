/* The layout of a packed weight.
 *
 * The output columns (rows of W) are cut into panels of PANEL, the last one filled with zeros. A
 * panel holds, for k = 0, 1, ..., the PANEL weights of that k side by side: floats, bfloat16, or
 * where the CPU has bfloat16 dot products pairs of bfloat16 for k = 2i and 2i + 1. So a product
 * reads every panel once from beginning to end.
 */
#pragma once

#include "tile.h"

enum { PANEL = 2 * VF_WIDTH };

static inline size_t panel_bytes(long k, int dtype) {
    if (dtype == DTYPE_F32) return PANEL * k * sizeof(float);
    return PANEL * ROUND_UP(k, BF16_DOT ? 2 : 1) * sizeof(bf16);
}

/* The argument of linear: x [m, k] with rows x_stride values apart, out contiguous [m, n]. */
typedef struct {
    const void *x;
    const char *packed;
    const void *bias; /* [n] in x's dtype, may be NULL */
    void *out;
    int64_t m, n, k, x_stride, dtype, out_dtype;
} Linear;

/* Rows that are multiplied with a matrix of their own, one of several packed one after the other
 * (with biases [matrices, n]). */
typedef struct {
    long matrix, row_begin, row_end;
} Part;

/* linear, where all rows are in `count` parts. */
int linear_parts(const Linear *l, const Part *parts, long count);

/* How a product is divided: share i does row part i / panel_steps of the panels from
 * i % panel_steps * panel_step on. One row part after the other, so that it stays in the cache. */
typedef struct {
    long panels, panel_step, panel_steps, row_parts;
    int threads;
    const Part *parts; /* NULL: one matrix for all rows */
} Division;

typedef struct {
    long panel_begin, panel_end, row_begin, row_end, matrix;
} Share;

enum {
    SERIAL_WORK = 1 << 17, /* multiply-adds (and weights) not worth waking threads for */
    SHARES_PER_THREAD = 8,
    CACHED_BYTES = 1 << 17 /* of the left side that may count on staying in a core's cache */
};

/* Rows (of `row_bytes` on the left side) are divided where there are few panels or the rows do not
 * fit the cache, into parts of at least `least_rows`. */
static inline Division divide_product(long m, long n, long k, long row_bytes, long least_rows) {
    Division d = {.panels = (n + PANEL - 1) / PANEL, .threads = parallel_threads()};
    if (n * k < SERIAL_WORK && m * n * k < 4 * SERIAL_WORK) d.threads = 1;
    long wanted = d.threads == 1 ? 1 : d.threads * SHARES_PER_THREAD;
    d.panel_step = MAX(1, d.panels / wanted);
    d.panel_steps = (d.panels + d.panel_step - 1) / d.panel_step;
    long parts = MAX(wanted / d.panel_steps, m * row_bytes / CACHED_BYTES);
    d.row_parts = MAX(1, MIN(parts, m / least_rows));
    return d;
}

/* The parts are the row parts; of their panels as many steps as keep all threads busy. */
static inline Division divide_parts(const Part *parts, long count, long m, long n, long k) {
    Division d = {.panels = (n + PANEL - 1) / PANEL, .threads = parallel_threads(),
                  .row_parts = count, .parts = parts};
    if (count * n * k < SERIAL_WORK && m * n * k < 4 * SERIAL_WORK) d.threads = 1;
    long wanted = d.threads == 1 ? 1 : d.threads * SHARES_PER_THREAD;
    long steps = MIN(d.panels, (wanted + count - 1) / count);
    d.panel_step = (d.panels + steps - 1) / steps;
    d.panel_steps = (d.panels + d.panel_step - 1) / d.panel_step;
    return d;
}

static inline long division_count(const Division *d) {
    return d->panel_steps * d->row_parts;
}

static inline Share division_share(const Division *d, long m, long i) {
    long part = i / d->panel_steps, panel = i % d->panel_steps * d->panel_step;
    Share share = {panel, MIN(panel + d->panel_step, d->panels), m * part / d->row_parts,
                   m * (part + 1) / d->row_parts, 0};
    if (d->parts) {
        share.row_begin = d->parts[part].row_begin;
        share.row_end = d->parts[part].row_end;
        share.matrix = d->parts[part].matrix;
    }
    return share;
}

/* The bias of a share. */
static inline const void *bias_of(const Share *share, const void *bias, long n, int dtype) {
    return bias ? (const char *)bias + share->matrix * n * dtype_size(dtype) : NULL;
}

/* The size of the next of the fewest blocks of at most `most` rows, all of nearly one size. */
static inline int block_rows(long left, long most) {
    long blocks = (left + most - 1) / most;
    return (int)((left + blocks - 1) / blocks);
}
