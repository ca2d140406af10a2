/* out[M, N] = x[M, K] W^T + bias with 8-bit weights, see linear_quantized.h.
 *
 * The integer sums are exact and turned into floats by one fixed formula: a row's bits do not
 * depend on the batch it is in.
 */
#include "linear_quantized.h"

#if defined(VF_AVX512)
enum { ROWS = 12 }; /* times 2 vectors of sums: 24 of 32 registers */
#else
enum { ROWS = 6 }; /* 12 of 16; even, for activations of two parts */
#endif
enum { PREFETCH_BYTES = 4096 };

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
    const QuantizedLinear *l = p->args;
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

static void multiply_block(const Product *p, long row, int rows, long column,
                           const uint8_t *panel) {
    const QuantizedRows *x = &p->x;
    long parts = p->args->parts, steps = dot_steps(p->args->k);
    int32_t sums[ROWS * PANEL] __attribute__((aligned(64)));
    multiply_rows(rows * (int)parts, x->values + row * parts * x->stride, x->stride,
                  x->starts + row * parts, panel, steps, sums);
    store_rows(p, row, rows, column, sums, (const float *)(panel + steps * INT8_STEP));
}

static void product_task(const void *product, long i, int thread) {
    const Product *p = product;
    (void)thread;
    multiply_share(p, i, ROWS / p->args->parts, multiply_block);
}

static int multiply(const QuantizedLinear *l, Division division) {
    Product p = {.args = l, .division = division, .panel_bytes = int8_panel_bytes(l->k)};
    if (!quantize_rows(l, MAX(l->k, 1), DOT_OFFSET, &p.x)) return -1;
    parallel_streams(division_count(&p.division), p.division.threads, product_task, &p);
    return 0;
}

/* 0, or -1 when memory is out. */
EXPORT int linear_int8(const QuantizedLinear *l) {
    if (l->m == 0) return 0;
    long least_rows = 4 * ROWS / l->parts;
    return multiply(l, divide_product(l->m, l->n, l->k, l->k * l->parts, least_rows));
}

int linear_int8_parts(const QuantizedLinear *l, const Part *parts, long count) {
    return multiply(l, divide_parts(parts, count, l->m, l->n, l->k));
}
