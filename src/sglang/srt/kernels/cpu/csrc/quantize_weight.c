/* Weights to codes and scales: code * scale is close to the weight. */
#include "simd.h"

enum { MAX_GROUP = 256 /* the caller checks */, CANDIDATES = 13 };

/* The argument of quantize_weight: weight contiguous [n, k] of `dtype`, codes [n, k]. With `group`
 * 0 the codes are -127 .. 127 and scales is float [n], one for each row; else -8 .. 7 and bfloat16
 * [n, groups], one for each `group` values of a row. */
typedef struct {
    const void *weight;
    int8_t *codes;
    void *scales;
    int64_t n, k, dtype, group;
} QuantizeWeight;

/* round(x / scale) in low .. high, as floats. */
INLINE vf codes_of(vf x, vf inverse, float low, float high) {
    vf magic = vf_set1(12582912.0f); /* 1.5 * 2^23: the sum is rounded to an integer */
    vf code = vf_sub(vf_add(vf_mul(x, inverse), magic), magic);
    return vf_max(vf_min(code, vf_set1(high)), vf_set1(low));
}

/* Below, x has zeros up to a multiple of VF_WIDTH. */

static void store_codes(int8_t *to, const float *x, long n, float scale, float low, float high) {
    vf inverse = vf_set1(scale == 0.0f ? 0.0f : 1.0f / scale);
    for (long c = 0; c < n; c += VF_WIDTH) {
        float lanes[VF_WIDTH];
        vf_store(lanes, codes_of(vf_load(x + c), inverse, low, high));
        for (int i = 0; i < MIN(VF_WIDTH, n - c); i++) to[c + i] = (int8_t)lanes[i];
    }
}

/* The value of the largest magnitude. */
static float largest(const float *x, long n) {
    vf most = vf_zero(), least = vf_zero();
    for (long c = 0; c < n; c += VF_WIDTH) {
        vf value = vf_load(x + c);
        most = vf_max(most, value);
        least = vf_max(least, vf_sub(vf_zero(), value));
    }
    float top = vf_largest(most), bottom = vf_largest(least);
    return top >= bottom ? top : -bottom;
}

static float squared_error(const float *x, long n, float scale) {
    vf inverse = vf_set1(1.0f / scale), sum = vf_zero();
    for (long c = 0; c < n; c += VF_WIDTH) {
        vf value = vf_load(x + c);
        vf code = codes_of(value, inverse, -8.0f, 7.0f);
        vf error = vf_sub(vf_mul(code, vf_set1(scale)), value);
        sum = vf_fma(error, error, sum);
    }
    return vf_sum(sum);
}

/* The scale of the least squared error among some that map the largest value to -8 / 0.55 (where
 * it is cut off) .. -8 / 1.15. */
static bf16 best_scale(const float *x, long n) {
    float top = largest(x, n), least = INFINITY;
    bf16 best = 0;
    if (fabsf(top) < 1e-30f) return best;
    for (int i = 0; i < CANDIDATES; i++) {
        bf16 scale = f32_to_bf16(top / -8.0f * (0.55f + 0.05f * (float)i));
        float error = squared_error(x, n, bf16_to_f32(scale));
        if (error < least) least = error, best = scale;
    }
    return best;
}

/* Values [first, first + n) of a row; fewer than VF_WIDTH zeros follow. */
static void load_values(const QuantizeWeight *q, long row, long first, long n, float *values) {
    const char *weight = (const char *)q->weight + row * q->k * dtype_size((int)q->dtype);
    for (long c = 0; c < n; c += VF_WIDTH)
        vf_store(values + c, row_load(weight, (int)q->dtype, first + c, n - c));
}

static void quantize_int8(const QuantizeWeight *q, long row) {
    float values[MAX_GROUP], top = 0.0f;
    for (long c = 0; c < q->k; c += MAX_GROUP) {
        long n = MIN(MAX_GROUP, q->k - c);
        load_values(q, row, c, n, values);
        top = MAX(top, fabsf(largest(values, n)));
    }
    float scale = top < 1e-30f ? 0.0f : top / 127.0f;
    ((float *)q->scales)[row] = scale;
    for (long c = 0; c < q->k; c += MAX_GROUP) {
        long n = MIN(MAX_GROUP, q->k - c);
        load_values(q, row, c, n, values);
        store_codes(q->codes + row * q->k + c, values, n, scale, -127.0f, 127.0f);
    }
}

static void quantize_int4(const QuantizeWeight *q, long row) {
    float values[MAX_GROUP];
    long groups = (q->k + q->group - 1) / q->group;
    for (long g = 0; g < groups; g++) {
        long c = g * q->group, n = MIN(q->group, q->k - c);
        load_values(q, row, c, n, values);
        bf16 scale = best_scale(values, n);
        ((bf16 *)q->scales)[row * groups + g] = scale;
        store_codes(q->codes + row * q->k + c, values, n, bf16_to_f32(scale), -8.0f, 7.0f);
    }
}

static void quantize_range(const void *context, long begin, long end) {
    const QuantizeWeight *q = context;
    for (long row = begin; row < end; row++)
        if (q->group) quantize_int4(q, row);
        else quantize_int8(q, row);
}

EXPORT int quantize_weight(const QuantizeWeight *q) {
    parallel_ranges(q->n, 4, quantize_range, q);
    return 0;
}
