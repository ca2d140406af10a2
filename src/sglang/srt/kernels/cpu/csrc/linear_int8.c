/* out[M, N] = x[M, K] W^T + bias with 8-bit weights, see linear_quantised.h.
 *
 * The integer sums are exact and turned into floats by one fixed formula: a row's bits do not
 * depend on the batch it is in.
 */
#include "linear_quantised.h"

#if defined(VF_AVX512)
enum { ROWS = 12 }; /* times 2 vectors of sums: 24 of 32 registers */
#else
enum { ROWS = 6 }; /* 12 of 16; even, for activations of two parts */
#endif
enum { PREFETCH_BYTES = 4096 };

typedef struct {
    const QuantisedLinear *args;
    QuantisedRows x;
    Division division;
} Product;

/* sums[rows][PANEL] = starts[rows] + x[rows] * panel; `rows` is a compile-time constant. */
INLINE void multiply_panel(int rows, const dot_int *x, long stride, const int32_t *starts,
                           const uint8_t *panel, long steps, int32_t *sums) {
    vi32 left[ROWS], right[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) left[r] = right[r] = vi_set1(starts[r]);
    for (long i = 0; i < steps; i++) {
        const uint8_t *at = panel + i * INT8_STEP;
        for (int line = 0; line < INT8_STEP; line += 64)
            __builtin_prefetch(at + PREFETCH_BYTES + line, 0, 3);
        codes a = codes_load(at), b = codes_load(at + INT8_STEP / 2);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            int32_t element;
            memcpy(&element, x + r * stride + i * DOT_DEPTH, 4);
            vi32 value = vi_set1(element);
            left[r] = vi_dot(left[r], a, value);
            right[r] = vi_dot(right[r], b, value);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        vi_store(sums + r * PANEL, left[r]);
        vi_store(sums + r * PANEL + VF_WIDTH, right[r]);
    }
}

#define CASE(R) \
    case R: multiply_panel(R, x, stride, starts, panel, steps, sums); break;

static void multiply_rows(int rows, const dot_int *x, long stride, const int32_t *starts,
                          const uint8_t *panel, long steps, int32_t *sums) {
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if defined(VF_AVX512)
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
}

static void store_rows(const Product *p, long row, int rows, long column, const int32_t *sums,
                       const float *weight_scales) {
    const QuantisedLinear *l = p->args;
    long columns = MIN(PANEL, l->n - column);
    for (int r = 0; r < rows; r++) {
        char *out = (char *)l->out + (row + r) * l->n * dtype_size((int)l->out_dtype);
        vf scale = vf_set1(p->x.scales[row + r]);
        for (long c = 0; c < columns; c += VF_WIDTH) {
            const int32_t *sum = sums + r * l->parts * PANEL + c;
            vf y = vi_to_float(vi_load(sum));
            if (l->parts == 2)
                y = vf_fma(y, vf_set1(PART_BASE), vi_to_float(vi_load(sum + PANEL)));
            y = vf_mul(vf_mul(y, scale), vf_load(weight_scales + c));
            if (l->bias) y = vf_add(y, row_load(l->bias, (int)l->dtype, column + c, columns - c));
            row_store(out, (int)l->out_dtype, column + c, columns - c, y);
        }
    }
}

static void product_task(const void *context, long i, int thread) {
    const Product *p = context;
    const QuantisedLinear *l = p->args;
    const QuantisedRows *x = &p->x;
    (void)thread;
    int32_t sums[ROWS * PANEL] __attribute__((aligned(64)));
    size_t bytes = int8_panel_bytes(l->k);
    long parts = l->parts, most = ROWS / parts, steps = dot_steps(l->k);
    Share share = division_share(&p->division, l->m, i);
    for (long panel = share.panel_begin; panel < share.panel_end; panel++) {
        const uint8_t *codes = l->packed + panel * bytes;
        for (long row = share.row_begin; row < share.row_end;) {
            long blocks = (share.row_end - row + most - 1) / most;
            int rows = (int)((share.row_end - row + blocks - 1) / blocks);
            multiply_rows(rows * (int)parts, x->values + row * parts * x->stride, x->stride,
                          x->starts + row * parts, codes, steps, sums);
            store_rows(p, row, rows, panel * PANEL, sums,
                       (const float *)(codes + steps * INT8_STEP));
            row += rows;
        }
    }
}

/* 0, or -1 when memory is out. */
EXPORT int linear_int8(const QuantisedLinear *l) {
    if (l->m == 0) return 0;
    Product p = {.args = l, .division = divide_product(l->m, l->n, l->k, l->k * l->parts, 4 * ROWS / l->parts)};
    if (!quantise_rows(l, MAX(l->k, 1), DOT_OFFSET, &p.x)) return -1;
    parallel_streams(division_count(&p.division), p.division.threads, product_task, &p);
    return 0;
}
