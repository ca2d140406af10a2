/* RMS norm, alone and fused with the addition of the residual. */
#include "simd.h"

/* The argument of rms_norm: `x` has rows x_stride values apart, the others are contiguous. */
typedef struct {
    const void *x;
    void *residual; /* NULL: the norm of x; else residual += x first */
    const void *weight;
    void *out;
    int64_t rows, width, x_stride, dtype;
    double eps;
} Norm;

/* Two accumulators, always in this order: the sum depends on the row alone. */
static float sum_of_squares(const void *row, int dtype, long width) {
    vf even = vf_zero(), odd = vf_zero();
    for (long c = 0; c < width; c += 2 * VF_WIDTH) {
        vf a = row_load(row, dtype, c, width - c);
        even = vf_fma(a, a, even);
        if (c + VF_WIDTH < width) {
            vf b = row_load(row, dtype, c + VF_WIDTH, width - c - VF_WIDTH);
            odd = vf_fma(b, b, odd);
        }
    }
    return vf_sum(vf_add(even, odd));
}

INLINE void norm_rows(const Norm *n, long begin, long end, int dtype) {
    size_t item = dtype_size(dtype);
    for (long t = begin; t < end; t++) {
        const void *row = (const char *)n->x + t * n->x_stride * item;
        if (n->residual) {
            char *residual = (char *)n->residual + t * n->width * item;
            for (long c = 0; c < n->width; c += VF_WIDTH) {
                vf sum = vf_add(row_load(residual, dtype, c, n->width - c),
                                row_load(row, dtype, c, n->width - c));
                row_store(residual, dtype, c, n->width - c, sum);
            }
            row = residual;
        }
        float mean = sum_of_squares(row, dtype, n->width) / (float)n->width;
        vf factor = vf_set1(1.0f / sqrtf(mean + (float)n->eps));
        char *out = (char *)n->out + t * n->width * item;
        for (long c = 0; c < n->width; c += VF_WIDTH) {
            vf y = vf_mul(vf_mul(row_load(row, dtype, c, n->width - c), factor),
                          row_load(n->weight, dtype, c, n->width - c));
            row_store(out, dtype, c, n->width - c, y);
        }
    }
}

static void norm_range(const void *context, long begin, long end) {
    const Norm *n = context;
    if (n->dtype == DTYPE_F32) norm_rows(n, begin, end, DTYPE_F32);
    else norm_rows(n, begin, end, DTYPE_BF16);
}

EXPORT int rms_norm(const Norm *n) {
    parallel_ranges(n->rows, 32768 / MAX(n->width, 1), norm_range, n);
    return 0;
}
