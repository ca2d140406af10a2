/* out[M, N] = x[M, K] W^T + bias with 4-bit weights, see linear_quantized.h.
 *
 * The integer sum of a group is exact; the groups are added as floats in their order: a row's bits
 * do not depend on the batch it is in. A zero point takes zero times the sum of the activations of
 * its group away: that sum is what the integer sums start with, over -NIBBLE_OFFSET.
 */
#include "linear_quantized.h"

#if defined(VF_AVX512)
enum { ROWS = 6 }; /* times 2 vectors of integer and 2 of float sums: 24 of 32 registers */
#else
enum { ROWS = 4 };
#endif
enum { PREFETCH_BYTES = 4096 };

/* totals[rows][PANEL] = x[rows] * panel; `rows` and `form` are compile-time constants. */
INLINE void multiply_panel(int rows, int form, const QuantizedRows *q, long row,
                           const uint8_t *panel, long k, long group, float *totals) {
    const dot_int *x = q->values + row * q->stride;
    const float *scales = q->scales + row * q->groups;
    const int32_t *starts = q->starts + row * q->groups;
    vf left_total[ROWS], right_total[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) left_total[r] = right_total[r] = vf_zero();
    for (long g = 0; g < q->groups; g++) {
        const bf16 *weight_scales = (const bf16 *)panel, *zeros = weight_scales + PANEL;
        panel += int4_head_bytes(form);
        vi32 left[ROWS], right[ROWS];
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) left[r] = right[r] = vi_set1(starts[r * q->groups + g]);
        long steps = dot_steps(MIN(group, k - g * group));
        for (long i = 0; i < steps; i++) {
            __builtin_prefetch(panel + PREFETCH_BYTES, 0, 3);
            codes both = codes_load(panel);
            codes a = codes_mask(both), b = codes_shift(both);
            if (form == FORM_FLOATS) a = codes_float4(a), b = codes_float4(b);
            panel += INT4_STEP;
#pragma GCC unroll 12
            for (int r = 0; r < rows; r++) {
                int32_t element;
                memcpy(&element, x + r * q->stride, 4);
                vi32 value = vi_set1(element);
                left[r] = vi_dot(left[r], a, value);
                right[r] = vi_dot(right[r], b, value);
            }
            x += DOT_DEPTH;
        }
        vf a = vf_load_bf16(weight_scales), b = vf_load_bf16(weight_scales + VF_WIDTH);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            vf scale = vf_set1(scales[r * q->groups + g]);
            vf first = vi_to_float(left[r]), second = vi_to_float(right[r]);
            if (form == FORM_ZEROS) {
                vf start = vf_set1((float)starts[r * q->groups + g]);
                first = vf_fma(vf_load_bf16(zeros), start, first);
                second = vf_fma(vf_load_bf16(zeros + VF_WIDTH), start, second);
            }
            left_total[r] = vf_fma(vf_mul(first, scale), a, left_total[r]);
            right_total[r] = vf_fma(vf_mul(second, scale), b, right_total[r]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        vf_store(totals + r * PANEL, left_total[r]);
        vf_store(totals + r * PANEL + VF_WIDTH, right_total[r]);
    }
}

#define CASE(R)                                                                      \
    case R:                                                                          \
        if (form == FORM_FLOATS)                                                     \
            multiply_panel(R, FORM_FLOATS, q, row, panel, k, group, totals);         \
        else if (form == FORM_ZEROS)                                                 \
            multiply_panel(R, FORM_ZEROS, q, row, panel, k, group, totals);          \
        else                                                                         \
            multiply_panel(R, FORM_INTEGERS, q, row, panel, k, group, totals);       \
        break;

static void multiply_rows(int rows, int form, const QuantizedRows *q, long row,
                          const uint8_t *panel, long k, long group, float *totals) {
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4)
#if defined(VF_AVX512)
        CASE(5) CASE(6)
#endif
    }
}

static void store_rows(const QuantizedLinear *l, long row, int rows, long column,
                       const float *totals) {
    long columns = MIN(PANEL, l->n - column);
    for (int r = 0; r < rows; r++) {
        char *out = (char *)l->out + (row + r) * l->n * dtype_size((int)l->out_dtype);
        for (long c = 0; c < columns; c += VF_WIDTH) {
            vf y = vf_load(totals + r * PANEL + c);
            if (l->bias) y = vf_add(y, row_load(l->bias, (int)l->dtype, column + c, columns - c));
            row_store(out, (int)l->out_dtype, column + c, columns - c, y);
        }
    }
}

static void multiply_block(const Product *p, long row, int rows, long column,
                           const uint8_t *panel) {
    float totals[ROWS * PANEL] __attribute__((aligned(64)));
    const QuantizedLinear *l = p->args;
    multiply_rows(rows, (int)l->form, &p->x, row, panel, l->k, l->group, totals);
    store_rows(l, row, rows, column, totals);
}

static void product_task(const void *product, long i, int thread) {
    (void)thread;
    multiply_share(product, i, ROWS, multiply_block);
}

static int multiply(const QuantizedLinear *l, Division division) {
    Product p = {.args = l, .division = division,
                 .panel_bytes = int4_panel_bytes(l->k, l->group, (int)l->form)};
    int offset = l->form == FORM_FLOATS ? FLOAT4_OFFSET : NIBBLE_OFFSET;
    if (!quantize_rows(l, l->group, offset, &p.x)) return -1;
    parallel_streams(division_count(&p.division), p.division.threads, product_task, &p);
    return 0;
}

/* 0, or -1 when memory is out. */
EXPORT int linear_int4(const QuantizedLinear *l) {
    if (l->m == 0) return 0;
    return multiply(l, divide_product(l->m, l->n, l->k, l->k, 4 * ROWS));
}

int linear_int4_parts(const QuantizedLinear *l, const Part *parts, long count) {
    return multiply(l, divide_parts(parts, count, l->m, l->n, l->k));
}
