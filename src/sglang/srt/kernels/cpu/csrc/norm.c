/* RMS norm and layer norm, alone, of groups of columns, and fused with the addition of the
 * residual. */
#include "simd.h"

/* The argument of norm. A row of `x` is `groups` times `width` values; each group is normed alone
 * and has weights of its own. Rows of `x` are x_stride values apart and those of `out` out_stride,
 * the others are contiguous. */
typedef struct {
    const void *x;
    void *residual; /* NULL: the norm of x; else residual += scale * x first (one group) */
    const void *weight;
    const void *bias; /* may be NULL */
    void *out;        /* NULL: no norm, the addition alone; may be x */
    int64_t rows, width, groups, x_stride, out_stride, dtype, weight_dtype;
    int64_t centered; /* layer norm: less the mean, and divided by the standard deviation */
    double eps, scale;
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

static float mean_of(const void *row, int dtype, long width) {
    vf sum = vf_zero();
    for (long c = 0; c < width; c += VF_WIDTH)
        sum = vf_add(sum, row_load(row, dtype, c, width - c));
    return vf_sum(sum) / (float)width;
}

static float sum_of_deviations(const void *row, int dtype, long width, float mean) {
    vf sum = vf_zero();
    for (long c = 0; c < width; c += VF_WIDTH) {
        vf a = vf_sub(row_load(row, dtype, c, width - c), vf_set1(mean));
        if (width - c < VF_WIDTH) { /* beyond the row: nothing */
            float lanes[VF_WIDTH];
            vf_store(lanes, a);
            a = vf_load_part(lanes, (int)(width - c), 0.0f);
        }
        sum = vf_fma(a, a, sum);
    }
    return vf_sum(sum);
}

INLINE void add_row(const Norm *n, void *residual, const void *row, int dtype) {
    vf scale = vf_set1((float)n->scale);
    for (long c = 0; c < n->width; c += VF_WIDTH) {
        vf sum = vf_fma(scale, row_load(row, dtype, c, n->width - c),
                        row_load(residual, dtype, c, n->width - c));
        row_store(residual, dtype, c, n->width - c, sum);
    }
}

/* The norm of one group; `first` is the column where its weights begin. */
INLINE void norm_group(const Norm *n, const void *row, char *out, long first, int dtype,
                       int weight_dtype) {
    long width = n->width;
    bool centered = n->centered;
    size_t begin = first * dtype_size(weight_dtype);
    const char *weight = (const char *)n->weight + begin;
    const char *bias = n->bias ? (const char *)n->bias + begin : NULL;
    float mean = centered ? mean_of(row, dtype, width) : 0.0f;
    float sum = centered ? sum_of_deviations(row, dtype, width, mean)
                         : sum_of_squares(row, dtype, width);
    vf factor = vf_set1(1.0f / sqrtf(sum / (float)width + (float)n->eps));
    for (long c = 0; c < width; c += VF_WIDTH) {
        vf a = row_load(row, dtype, c, width - c);
        if (centered) a = vf_sub(a, vf_set1(mean));
        vf y = vf_mul(vf_mul(a, factor), row_load(weight, weight_dtype, c, width - c));
        if (bias) y = vf_add(y, row_load(bias, weight_dtype, c, width - c));
        row_store(out, dtype, c, width - c, y);
    }
}

INLINE void norm_rows(const Norm *n, long begin, long end, int dtype, int weight_dtype) {
    size_t item = dtype_size(dtype);
    for (long t = begin; t < end; t++) {
        const char *row = (const char *)n->x + t * n->x_stride * item;
        if (n->residual) {
            char *residual = (char *)n->residual + t * n->width * item;
            add_row(n, residual, row, dtype);
            row = residual;
        }
        if (!n->out) continue;
        char *out = (char *)n->out + t * n->out_stride * item;
        for (long first = 0; first < n->groups * n->width; first += n->width)
            norm_group(n, row + first * item, out + first * item, first, dtype, weight_dtype);
    }
}

static void norm_range(const void *context, long begin, long end) {
    const Norm *n = context;
    if (n->dtype == DTYPE_F32) norm_rows(n, begin, end, DTYPE_F32, DTYPE_F32);
    else if (n->weight_dtype == DTYPE_F32) norm_rows(n, begin, end, DTYPE_BF16, DTYPE_F32);
    else norm_rows(n, begin, end, DTYPE_BF16, DTYPE_BF16);
}

EXPORT int norm(const Norm *n) {
    parallel_ranges(n->rows, 32768 / MAX(n->width * n->groups, 1), norm_range, n);
    return 0;
}
