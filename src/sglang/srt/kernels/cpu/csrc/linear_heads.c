/* The product of each head of x with a matrix of its own, as absorbed weights want it. Every matrix
 * is packed as in linear.h, and a row's bits do not depend on the batch it is in.
 */
#include "linear_panel.h"

/* The argument of linear_heads: head h of token t is `k` values at x + t * x_stride + h *
 * x_head_stride; `out` is contiguous [m, heads, n + rest]. All of `dtype`; strides count values. */
typedef struct {
    const char *x;
    const char *packed; /* [heads] matrices [n, k] */
    const char *beside; /* what stands behind each product: `rest` values; may be NULL */
    char *out;
    int64_t m, heads, n, k, rest, x_stride, x_head_stride, beside_stride, beside_head_stride, dtype;
} LinearHeads;

typedef struct {
    const LinearHeads *args;
    const char *x;                  /* of floats, or of whole pairs of bfloat16 */
    size_t x_stride, x_head_stride; /* bytes */
    size_t matrix_bytes;
    long panels, panel_step, panel_steps, row_parts;
} Product;

static void store_rows(const LinearHeads *l, long head, long row, int rows, long column,
                       const float *sums) {
    long columns = MIN(PANEL, l->n - column), width = l->n + l->rest;
    for (int r = 0; r < rows; r++) {
        char *out = l->out + ((row + r) * l->heads + head) * width * dtype_size((int)l->dtype);
        for (long c = 0; c < columns; c += VF_WIDTH)
            row_store(out, (int)l->dtype, column + c, columns - c, vf_load(sums + r * PANEL + c));
    }
}

static void copy_beside(const LinearHeads *l, long head, long begin, long end) {
    size_t item = dtype_size((int)l->dtype), width = l->n + l->rest;
    for (long t = begin; t < end; t++)
        memcpy(l->out + ((t * l->heads + head) * width + l->n) * item,
               l->beside + (t * l->beside_stride + head * l->beside_head_stride) * item,
               l->rest * item);
}

INLINE void run_share(const Product *p, long head, Share share, Weight kind) {
    const LinearHeads *l = p->args;
    float sums[ROWS * PANEL] __attribute__((aligned(64)));
    size_t bytes = panel_bytes(l->k, (int)l->dtype);
    long steps = kind == WEIGHT_PAIRS ? (l->k + 1) / 2 : l->k;
    const char *x = p->x + head * p->x_head_stride, *packed = l->packed + head * p->matrix_bytes;
    for (long panel = share.panel_begin; panel < share.panel_end; panel++)
        for (long row = share.row_begin; row < share.row_end;) {
            int rows = block_rows(share.row_end - row, ROWS);
            multiply_rows(rows, kind, x + row * p->x_stride, (long)p->x_stride,
                          packed + panel * bytes, steps, sums);
            store_rows(l, head, row, rows, panel * PANEL, sums);
            row += rows;
        }
}

/* Head by head, in it one row part after the other, so that x stays in the cache. */
static void heads_task(const void *context, long i, int thread) {
    const Product *p = context;
    const LinearHeads *l = p->args;
    (void)thread;
    long panel = i % p->panel_steps * p->panel_step, rest = i / p->panel_steps;
    long part = rest % p->row_parts, head = rest / p->row_parts;
    Share share = {panel, MIN(panel + p->panel_step, p->panels), l->m * part / p->row_parts,
                   l->m * (part + 1) / p->row_parts};
    if (l->beside && panel == 0) copy_beside(l, head, share.row_begin, share.row_end);
    if (l->dtype == DTYPE_F32) run_share(p, head, share, WEIGHT_F32);
    else if (BF16_DOT) run_share(p, head, share, WEIGHT_PAIRS);
    else run_share(p, head, share, WEIGHT_BF16);
}

/* x as the products want it, heads beside each other: see linear.c. */
typedef struct {
    const LinearHeads *args;
    long padded;
    char *to;
} Prepare;

static void prepare_range(const void *context, long begin, long end) {
    const Prepare *p = context;
    const LinearHeads *l = p->args;
    for (long i = begin; i < end; i++) {
        const bf16 *from = (const bf16 *)l->x + i / l->heads * l->x_stride +
                           i % l->heads * l->x_head_stride;
        if (BF16_DOT) {
            bf16 *to = (bf16 *)p->to + i * p->padded;
            memcpy(to, from, l->k * sizeof(bf16));
            to[l->k] = 0;
        } else {
            float *to = (float *)p->to + i * p->padded;
            for (long c = 0; c < l->k; c += VF_WIDTH)
                row_store(to, DTYPE_F32, c, l->k - c, row_load(from, DTYPE_BF16, c, l->k - c));
        }
    }
}

/* Divides among threads, unless the work is not worth waking them; returns how many there are. */
static int divide(Product *p) {
    const LinearHeads *l = p->args;
    long weights = l->heads * l->n * l->k;
    bool small = weights < SERIAL_WORK && l->m * weights < 4 * SERIAL_WORK;
    int threads = small ? 1 : parallel_threads();
    long wanted = threads == 1 ? 1 : threads * SHARES_PER_THREAD;
    p->panels = (l->n + PANEL - 1) / PANEL;
    p->panel_step = MIN(p->panels, MAX(1, p->panels * l->heads / wanted));
    p->panel_steps = (p->panels + p->panel_step - 1) / p->panel_step;
    long parts = MAX(wanted / (p->panel_steps * l->heads), l->m * l->k * 2 / CACHED_BYTES);
    p->row_parts = MAX(1, MIN(parts, l->m / (4 * ROWS)));
    return threads;
}

/* 0, or -1 when memory is out. */
EXPORT int linear_heads(const LinearHeads *l) {
    if (l->m == 0) return 0;
    size_t item = dtype_size((int)l->dtype);
    Product p = {.args = l, .x = l->x, .x_stride = l->x_stride * item,
                 .x_head_stride = l->x_head_stride * item};
    p.matrix_bytes = (l->n + PANEL - 1) / PANEL * panel_bytes(l->k, (int)l->dtype);
    if (l->dtype == DTYPE_BF16 && (!BF16_DOT || l->k % 2)) {
        Prepare prepare = {l, BF16_DOT ? l->k + 1 : l->k, NULL};
        p.x_head_stride = prepare.padded * (BF16_DOT ? sizeof(bf16) : sizeof(float));
        p.x_stride = l->heads * p.x_head_stride;
        p.x = prepare.to = scratch(l->m * p.x_stride);
        if (!prepare.to) return -1;
        parallel_ranges(l->m * l->heads, 65536 / MAX(l->k, 1), prepare_range, &prepare);
    }
    int threads = divide(&p);
    long count = l->heads * p.row_parts * p.panel_steps;
    parallel_streams(count, threads, heads_task, &p);
    return 0;
}
