/* silu(gate) * up of the fused gate-and-up projection. */
#include "simd.h"

/* The argument of silu_and_mul: x [rows, 2 width] with rows x_stride values apart, out
 * [rows, width]. */
typedef struct {
    const void *x;
    void *out;
    int64_t rows, width, x_stride, dtype;
} Gate;

INLINE void gate_rows(const Gate *g, long begin, long end, int dtype) {
    size_t item = dtype_size(dtype);
    for (long t = begin; t < end; t++) {
        const char *gate = (const char *)g->x + t * g->x_stride * item;
        const char *up = gate + g->width * item;
        char *out = (char *)g->out + t * g->width * item;
        for (long c = 0; c < g->width; c += VF_WIDTH) {
            vf a = row_load(gate, dtype, c, g->width - c);
            vf e = vf_exp2(vf_mul(a, vf_set1(-LOG2E)));
            vf silu = vf_div(a, vf_add(vf_set1(1.0f), e));
            row_store(out, dtype, c, g->width - c,
                      vf_mul(silu, row_load(up, dtype, c, g->width - c)));
        }
    }
}

static void gate_range(const void *context, long begin, long end) {
    const Gate *g = context;
    if (g->dtype == DTYPE_F32) gate_rows(g, begin, end, DTYPE_F32);
    else gate_rows(g, begin, end, DTYPE_BF16);
}

EXPORT int silu_and_mul(const Gate *g) {
    parallel_ranges(g->rows, 16384 / MAX(g->width, 1), gate_range, g);
    return 0;
}
